"""Densities known up to a constant, each with what is exactly known about it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from targets.affine import Affine
from targets.base import Moments, Target, Variable
from targets.benchmarks import benchmark, benchmarks
from targets.boltzmann import Boltzmann
from targets.discrete import DiscreteLogDensity, DiscreteTarget, UniformSites
from targets.eight_schools import EightSchools
from targets.funnel import Funnel
from targets.gaussian import Gaussian
from targets.gaussian_mixture import GaussianMixture
from targets.ising import Ising
from targets.log_density import LogDensity, from_numpy
from targets.log_gaussian_cox import LogGaussianCox
from targets.logistic_regression import LogisticRegression
from targets.many_well import ManyWell, SquareWell
from targets.mrf_noise import MRFNoise
from targets.mueller_brown import MuellerBrown
from targets.noise import CorrelatedNoise, IsotropicNoise, Noise
from targets.pairwise_mrf import PairwiseMRF
from targets.parameter import Parameter
from targets.parameters import CorrelationCholesky, Interval, Ordered, Positive, Real, Simplex
from targets.particle_systems import DoubleWellParticles, LennardJones
from targets.phi_four_chain import PhiFourChain
from targets.phi_four_lattice import PhiFourLattice
from targets.posterior import Posterior
from targets.potts import Potts
from targets.prior import Prior
from targets.product import Product
from targets.pyro_model import from_pyro
from targets.relaxed import RelaxedMRF
from targets.rings import CosineRings, NearestRing, Rings
from targets.student_mixture import StudentMixture
from targets.tempered import Tempered
from targets.toy import Banana, LogExponential
from targets.wells import DoubleWell, Prinz, ThreeHole
from targets.with_truth import WithTruth, with_truth

if TYPE_CHECKING:
    from targets.jax_density import from_jax
    from targets.numpyro_model import from_numpyro
    from targets.pymc_model import from_pymc
    from targets.stan_model import from_stan

# models written elsewhere are read when they are first asked for: few programs have one
_ELSEWHERE = {
    "from_jax": "targets.jax_density",
    "from_numpyro": "targets.numpyro_model",
    "from_pymc": "targets.pymc_model",
    "from_stan": "targets.stan_model",
}

__all__ = [
    "Affine",
    "Banana",
    "Boltzmann",
    "CorrelatedNoise",
    "CorrelationCholesky",
    "CosineRings",
    "DiscreteLogDensity",
    "DiscreteTarget",
    "DoubleWell",
    "DoubleWellParticles",
    "EightSchools",
    "Funnel",
    "Gaussian",
    "GaussianMixture",
    "Interval",
    "Ising",
    "IsotropicNoise",
    "LennardJones",
    "LogDensity",
    "LogExponential",
    "LogGaussianCox",
    "LogisticRegression",
    "MRFNoise",
    "ManyWell",
    "Moments",
    "MuellerBrown",
    "NearestRing",
    "Noise",
    "Ordered",
    "PairwiseMRF",
    "Parameter",
    "PhiFourChain",
    "PhiFourLattice",
    "Positive",
    "Posterior",
    "Potts",
    "Prinz",
    "Prior",
    "Product",
    "Real",
    "RelaxedMRF",
    "Rings",
    "Simplex",
    "SquareWell",
    "StudentMixture",
    "Target",
    "Tempered",
    "ThreeHole",
    "UniformSites",
    "Variable",
    "WithTruth",
    "benchmark",
    "benchmarks",
    "from_jax",
    "from_numpy",
    "from_numpyro",
    "from_pymc",
    "from_pyro",
    "from_stan",
    "with_truth",
]


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module 'targets' has no attribute {name!r}")
    value = getattr(import_module(_ELSEWHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
