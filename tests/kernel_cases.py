"""The one list of kernels that the kit runs over: adding a kernel is adding a row."""

import torch

import targets
from samplers import (
    HMC,
    MALA,
    MAMS,
    MCLMC,
    ULA,
    Barker,
    RandomWalkMetropolis,
    RiemannianLangevin,
    UnderdampedLangevin,
)
from samplers.adaptation.metrics import LowRank
from samplers.kernels import RegionalHMC
from samplers.kernels.noncentring import NonCentring


def diagonal_metric(x):
    return 1 + 0.5 * x.square()


def dense_metric(x):
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    return eye + 0.3 * x[:, :, None] * x[:, None, :]


LOW_RANK = LowRank(
    torch.tensor([0.8, 1.3], dtype=torch.float64),
    torch.tensor([[0.6], [0.8]], dtype=torch.float64),
    torch.tensor([0.4], dtype=torch.float64),
)
MASS = torch.tensor([[1.0, 0.3], [0.3, 0.8]], dtype=torch.float64)

DIAGONAL_REGIONS = targets.GaussianMixture(
    torch.tensor([[-1.0, 0.5], [0.5, -2.0], [1.0, 0.0]], dtype=torch.float64),
    scales=torch.tensor([[0.6, 0.5], [1.0, 1.5], [0.3, 0.8]], dtype=torch.float64),
    weights=[0.5, 0.3, 0.2],
)
DENSE_REGIONS = targets.GaussianMixture(
    torch.tensor([[0.0, 0.5], [0.3, -2.0]], dtype=torch.float64), covariances=torch.stack([MASS, 0.2 * MASS])
)


def funnel_coordinates(kind=NonCentring):
    """x_0 moves and stretches by x_1."""
    vector, matrix = torch.zeros(2, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)
    place, places, log_scale, log_scales = vector.clone(), matrix.clone(), vector.clone(), matrix.clone()
    place[0], places[0, 1], log_scale[0], log_scales[0, 1] = 0.2, 0.3, -0.4, 0.35
    return kind(place, places, log_scale, log_scales)


EXACT = {
    "random walk": RandomWalkMetropolis(0.8),
    "random walk, dense": RandomWalkMetropolis(0.8, MASS),
    "MALA": MALA(0.3),
    "MALA, diagonal": MALA(0.3, torch.tensor([0.5, 2.0], dtype=torch.float64)),
    "MALA, dense": MALA(0.3, MASS),
    "MALA, low-rank": MALA(0.3, LOW_RANK),
    "Barker": Barker(1.0),
    "Barker, dense": Barker(1.0, MASS),
    "HMC": HMC(0.5, "identity", steps=4),
    "HMC, jittered and dense": HMC(0.5, MASS, trajectory_length=2.0),
    "HMC, low-rank": HMC(0.5, LOW_RANK, steps=4),
    "MAMS": MAMS(0.7, "identity", steps=3),
    "MAMS, jittered and dense": MAMS(0.7, MASS, trajectory_length=2.0),
    "MAMS, low-rank": MAMS(0.7, LOW_RANK, steps=3),
    "HMC by regions, diagonal": RegionalHMC(0.7, steps=3, regions=DIAGONAL_REGIONS),
    "HMC by regions, dense": RegionalHMC(0.7, trajectory_length=2.0, regions=DENSE_REGIONS),
    "HMC by regions, non-centred": RegionalHMC(
        0.5, steps=3, regions=DIAGONAL_REGIONS, coordinates=funnel_coordinates()
    ),
    "Riemannian, diagonal": RiemannianLangevin(diagonal_metric, 0.4),
    "Riemannian, dense": RiemannianLangevin(dense_metric, 0.4),
}

BIASED = {
    "ULA": ULA(0.3),
    "underdamped": UnderdampedLangevin(0.8),
    "ULA, low-rank": ULA(0.3, LOW_RANK),
    "MCLMC": MCLMC(0.6, MASS),
    "Riemannian, unadjusted": RiemannianLangevin(diagonal_metric, 0.3, adjusted=False),
}

ALL = EXACT | BIASED


# tuned by warmup to their target_acceptance
TUNED = {"random walk": RandomWalkMetropolis(), "MALA": MALA(), "Barker": Barker(), "HMC": HMC(), "MAMS": MAMS()}

# at step sizes for scales of about one: these come in from light tails too, and bear a scale of a fiftieth
ROBUST = {"random walk": RandomWalkMetropolis(1.0), "Barker": Barker(1.0)}


def skewed():
    """N(0, 1) beside log-Exponential: symmetric mistakes cancel on symmetric targets, not here."""
    return targets.Product(
        targets.Gaussian(torch.zeros(1, dtype=torch.float64)),
        targets.LogExponential(1, dtype=torch.float64),
        name="skewed",
    )
