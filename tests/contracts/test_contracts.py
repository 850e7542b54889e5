"""Every algorithm keeps the contract, and the suite that says so finds each way of breaking it."""

import dataclasses
import itertools
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from suture.algorithms.base import Algorithm, Batch, Metrics, Spec, Trainable, scalars
from suture.algorithms.bc import BC
from suture.algorithms.table import ALGORITHMS
from suture.config import fields_of
from suture.keys import Key
from suture.nets.optimiser import adam
from suture.nets.policies import Policy, policy_for
from suture.testing import check_algorithm

WIDTHS = {
    "hidden": (8, 8), "behaviour_hidden": (8, 8), "latent": 2, "lag": 1, "samples": 8, "flow_steps": 2,
    "behaviour_steps": 1,
}  # fmt: skip


def small(kind: type[Algorithm[Any]], **fields: Any) -> Algorithm[Any]:
    """An algorithm with small networks."""
    known = fields_of(kind)
    return kind(**{name: value for name, value in WIDTHS.items() if name in known}, **fields)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithms_keep_the_contract(name: str) -> None:
    check_algorithm(small(ALGORITHMS[name]))


class OneState(eqx.Module):
    """A policy, and what a broken algorithm does with it."""

    actor: Trainable[Policy]
    extra: Any = None


@dataclasses.dataclass(frozen=True)
class Broken(Algorithm[OneState]):
    """Behavioural cloning with one thing wrong."""

    name: ClassVar[str] = "broken"
    actions: ClassVar[frozenset[str]] = frozenset({"continuous"})

    what: str = "nothing"

    def init(self, spec: Spec, key: Key) -> OneState:
        policy = policy_for(spec.observation, spec.action, "gaussian", (4,), key)
        extra = jnp.zeros((2, 2)) if self.what == "idle weights" else None
        return OneState(Trainable.of(policy, adam(1e-3)), extra)

    def update(self, state: OneState, batch: Batch, key: Key) -> tuple[OneState, Metrics]:
        assert batch.discount is not None

        def loss(policy: Policy) -> tuple[jax.Array, Metrics]:
            value = -policy(batch.observation, key).log_prob(batch.action).mean()
            if self.what == "bootstraps past ends":
                value += policy(batch.next_observation).log_prob(batch.action).mean()
            if self.what == "order":
                value *= 1 + batch.reward[0] ** 2  # type: ignore[index]
            return value, scalars(actor_loss=value)

        actor, metrics = state.actor.descend(loss, adam(1e-3))
        if self.what == "not finite":
            actor = jax.tree.map(lambda leaf: leaf / 0 if eqx.is_inexact_array(leaf) else leaf, actor)
        if self.what == "impure":
            actor = jax.tree.map(lambda leaf: leaf + next(COUNTER), actor)
        if self.what == "vector metric":
            metrics["actor/loss"] = metrics["actor/loss"][None]
        if self.what == "structure":
            return OneState(actor, jnp.zeros(())), metrics
        return OneState(actor, state.extra), {} if self.what == "no metrics" else metrics

    def policy(self, state: OneState) -> Policy:
        if self.what == "one action for all":
            return eqx.tree_at(lambda p: p.encoder, state.actor.net, replace=_First())
        return state.actor.net


COUNTER = itertools.count()


class _First(eqx.Module):
    size: int = 0

    def __call__(self, observation: Any) -> Any:
        return jax.tree.leaves(observation)[0].reshape(-1)[:5]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("idle weights", "does not change with updates"),
        ("bootstraps past ends", "past a true end"),
        ("order", "depends on the order"),
        ("not finite", "is not finite"),
        ("impure", "not pure"),
        ("vector metric", "expected a scalar"),
        ("structure", "changes the structure"),
        ("no metrics", "reports no metrics"),
        ("one action for all", "has shape"),
    ],
)
def test_what_breaks_the_contract_is_found(what: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_algorithm(Broken(what=what))


def test_what_is_whole_passes() -> None:
    check_algorithm(Broken())


def test_a_field_that_accepts_what_it_forbids_is_found() -> None:
    @dataclasses.dataclass(frozen=True)
    class Lax(BC):
        """Does not check its fields."""

        def __post_init__(self) -> None:
            """Nothing."""

    with pytest.raises(AssertionError, match="lies outside its bounds"):
        check_algorithm(small(Lax))
