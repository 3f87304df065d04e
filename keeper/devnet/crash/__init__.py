"""Recorded crashes on the local chain, with predicted and realised profits."""
