"""Searches that share nothing with the sampler that they judge."""
