"""Reverse solvers: draws of the data from states at the end of a noising process and its score.

`Solver(steps=...).solve(score, process, x, generator)`: x (n, dim) at the horizon, score(x, t) a function.

    reverse SDE         EulerMaruyama  ExponentialIntegrator  TorchSDE  Ancestral  AnalyticDPM  DiagonalAnalyticDPM
    probability flow    Euler  Heun  AdaptiveFlow  DPMSolver1  DPMSolver2  DPMSolver3  DPMSolver2M
    between the two     DDIM (eta)  EDM (churn)  EulerMaruyama, ExponentialIntegrator (lam)
    with Langevin steps PredictorCorrector
"""

from samplers.generative.solvers.adaptive_flow import AdaptiveFlow
from samplers.generative.solvers.analytic_dpm import AnalyticDPM, DiagonalAnalyticDPM, OptimalVariance
from samplers.generative.solvers.ancestral import Ancestral
from samplers.generative.solvers.base import GridSolver, LogSNR, Reversal, Solver
from samplers.generative.solvers.ddim import DDIM
from samplers.generative.solvers.dpm_multistep import DPMSolver2M
from samplers.generative.solvers.dpm_solver import DPMSolver1, DPMSolver2, DPMSolver3
from samplers.generative.solvers.edm import EDM
from samplers.generative.solvers.predictor_corrector import PredictorCorrector
from samplers.generative.solvers.probability_flow import Euler, Heun
from samplers.generative.solvers.reverse_sde import EulerMaruyama, ExponentialIntegrator, PlugIn
from samplers.generative.solvers.torch_sde import TorchSDE

__all__ = [
    "AdaptiveFlow",
    "AnalyticDPM",
    "Ancestral",
    "DDIM",
    "DPMSolver1",
    "DPMSolver2",
    "DPMSolver2M",
    "DPMSolver3",
    "DiagonalAnalyticDPM",
    "EDM",
    "Euler",
    "EulerMaruyama",
    "ExponentialIntegrator",
    "GridSolver",
    "Heun",
    "LogSNR",
    "OptimalVariance",
    "PlugIn",
    "PredictorCorrector",
    "Reversal",
    "Solver",
    "TorchSDE",
]
