"""``scripts/nodes``: a keeper in a crash, before nodes that misbehave in one method each."""
