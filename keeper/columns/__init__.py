"""
Package: the accounts of a market as columns of exact integers, and one pass over all of them.

Pure data: numpy and the domain's words. What a leg means is the protocol adapter's business.
"""
