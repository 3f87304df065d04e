"""The next nonce comes from the keeper's own record; a node can only raise it."""


def next_nonce(high_water: int | None, latest_count: int, first_nonce: int = 0) -> int:
    """
    Return the nonce for the next intent: above every bound one, never below the chain's.

    ``first_nonce`` is where the journal begins: what is below was used before it was made.
    """
    own = first_nonce if high_water is None else high_water + 1
    return max(own, latest_count)  # mutation: G6 next-nonce
