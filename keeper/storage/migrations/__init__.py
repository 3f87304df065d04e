"""How the journal's schema grows; run when a journal is opened for writing."""
