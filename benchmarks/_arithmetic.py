"""The matrix products that one update of each method cannot avoid, counted by hand; and those that it does.

`unavoidable` is the limit of `updates.py`: products of the layers, forward and backward, where what
depends on the observation alone is computed once for all action samples of a row. `performed` counts the
products in the traced update, so that hidden work would show.
"""

import dataclasses
import itertools
import math
from typing import Any

import jax

from suture.algorithms.base import Algorithm, Spec
from suture.keys import key_for
from suture.nets.conv import CHANNELS, FEATURES, PATCHES
from suture.spaces import Box, Discrete
from suture.testing.contract import example_columns

OBSERVATION, ACTION, HIDDEN, BATCH = 17, 6, (256, 256), 256


@dataclasses.dataclass(frozen=True)
class Net:
    """A perceptron: multiplications for one row.   action: how many inputs are an action or a noise."""

    inputs: int
    outputs: int
    action: int = 0

    @property
    def layers(self) -> list[int]:
        return [a * b for a, b in itertools.pairwise((self.inputs, *HIDDEN, self.outputs))]

    def forward(self, samples: int = 1) -> int:
        """Answers for some actions of one row; the observation's part of the first layer is done once."""
        shared = (self.inputs - self.action) * HIDDEN[0]
        return shared + samples * (sum(self.layers) - shared)

    def train(self, samples: int = 1) -> int:
        """Answers, gradients of the weights, and of every layer's input but the first's."""
        return 2 * self.forward(samples) + samples * sum(self.layers[1:])

    def through(self) -> int:
        """Answers, and the gradient with respect to the action: no gradients of weights."""
        return sum(self.layers) + sum(self.layers[1:]) + self.action * HIDDEN[0]


Q, V = Net(OBSERVATION + ACTION, 1, ACTION), Net(OBSERVATION, 1)
POINT, GAUSSIAN = Net(OBSERVATION, ACTION), Net(OBSERVATION, 2 * ACTION)
LATENT = 2 * ACTION
ENCODER = Net(OBSERVATION + ACTION, 2 * LATENT, ACTION)
DECODER = Net(OBSERVATION + LATENT, ACTION, LATENT)
VAE = ENCODER.train() + DECODER.train() + LATENT * HIDDEN[0]
MOVE = Net(OBSERVATION + ACTION, ACTION, ACTION)
SAMPLES, TARGETS, MMD, WINDOW = 10, 10, 4, 16
CHOICES = Net(OBSERVATION, ACTION)
ACTOR_CRITIC = 2 * Q.forward() + 2 * Q.train()

SOFT = GAUSSIAN.forward() + GAUSSIAN.train() + 2 * Q.through()
CONSERVATIVE = SOFT + 2 * Q.forward() + 2 * Q.train(1 + 3 * SAMPLES)
# all answers, and the gradients of two: to the logged action, and to the one that is drawn
DRAWN = SOFT + 2 * Q.forward() + 2 * Q.forward(3 * SAMPLES) + 2 * Q.train() + 2 * Q.train()
MEMBERS, FLOW_STEPS, SEARCHED = 10, 10, 2 * 64
FLOW = Net(OBSERVATION + ACTION + 1, ACTION, ACTION + 1)

MULTIPLICATIONS: dict[str, float] = {
    "bc": POINT.train(),
    # V trained, then asked for s and s'; two critics trained and two targets asked; the policy trained
    "iql": V.train() + 2 * V.forward() + 2 * Q.forward() + 2 * Q.train() + POINT.train(),
    # V trained, and asked again; its slow copy asked for every next state of a window; the policy trained
    "awr": V.train() + V.forward() + WINDOW * V.forward() + POINT.train(),
    # the policy asked at s'; two targets; two critics; every second update the policy through one critic
    "td3": POINT.forward() + ACTOR_CRITIC + (POINT.train() + Q.through()) / 2,
    "td3_bc": POINT.forward() + ACTOR_CRITIC + (POINT.train() + Q.through()) / 2,
    "rebrac": POINT.forward() + ACTOR_CRITIC + (POINT.train() + 2 * Q.through()) / 2,
    "sac": SOFT + ACTOR_CRITIC,
    "sac_n": GAUSSIAN.forward() + GAUSSIAN.train() + MEMBERS * (Q.forward() + Q.train() + Q.through()),
    # beside SAC-N's, the slopes of all critics, and the gradients of these with respect to the weights
    "edac": GAUSSIAN.forward() + GAUSSIAN.train()
    + MEMBERS * (Q.forward() + Q.train() + Q.through() + 3 * (Q.through() - sum(Q.layers))),
    # the clone asked at both observations
    "brac": SOFT + ACTOR_CRITIC + 2 * GAUSSIAN.forward(),
    # two critics asked for the logged and for the policy's own actions
    "awac": POINT.forward() + ACTOR_CRITIC + 2 * Q.forward(2) + POINT.train(),
    "crr": POINT.forward() + ACTOR_CRITIC + 2 * Q.forward(1 + 4) + POINT.train(),
    "cql": CONSERVATIVE,
    "cal_ql": CONSERVATIVE,
    "cql-drawn": DRAWN,
    "cal_ql-drawn": DRAWN,
    "bear": VAE + GAUSSIAN.forward() + 2 * Q.forward(TARGETS) + 2 * Q.train()
    + DECODER.forward(MMD) + GAUSSIAN.train() + 2 * Q.through(),
    "bcq": VAE + DECODER.forward(TARGETS) + MOVE.forward(TARGETS) + 2 * Q.forward(TARGETS)
    + 2 * Q.train() + DECODER.forward() + MOVE.train() + Q.through(),
    # the jump asked at s'; the flow trained and followed; the jump trained through both critics
    "fql": MOVE.forward() + ACTOR_CRITIC + FLOW.train() + FLOW.forward(FLOW_STEPS) + MOVE.train()
    + 2 * Q.through(),
    "ifql": V.train() + 2 * V.forward() + ACTOR_CRITIC + FLOW.train(),
    # two rounds of 64 candidates by the slow critic; its value again; the critic trained
    "dqn": 2 * CHOICES.forward() + CHOICES.train(),
    "qt_opt": Q.forward(SEARCHED) + Q.forward() + Q.train(),
}  # fmt: skip


def unavoidable(name: str) -> float:
    """Floating-point operations (two a multiplication) of one update of a batch."""
    return 2.0 * BATCH * MULTIPLICATIONS[name]


def performed(algorithm: Algorithm[Any], spec: Spec | None = None, rows: int = BATCH) -> float:
    """Floating-point operations of the products and convolutions in the traced update of a batch of `rows`.

    Of two branches, the mean. A convolution counts every tap, also where it meets a zero put between rows.
    """
    spec = spec or spec_of(algorithm)
    few = algorithm.batch(example_columns(spec, algorithm.needs, algorithm.window))
    batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), leaf.dtype), few)
    key = key_for(0, "update")
    state = jax.eval_shape(lambda key: algorithm.init(spec, key), key)
    return _count(jax.make_jaxpr(algorithm.update)(state, batch, key).jaxpr)


def spec_of(algorithm: Algorithm[Any]) -> Spec:
    """The problem of the speed benchmark: of as many choices, for methods that know no other actions."""
    box = Box((ACTION,), low=(-1.0,) * ACTION, high=(1.0,) * ACTION)
    action = box if "continuous" in algorithm.actions else Discrete(ACTION)
    return Spec(observation=Box((OBSERVATION,)), action=action)


def _count(jaxpr: Any) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            (left, _), _ = params["dimension_numbers"]
            contracted = math.prod(equation.invars[0].aval.shape[axis] for axis in left)
            total += 2.0 * contracted * math.prod(equation.outvars[0].aval.shape)
        elif name == "conv_general_dilated":
            kernel, layout = equation.invars[1].aval, params["dimension_numbers"].rhs_spec
            taps = math.prod(kernel.shape) / kernel.shape[layout[0]]
            total += 2.0 * taps * math.prod(equation.outvars[0].aval.shape)
        elif name == "cond":
            branches = [_count(branch.jaxpr) for branch in params["branches"]]
            total += sum(branches) / len(branches)
        else:
            times = params.get("length", 1) if name == "scan" else 1
            total += times * sum(_count(inner) for inner in _inner(params))
    return total


def _inner(params: dict[str, Any]) -> list[Any]:
    """The programs inside an operation; of a custom derivative, the forward program alone."""
    found: list[Any] = []
    for value in params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            if hasattr(one, "eqns"):
                found.append(one)
            elif hasattr(one, "jaxpr") and hasattr(one.jaxpr, "eqns"):
                found.append(one.jaxpr)
    return found


def encoder_layers(pixels: int, channels: int = 3) -> list[int]:
    """Multiplications of each layer of the product's encoder (nets/conv.py), for one square picture."""
    layers = list[int]()
    for out, patch in zip(CHANNELS[:-1], PATCHES, strict=True):
        pixels = -(-pixels // patch)
        layers.append(pixels**2 * patch**2 * channels * out)
        channels = out
    return [*layers, pixels**2 * 9 * channels * CHANNELS[-1], pixels**2 * CHANNELS[-1] * FEATURES]
