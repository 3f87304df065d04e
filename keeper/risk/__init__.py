"""Package: pure rules over health: screens and tiers."""
