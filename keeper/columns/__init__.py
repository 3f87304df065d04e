"""A market's accounts as columns of exact integers, and one pass over all of them.

Pure data in numpy. The protocol adapter defines the meaning of a leg.
"""
