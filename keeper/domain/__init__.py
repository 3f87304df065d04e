"""Immutable data types and vocabulary of the keeper. Pure, standard library only."""
