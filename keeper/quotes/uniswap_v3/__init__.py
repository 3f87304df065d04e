"""Uniswap v3: its pools as exact curves, its quoter as the confirmation."""
