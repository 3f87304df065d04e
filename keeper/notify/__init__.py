"""Package: who is told, in which words, by which way."""
