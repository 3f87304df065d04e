"""Recorded crashes on the local chain: what the keeper predicts against what it realises."""
