"""Pure rules of the record, for its canonical JSON, its hash chain and its inputs."""
