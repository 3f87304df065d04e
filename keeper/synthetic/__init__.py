"""Books of generated accounts of any size, without a chain."""
