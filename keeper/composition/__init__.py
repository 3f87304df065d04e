"""Object graph of the keeper, built from the settings one part per module."""
