"""What a run finds before its first draw: where to start, step size, mass matrix, trajectory length."""
