"""Diffusion models learned from samples: data, what a network's output means, losses, reverse solvers, likelihoods."""

from samplers.generative.autoencoder import Autoencoder
from samplers.generative.bridges import FittedBridge, SchroedingerBridge
from samplers.generative.code import Code
from samplers.generative.columns import Bounded, Categorical, Column, Positive, Real
from samplers.generative.conditional import ConditionalDiffusion
from samplers.generative.data import Samples
from samplers.generative.denoiser import DiffusionDenoiser
from samplers.generative.density import DiffusionDensity
from samplers.generative.discrete_elbo import ddpm_elbo, discrete_elbo, vdm_elbo
from samplers.generative.elbo import elbo, family_elbo, variational_gap
from samplers.generative.estimates import PointEstimates
from samplers.generative.fitted import FittedDiffusion
from samplers.generative.high_order import HessianMatching, TraceGradientMatching, TraceMatching
from samplers.generative.latent import LatentDiffusion
from samplers.generative.levels import Levels
from samplers.generative.likelihood import ContinuousFlow, noise_law, probability_flow
from samplers.generative.load import load
from samplers.generative.local_network import LocalScore
from samplers.generative.losses import Denoising, Example, Explicit, Implicit, Loss, Sliced, Sum
from samplers.generative.network import KarrasInputs, ScoreMLP
from samplers.generative.noisy_state import NoisyState
from samplers.generative.ordinal import Ordinal
from samplers.generative.parametrisation import (
    CleanOf,
    Control,
    Karras,
    NoiseOf,
    Parametrisation,
    ScoreOf,
    Velocity,
)
from samplers.generative.path import ReverseProcess
from samplers.generative.score import Score, as_score
from samplers.generative.score_diffusion import ScoreDiffusion
from samplers.generative.score_model import ScoreModel
from samplers.generative.score_spec import ScoreSpec
from samplers.generative.standardisation import Standardisation
from samplers.generative.times import DebiasedTimes, LogSNRTimes, Times, UniformTimes
from samplers.generative.training import Training
from samplers.generative.transformations import Chain, Columns, Transformation

__all__ = [
    "Autoencoder",
    "Bounded",
    "Categorical",
    "Chain",
    "CleanOf",
    "Code",
    "Column",
    "Columns",
    "ConditionalDiffusion",
    "Control",
    "DebiasedTimes",
    "DiffusionDenoiser",
    "DiffusionDensity",
    "Denoising",
    "Example",
    "Explicit",
    "FittedBridge",
    "FittedDiffusion",
    "HessianMatching",
    "Implicit",
    "Karras",
    "KarrasInputs",
    "LatentDiffusion",
    "Levels",
    "LocalScore",
    "LogSNRTimes",
    "Loss",
    "NoiseOf",
    "NoisyState",
    "Ordinal",
    "Parametrisation",
    "Positive",
    "Real",
    "Samples",
    "Score",
    "SchroedingerBridge",
    "ScoreDiffusion",
    "ScoreMLP",
    "ScoreModel",
    "ScoreOf",
    "ScoreSpec",
    "Sliced",
    "Standardisation",
    "Sum",
    "Times",
    "TraceGradientMatching",
    "TraceMatching",
    "Training",
    "Transformation",
    "UniformTimes",
    "Velocity",
    "as_score",
    "ContinuousFlow",
    "PointEstimates",
    "ReverseProcess",
    "ddpm_elbo",
    "discrete_elbo",
    "elbo",
    "family_elbo",
    "load",
    "noise_law",
    "probability_flow",
    "variational_gap",
    "vdm_elbo",
]
