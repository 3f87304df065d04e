"""Pure rules of margin calls, grace periods and the spike guard."""
