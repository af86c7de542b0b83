"""Denoisers of Markov fields by a few rounds of messages between neighbours, plain or learned."""

from samplers.denoisers.unrolled.denoiser import Unrolled

__all__ = ["Unrolled"]
