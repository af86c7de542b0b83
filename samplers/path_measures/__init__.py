"""Pairs of path measures: their priors, simulation, exact weights, and what weights tell."""
