"""The network of QT-Opt's paper: its size, its maps, and a trunk that runs once for many actions."""

import math
import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from suture.errors import ConfigError
from suture.keys import key_for
from suture.nets.qt_opt import QTOptCritic, pooled, qt_opt_critic
from suture.nets.search import SearchPolicy
from suture.objectives.maximise import Choice, CrossEntropy, Interval
from suture.spaces import Box, Dict, Discrete, Space

KEY = key_for(0, "act")


def acting(dimensions: int) -> Box:
    return Box((dimensions,), low=(-1.0,) * dimensions, high=(1.0,) * dimensions)


def seeing(height: int, width: int) -> Dict:
    hand = Dict.of({"camera": Box((height, width, 3), "uint8"), "height": Box((1,))})
    return Dict.of({"closed": Box((1,)), "hand": hand})


def shaped(*sides: int, members: int = 1, layer_norm: bool = False) -> QTOptCritic:
    """The critic of a picture, a hand of two numbers and eight dimensions, of which nothing is allocated."""
    return eqx.filter_eval_shape(
        lambda key: qt_opt_critic(seeing(*sides), acting(8), members, key, layer_norm=layer_norm), KEY
    )


def numbers(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def test_it_has_1_24_million_parameters_at_472_pixels() -> None:
    """16 convolutions; 10 numbers to 256, 64; 8 x 8 x 64 features to 64, 64, 1: each with its biases."""
    convolutions = (6 * 6 * 3 + 1) * 64 + 6 * (25 * 64 + 1) * 64 + 9 * (9 * 64 + 1) * 64
    layers = (10 + 1) * 256 + (256 + 1) * 64 + (8 * 8 * 64 + 1) * 64 + (64 + 1) * 64 + 64 + 1
    critic = shaped(472, 472)
    assert numbers(critic) == convolutions + layers == 1_239_809
    assert critic.action_size == 8
    normed = numbers(shaped(472, 472, layer_norm=True))
    assert normed - convolutions - layers == 2 * (16 * 64 + 256 + 2 * 64)


@pytest.mark.parametrize(
    ("sides", "map_of", "last", "features"),
    [((8, 8), (1, 1), 0, 64), ((48, 48), (3, 3), 0, 256), ((64, 64), (4, 4), 0, 256),
     ((100, 190), (6, 11), 1, 256), ((472, 472), (27, 27), 3, 4096)],
)  # fmt: skip
def test_small_pictures_leave_out_the_last_convolutions(
    sides: tuple[int, int], map_of: tuple[int, int], last: int, features: int
) -> None:
    critic = shaped(*sides)
    found = eqx.filter_eval_shape(critic.trunk, jax.ShapeDtypeStruct((5, *sides, 3), "uint8"))
    assert found.shape == (5, *map_of, 64)
    assert len(critic.heads[0].last) == last
    assert critic.heads[0].dense.layers[0].weight.shape == (features, 64)
    seen = {
        "closed": jax.ShapeDtypeStruct((5, 1), "float32"),
        "hand": {
            "camera": jax.ShapeDtypeStruct((5, *sides, 3), "uint8"),
            "height": jax.ShapeDtypeStruct((5, 1), "float32"),
        },
    }
    action = jax.ShapeDtypeStruct((7, 5, 8), "float32")
    assert eqx.filter_eval_shape(critic, seen, action).shape == (1, 7, 5)


def test_pooling_is_that_of_padded_windows() -> None:
    x = jax.nn.relu(jax.random.normal(KEY, (2, 7, 11, 4)))
    for width in (2, 3):
        windows = (1, width, width, 1)
        exact = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, windows, windows, "SAME")
        np.testing.assert_array_equal(pooled(x, width), exact)


def drawn(rows: int) -> tuple[QTOptCritic, Any]:
    """A critic of two members for pictures of 20 x 24, and observations of some rows."""
    space = seeing(20, 24)
    rng = np.random.default_rng(0)
    picture = rng.integers(256, size=(rows, 20, 24, 3)).astype(np.uint8)
    hand = {"camera": picture, "height": rng.normal(size=(rows, 1)).astype(np.float32)}
    seen = {"closed": rng.normal(size=(rows, 1)).astype(np.float32), "hand": hand}
    make = eqx.filter_jit(lambda key: qt_opt_critic(space, acting(3), 2, key, layer_norm=True))
    return make(KEY), seen


def test_many_actions_are_valued_as_one_by_one() -> None:
    critic, seen = drawn(5)
    value = eqx.filter_jit(lambda critic, seen, action: critic(seen, action))
    actions = jax.random.uniform(KEY, (4, 5, 3), minval=-1.0)
    together = value(critic, seen, actions)
    assert together.shape == (2, 4, 5)
    alone = jnp.stack([value(critic, seen, action) for action in actions], axis=1)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(value(critic.first(), seen, actions), together[:1], rtol=1e-4, atol=1e-5)
    # each of the three matters: the action, the picture, the other numbers
    assert float(jnp.ptp(together, axis=1).min()) > 1e-3
    other = {**seen, "hand": {**seen["hand"], "camera": 255 - seen["hand"]["camera"]}}
    assert float(jnp.abs(value(critic, other, actions) - together).min()) > 1e-4
    closed = {**seen, "closed": seen["closed"] + 1}
    assert float(jnp.abs(value(critic, closed, actions) - together).min()) > 1e-4


def test_a_picture_is_encoded_once_in_a_search() -> None:
    """Seven convolutions of the three pictures alone, and six of each sample's map in each of two rounds."""
    critic, seen = drawn(3)
    search = CrossEntropy((Interval(1), Choice(2)), samples=8, elites=2, iterations=2)
    act: Any = eqx.filter_jit(lambda critic, seen: SearchPolicy(critic.first(), search)(seen).sample(KEY))
    compiled = act.lower(critic, seen).compile().compiled.as_text()
    rows = re.findall(r"= f32\[(\d+),[\d,]+\]\S* convolution\(", compiled)
    assert sorted(map(int, rows)) == [3] * 7 + [3 * 8] * 2 * 6


@pytest.mark.parametrize(
    ("space", "count"),
    [(Box((4,)), 0), (Dict.of({"hand": Box((3,)), "mode": Discrete(2)}), 0),
     (Dict.of({"left": Box((48, 48, 3), "uint8"), "right": Box((48, 48, 3), "uint8")}), 2)],
)  # fmt: skip
def test_it_needs_one_picture(space: Space, count: int) -> None:
    with pytest.raises(ConfigError, match=rf"one picture .* found {count} in .*network='late'"):
        qt_opt_critic(space, acting(2), 1, KEY)
