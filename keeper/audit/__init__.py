"""The record's rules: its canonical form, its chain of hashes, what deciding was given. Pure."""
