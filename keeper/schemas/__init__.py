"""Package: a JSON Schema for each document that a command prints, and each event of a run."""
