"""The no-U-turn sampler of NumPyro."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from samplers.peers.nuts import NUTSPeer
from samplers.runs.plan import Plan

STATISTICS = {"acceptance_rate": "accept_prob", "diverging": "diverging", "energy": "energy", "n_steps": "num_steps"}


@dataclass(frozen=True)
class NumpyroNUTS(NUTSPeer):
    """NUTS of NumPyro on the potential -log p, after its warmup; needs the package numpyro.

    A trajectory of leapfrog steps is doubled until it turns on itself, and the next state drawn from it in proportion
    to exp(-energy): leaves the target invariant. Hyper-parameters and cost are explained at `NUTSPeer`; NumPyro calls
    them target_accept_prob, dense_mass, max_tree_depth and step_size.

    Raises ValueError for hyper-parameters out of range. Hoffman and Gelman 2014, https://arxiv.org/abs/1111.4246; Phan,
    Pradhan and Jankowiak 2019, https://arxiv.org/abs/1912.11554.

    target_acceptance: a probability. dense_mass: a dense mass matrix instead of a diagonal one. max_doublings: of a
    trajectory. step_size: before warmup.

        >>> from samplers.peers import NumpyroNUTS
        >>> NumpyroNUTS(dense_mass=True).packages
        ('jax', 'numpyro')
    """

    packages: ClassVar = ("jax", "numpyro")

    def chains(self, log_prob: Callable[[Any], Any], plan: Plan) -> Callable[[Any, Any], Any]:
        """The whole of `MCMC.run`, with chain_method="vectorized"."""
        from numpyro.infer import MCMC, NUTS

        def chains(key: Any, starts: Any) -> Any:
            nuts = NUTS(
                potential_fn=lambda x: -log_prob(x),
                step_size=float(self.step_size),
                target_accept_prob=self.target_acceptance,
                dense_mass=self.dense_mass,
                max_tree_depth=self.max_doublings,
            )
            mcmc = MCMC(
                nuts,
                num_warmup=plan.warmup,
                num_samples=plan.draws * plan.thin,
                num_chains=plan.chains,
                chain_method="vectorized",
                progress_bar=False,
            )
            start = starts if plan.chains > 1 else starts[0]
            mcmc.run(key, init_params=start, extra_fields=("potential_energy", *STATISTICS.values()))
            fields = mcmc.get_extra_fields(group_by_chain=True)
            stats = {"lp": -fields["potential_energy"]} | {name: fields[own] for name, own in STATISTICS.items()}
            found = mcmc.last_state.adapt_state
            tuned = {"step_size": found.step_size, "inverse_mass_matrix": found.inverse_mass_matrix}
            return mcmc.get_samples(group_by_chain=True), stats, tuned

        return chains
