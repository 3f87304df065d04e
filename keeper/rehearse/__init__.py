"""Backtests of policies on a recorded price path, with a virtual clock and the real decisions."""
