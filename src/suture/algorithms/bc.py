"""Behavioural cloning: imitate the log, or the best part of it.

Sources: Pomerleau 1988 (BC); Chen et al. 2021 (arXiv:2106.01345), section 5.1 (filtered BC).
"""

import dataclasses
from typing import ClassVar

import equinox as eqx
import numpy as np
import optax
from jaxtyping import Array

from suture.algorithms import fields
from suture.algorithms.base import Algorithm, Batch, Metrics, Spec, Trainable, scalars
from suture.config import bounded
from suture.data.dataset import Dataset
from suture.errors import DataRefused
from suture.keys import Key
from suture.nets.optimiser import adam
from suture.nets.policies import Head, Policy, policy_for
from suture.spaces import Array as HostArray


class BCState(eqx.Module):
    """The cloned policy."""

    actor: Trainable[Policy]


@dataclasses.dataclass(frozen=True)
class BC(Algorithm[BCState]):
    """Behavioural cloning: maximise `E log pi(action | observation)` over the log."""

    name: ClassVar[str] = "bc"
    needs: ClassVar[frozenset[str]] = frozenset({"observation", "action"})

    head: Head = fields.head()
    hidden: tuple[int, ...] = fields.hidden()
    learning_rate: float = fields.learning_rate("the policy")
    dropout: float = fields.dropout()

    def _adam(self) -> optax.GradientTransformation:
        return adam(self.learning_rate)

    def init(self, spec: Spec, key: Key) -> BCState:
        policy = policy_for(spec.observation, spec.action, self.head, self.hidden, key, dropout=self.dropout)
        return BCState(Trainable.of(policy, self._adam()))

    def update(self, state: BCState, batch: Batch, key: Key) -> tuple[BCState, Metrics]:
        def loss(policy: Policy) -> tuple[Array, Metrics]:
            value = -policy(batch.observation, key).log_likelihood(batch.action).mean()
            return value, scalars(actor_loss=value)

        actor, metrics = state.actor.descend(loss, self._adam())
        return BCState(actor), metrics

    def policy(self, state: BCState) -> Policy:
        return state.actor.net


@dataclasses.dataclass(frozen=True)
class FilteredBC(BC):
    """Behavioural cloning of the episodes with the highest returns."""

    name: ClassVar[str] = "filtered_bc"

    top: float = bounded(
        0.1, above=0.0, at_most=1.0, traced=False, unit="share of the transitions",
        help="episodes are kept from the best return down until they hold this share",
        source="Chen et al. 2021 (arXiv:2106.01345)",
    )  # fmt: skip

    def rows(self, dataset: Dataset) -> HostArray:
        """Rows of the best episodes: whole episodes, sampled by transition (ties: the earlier episode)."""
        if dataset.returns is None:
            raise DataRefused(f"{self.name} ranks episodes by return and {dataset.source} has no rewards.")
        ranked = np.argsort(-dataset.returns, kind="stable")
        share = round(self.top * len(dataset), 6)  # 0.07 * 100 is a little more than 7
        needed = int(np.searchsorted(np.cumsum(dataset.lengths[ranked]), share)) + 1
        kept = np.zeros(dataset.episodes, bool)
        kept[ranked[:needed]] = True
        return kept[dataset.episode_index]
