"""A continuous density from which the spins of a Markov random field can be read."""

from __future__ import annotations

import copy
import math
from typing import Literal

import torch
from torch import Generator, Tensor

from targets._self_coupled import CoupledSpins, Shift, self_coupled
from targets.arguments import check_choice
from targets.base import Target


class RelaxedMRF(Target):
    """For spins p(s) ~ exp(s'Js/2 + b's) and A = J + D positive definite, D diagonal: x given s ~ N(As, A), so that

        log p(x) = -x'A^-1 x / 2 + sum_i log 2 cosh(x_i + b_i),     score = -A^-1 x + tanh(x + b),
        P(s_i = 1 | x) = sigmoid(2 (x_i + b_i)), independent,       E[s | x] = tanh(x + b)

    and with coordinates="w", x = A w, w given s ~ N(s, A^-1), which needs no inverse:

        log p(w) = -w'Aw / 2 + sum_i log 2 cosh((Aw + b)_i),        score = A (tanh(Aw + b) - w)

    Draws with `spins` give exact draws of the spins: the transform of Hubbard and Stratonovich, noise of the model's
    own shape. `log_z_difference` = log Z - log Z of the spins = tr D / 2 + n/2 log 2 pi +- log det A / 2 (- for w) is
    always known, log_z, draws, mean and covariance where they are for the spins. `log_concave` says whether A <= I.

    shift: D = shift I for a number, a diagonal (n,), "smallest" (a tenth of the width of J's spectrum above its lower
    end), or "dominance" (D_i above the sum of |J_ij|). A shift couples each spin to its own past, so the smallest mixes
    best. On a torus with a shift that is a number A acts by fast Fourier transforms, else as a dense matrix.
    ValueError for a shift that leaves A not positive definite. Zhang, Sutton, Storkey and Ghahramani 2012.

    mrf: the model of the spins; coordinates: "x" or "w". name: as of `Target`.

        >>> ising = targets.Ising((4, 4), coupling=0.3)
        >>> relaxed = ising.relaxed()
        >>> generator = torch.Generator().manual_seed(0)
        >>> relaxed.spins(relaxed.sample(3, generator=generator), generator=generator).unique()
        tensor([-1.,  1.])
    """

    def __init__(
        self,
        mrf: CoupledSpins,
        shift: Shift | None = None,
        *,
        coordinates: Literal["x", "w"] = "x",
        name: str | None = None,
    ) -> None:
        check_choice(coordinates, "coordinates", ("x", "w"))
        super().__init__(mrf.dim, dtype=mrf.dtype, device=mrf.device, name=name or f"relaxed {mrf.name}")
        self.mrf = mrf
        self.coordinates = coordinates
        self._a = self_coupled(mrf, "smallest" if shift is None else shift)
        self._white = coordinates == "w"
        self._log_det = float(self._a.eigenvalues.log().sum())
        self._half_trace = 0.5 * float(self._a.shift.sum())
        self.log_concave = float(self._a.eigenvalues.max()) <= 1.0
        self._place()

    def _place(self) -> None:
        self._a = copy.copy(self._a)
        self._a.place(self.mrf)
        self.shift = self._a.shift.to(device=self.device, dtype=self.dtype)

    def times_a(self, v: Tensor) -> Tensor:
        """A v, (*batch, n) -> (*batch, n)."""
        return self.mrf.coupled(v) + self.shift * v

    def to_x(self, point: Tensor) -> Tensor:
        """x at a point in the chosen coordinates."""
        return self.times_a(point) if self._white else point

    # The density

    def log_prob(self, x: Tensor) -> Tensor:
        self._check(x)
        image, pair = self._images(x)
        argument = (image if self._white else x) + self.mrf.fields
        return (torch.logaddexp(argument, -argument) - 0.5 * x * pair).sum(-1)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        image, pair = self._images(x)
        argument = (image if self._white else x) + self.mrf.fields
        value = (torch.logaddexp(argument, -argument) - 0.5 * x * pair).sum(-1)
        pull = argument.tanh()
        return value, self.times_a(pull - x) if self._white else pull - pair

    def _images(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The point as x, and what its quadratic form pairs it with: A w, or A^-1 x."""
        if self._white:
            image = self.times_a(x)
            return image, image
        return x, self._a.solve(x)

    # Spins

    def spin_mean(self, x: Tensor) -> Tensor:
        """E[s | x], (*batch, n) -> (*batch, n)."""
        self._check(x)
        return (self.to_x(x) + self.mrf.fields).tanh()

    def spins(self, x: Tensor, *, generator: Generator) -> Tensor:
        """A draw of the spins given each x, (*batch, n) -> (*batch, n): exact ones where x is from this density."""
        self._check(x)
        up = (2 * (self.to_x(x) + self.mrf.fields)).sigmoid()
        uniform = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return torch.where(uniform < up, 1.0, -1.0).to(x.dtype)

    # What is exactly known

    @property
    def _unknown(self) -> frozenset[str]:
        return frozenset({"log_z", "sample", "mean", "covariance", "moments"} - self.mrf.known) | (
            frozenset() if "covariance" in self.mrf.known else frozenset(["moments"])
        )

    @property
    def log_z_difference(self) -> float:
        """log Z of this density minus log Z of the spins."""
        sign = -0.5 if self._white else 0.5
        return self._half_trace + 0.5 * self.dim * math.log(2 * math.pi) + sign * self._log_det

    @property
    def log_z(self) -> float:
        self._need("log_z")
        return self.mrf.log_z + self.log_z_difference

    def sample(self, n: int, *, generator: Generator) -> Tensor:
        self._need("sample")
        spins = self.mrf.sample(n, generator=generator)
        noise = torch.randn(spins.shape, generator=generator, dtype=self.dtype, device=self.device)
        return spins + self._a.whiten(noise) if self._white else self.times_a(spins) + self._a.colour(noise)

    @property
    def mean(self) -> Tensor:
        self._need("mean")
        return self.mrf.mean if self._white else self.times_a(self.mrf.mean)

    @property
    def covariance(self) -> Tensor:
        self._need("covariance")
        spins = self.mrf.covariance
        identity = torch.eye(self.dim, dtype=self.dtype, device=self.device)
        if self._white:
            return self._a.solve(identity) + spins
        return self.times_a(identity) + self.times_a(self.times_a(spins).mT)

    def _need(self, name: str) -> None:
        if name in self._unknown:
            self._raise_unknown(name)
