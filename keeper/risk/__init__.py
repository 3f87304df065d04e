"""Pure rules over health, for screens, stress tests and tiers."""
