"""One encoder for all networks: the critics'. What else looks at an observation looks through it.

A picture is then encoded once for the critics, the policy and V together, and it is the critics' loss that
decides what is seen in it: Yarats et al. 2021 (arXiv:2107.09645), DrQ-v2.
"""

import dataclasses

from suture.algorithms.critic_based import CriticBased, S
from suture.config import bounded
from suture.nets.critics import Critic
from suture.nets.encoder import Encoded, through, without_encoder


@dataclasses.dataclass(frozen=True)
class SharesEncoder(CriticBased[S]):
    """A method whose policy (and V) can do without an encoder of their own."""

    shared_encoder: bool = bounded(
        False, source="Yarats et al. 2021 (arXiv:2107.09645)",
        help="the policy (and V) look through the critics' encoder, which only the critics' loss trains: "
        "for pictures, of which each is then encoded once",
    )  # fmt: skip

    def own(self, net: Encoded) -> Encoded:
        """A fresh network as it is kept in the state: without an encoder where it looks through another's."""
        return without_encoder(net) if self.shared_encoder else net

    def seeing(self, net: Encoded, critic: Critic) -> Encoded:
        """A kept network as it is asked."""
        return through(net, critic) if self.shared_encoder else net
