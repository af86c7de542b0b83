"""What learned parts are made of."""
