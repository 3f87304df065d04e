"""Frozen facts and the words for them: pure, standard library only."""
