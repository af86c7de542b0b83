"""Sampling from a diffusion model times exp(-E), or given a condition: what changes its score, and what corrects it."""

from samplers.generative.guidance.classifier import classifier_guided
from samplers.generative.guidance.conditional import classifier_free, conditioned
from samplers.generative.guidance.energy import Energy, energy_guided
from samplers.generative.guidance.twisted import TwistedDiffusion, TwistedDraws

__all__ = [
    "Energy",
    "TwistedDiffusion",
    "TwistedDraws",
    "classifier_free",
    "classifier_guided",
    "conditioned",
    "energy_guided",
]
