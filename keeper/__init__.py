"""A liquidation keeper for on-chain lending protocols."""
