"""A run: the loop over steps, where it starts, what it counts, saves, shows and says."""
