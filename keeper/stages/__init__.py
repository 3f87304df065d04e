"""What a node does at a head beside deciding, behind ports: calls, cures, clearing, who waits."""
