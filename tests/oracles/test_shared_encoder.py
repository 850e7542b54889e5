"""One encoder for critics, policy and V: the same updates as networks of their own that see the same.

Twins: a method whose other networks have encoders of their own, equal to the critics'. Adam's first step is
that of the gradient's sign, so that equal networks after it mean equal gradients.
"""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from suture.algorithms.base import Spec, Trainable
from suture.algorithms.encoding import SharesEncoder
from suture.algorithms.table import ALGORITHMS
from suture.keys import key_for
from suture.nets.conv import ConvNet
from suture.nets.encoder import Image
from suture.spaces import Box
from suture.testing.contract import example_batch

ACTION = Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2)
PICTURES, NUMBERS = (Spec(observation=seen, action=ACTION) for seen in (Box((8, 8, 1), "uint8"), Box((3,))))
FAMILIES = ("iql", "awac", "cql", "td3")
NAMES = [name for name, kind in ALGORITHMS.items() if issubclass(kind, SharesEncoder)]
STILL = 1e-30
"""A step size that moves nothing."""
RELATIVE = 1e-4


@functools.cache
def method(name: str, *, shared: bool = True, **rates: float) -> Any:
    kind: Any = ALGORITHMS[name]
    small = {"hidden": (4, 4), "shared_encoder": shared, **rates}
    return kind(**small, **({"actor_every": 1} if "actor_every" in kind.__dataclass_fields__ else {}))


def updated(algorithm: Any, state: Any, spec: Spec) -> tuple[Any, Any]:
    batch = example_batch(spec, algorithm.needs)
    return eqx.filter_jit(type(algorithm).update)(algorithm, state, batch, key_for(1, "update"))


def twin_of(algorithm: Any, spec: Spec) -> tuple[Any, Any]:
    """The method with encoders of its own, and a first state in which all of them are the critics'."""
    own = dataclasses.replace(algorithm, shared_encoder=False)
    state = own.init(spec, key_for(0, "init"))
    encoder = own.critic(state).encoder

    def seeing(node: Any) -> Any:
        if isinstance(node, Trainable):  # not what its optimiser keeps of an encoder
            return Trainable(jax.tree.map(seeing, node.net, is_leaf=is_image), node.optimiser)
        return encoder if is_image(node) else node

    return own, jax.tree.map(seeing, state, is_leaf=lambda node: isinstance(node, Image | Trainable))


def is_image(node: Any) -> bool:
    return isinstance(node, Image)


def layers(state: Any) -> list[Any]:
    """All numbers of a state but those of encoders, and of the moments that optimisers keep of encoders."""
    is_net = lambda node: isinstance(node, ConvNet)  # noqa: E731
    bare = jax.tree.map(lambda node: None if is_net(node) else node, state, is_leaf=is_net)
    return [leaf for leaf in jax.tree.leaves(bare) if eqx.is_inexact_array(leaf)]


def agree(one: list[Any], two: list[Any]) -> None:
    assert len(one) == len(two)
    for mine, other in zip(one, two, strict=True):
        np.testing.assert_allclose(mine, other, rtol=RELATIVE, atol=1e-6)


def test_methods_share_one() -> None:
    """Those whose policy or V is trained beside critics, and no model of the behaviour with it."""
    assert set(NAMES) == {
        "iql", "ifql", "awac", "crr", "cql", "cal_ql", "td3", "td3_bc", "rebrac", "sac", "sac_n", "edac"
    }  # fmt: skip


@pytest.mark.parametrize("name", [*FAMILIES, "ifql"])
def test_where_nothing_is_encoded_it_changes_nothing(name: str) -> None:
    after = []
    for shared in (True, False):
        algorithm = method(name, shared=shared)
        state = algorithm.init(NUMBERS, key_for(0, "init"))
        after.append(updated(algorithm, state, NUMBERS))
    agree(layers(after[0]), layers(after[1]))


@pytest.mark.parametrize("name", FAMILIES)
def test_critics_learn_as_beside_twins(name: str) -> None:
    """V, whose new self is in the target, stands still."""
    algorithm = method(name, **({"value_learning_rate": STILL} if name == "iql" else {}))
    own, beside = twin_of(algorithm, PICTURES)
    state, _ = updated(algorithm, algorithm.init(PICTURES, key_for(0, "init")), PICTURES)
    expected, _ = updated(own, beside, PICTURES)
    mine = own.critic(state)
    agree(jax.tree.leaves(mine), jax.tree.leaves(own.critic(expected)))
    before = own.critic(beside)
    assert not np.allclose(mine.encoder.net.kernel, before.encoder.net.kernel, atol=1e-6)
    acting = {id(leaf) for leaf in jax.tree.leaves(algorithm.policy(state).encoder)}
    assert acting == {id(leaf) for leaf in jax.tree.leaves(mine.encoder)}, "what acts sees as they do now"


@pytest.mark.parametrize("name", FAMILIES)
def test_others_learn_as_twins_do(name: str) -> None:
    """Beside critics that stand still, so that it does not matter which of two critics is looked through."""
    algorithm = method(name, critic_learning_rate=STILL)
    own, beside = twin_of(algorithm, PICTURES)
    first = algorithm.init(PICTURES, key_for(0, "init"))
    state, metrics = updated(algorithm, first, PICTURES)
    expected, others = updated(own, beside, PICTURES)
    agree(layers(state), layers(expected))
    agree(list(metrics.values()), list(others.values()))
    moved = zip(layers(state), layers(first), strict=True)
    assert any(not np.allclose(new, old, atol=1e-6) for new, old in moved)


def test_a_network_without_an_encoder_says_so() -> None:
    state = method("iql").init(PICTURES, key_for(0, "init"))
    with pytest.raises(RuntimeError, match="through that of the critics"):
        state.value.net(np.zeros((1, 8, 8, 1), np.uint8))
