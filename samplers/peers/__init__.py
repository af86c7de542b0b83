"""What a user would pick instead: samplers of other packages under the verb `sample`, to stand in the same table.

They need the extra `peers`; nothing of it is imported before a peer runs.
"""

from samplers.peers.base import ChainPeer, Peer
from samplers.peers.blackjax_nuts import BlackjaxNUTS
from samplers.peers.blackjax_smc import BlackjaxTemperedSMC
from samplers.peers.emcee_ensemble import Emcee
from samplers.peers.numpyro_nuts import NumpyroNUTS

__all__ = ["BlackjaxNUTS", "BlackjaxTemperedSMC", "ChainPeer", "Emcee", "NumpyroNUTS", "Peer"]
