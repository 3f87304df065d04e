"""The executor: its sources, its build, and the ABIs of what the keeper talks to."""
