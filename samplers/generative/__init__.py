"""Diffusion models learned from samples: reverse solvers, losses, likelihoods."""

from samplers.generative.score import Score, as_score

__all__ = ["Score", "as_score"]
