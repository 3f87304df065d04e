"""Settings in, working parts out: each module puts one part of the keeper together."""
