"""Choice of the next nonce. The journal decides, and a node can only raise it."""


def next_nonce(high_water: int | None, latest_count: int, first_nonce: int = 0) -> int:
    """Choose the next nonce, above every bound one and never below the chain's count.

    ``first_nonce`` is where the journal begins. Lower nonces were used before it was created.
    """
    own = first_nonce if high_water is None else high_water + 1
    return max(own, latest_count)  # mutation: G6 next-nonce
