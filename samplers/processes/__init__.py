"""Linear Gaussian noising processes in closed form, and grids of times on them."""
