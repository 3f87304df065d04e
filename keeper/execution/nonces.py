"""The next nonce comes from the keeper's own record; a node can only raise it."""


def next_nonce(high_water: int | None, latest_count: int) -> int:
    """Return the nonce for the next intent: above every bound one, never below the chain's."""
    return max(0 if high_water is None else high_water + 1, latest_count)
