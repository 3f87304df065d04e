"""Package: tiers, episodes, grace, the spike guard: pure rules of margin calls."""
