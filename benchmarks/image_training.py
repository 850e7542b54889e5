"""Images a second in training from pictures of 64x64, what the arithmetic allows, and where the time goes.

    python benchmarks/image_training.py [--quick] [--methods cql iql bc qt_opt] [--crop 4] [--json FILE]

An image is a row of a batch: its picture and the next one count as one. Pictures, eight actions and rewards
are synthetic; networks behind the encoder have two hidden layers of 256. The limit is the arithmetic that no
program can avoid (each picture once through each network that is asked about it) at the best float32
matrix-product rate of the same round. Parts of an update are timed as compiled programs of their own, in turn
with the whole: batch, encoders that are asked, encoders that are trained, heads (the method itself, on
features), optimiser. Further rows compare encoders of convolutions with the present one, trained
alone, and show what convolutions cost inside a compiled loop, which `training/program.py` avoids on a CPU.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable
from operator import mul
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from _arithmetic import HIDDEN, Net, encoder_layers, performed
from _bench import Options, Row, alternate, gemm_limit, rate_of, show, write_rows

from suture.algorithms.base import Algorithm, Spec, follow
from suture.algorithms.table import ALGORITHMS
from suture.data.stage import Column, Rows
from suture.keys import key_for
from suture.nets.conv import FEATURES, ConvNet, in_patches
from suture.nets.encoder import Image
from suture.nets.mlp import Linear, noise
from suture.nets.optimiser import adam
from suture.spaces import Box, Space
from suture.testing.contract import example_batch
from suture.training import device
from suture.training.program import Members, Program, sample_rows

SHAPES = ((256, 256, 256), (1024, 1024, 1024))
PICTURE, ACTION, GOAL = (64, 64, 3), 8, 1_500
Q, V, POLICY, SQUASHED = (Net(FEATURES + ACTION, 1, ACTION), Net(FEATURES, 1), Net(FEATURES, ACTION),
                          Net(FEATURES, 2 * ACTION))  # fmt: skip
TO_FEATURES = FEATURES * HIDDEN[0]
"""Of the gradient that a head hands to its encoder."""
PASSES = {"bc": (1, 0), "iql": (3, 3), "cql": (2, 2), "qt_opt": (1, 2)}
"""Encoders that are trained, and passes of encoders that are only asked, in one update."""
HEADS = {
    "bc": POLICY.train() + TO_FEATURES,
    "iql": V.train() + 2 * V.forward() + 2 * Q.forward() + 2 * Q.train() + POLICY.train() + 4 * TO_FEATURES,
    "cql": SQUASHED.forward() + SQUASHED.train() + 2 * Q.through() + 2 * Q.forward() + 2 * Q.train(1 + 3 * 10)
    + 3 * TO_FEATURES,
    "qt_opt": Q.forward(2 * 64) + Q.forward() + Q.train() + TO_FEATURES,
}  # fmt: skip
OTHERS: dict[str, tuple[Any, ...]] = {
    "strides 2, 2, 1": ((2, 2, 1),),
    "strides 4, 2, 1": ((4, 2, 1),),
    "blocks of 4x4, strides 1": ((1, 1, 1), 4),
}
"""Encoders of three convolutions, which the present one is compared with."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Images a second in training, and where the time goes."""

    methods: tuple[str, ...] = tuple(HEADS)
    """Which methods; with --quick the first of them."""
    batch: int = 256
    """Rows of a batch."""
    rows: int = 4_096
    """Transitions in memory, 24 KB each."""
    crop: int = 0
    """Pixels of random crops."""
    rounds: int = 5
    """Turns of each contestant."""
    seconds: float = 1.0
    """Length of a turn."""


def spec_of(observation: Space) -> Spec:
    """The problem.   observation: pictures, or features in their place."""
    return Spec(observation=observation, action=Box((ACTION,), low=(-1.0,) * ACTION, high=(1.0,) * ACTION))


def rows_of(algorithm: Algorithm[Any], count: int) -> Rows:
    """Random transitions with pictures, as the product lays them out."""
    rng, columns, start = np.random.default_rng(0), list[Column](), 0
    alone = dict[str, Any]()
    for name, shape in {"action": (ACTION,), "reward": (), "discount": ()}.items():
        if name in algorithm.needs:
            columns.append(Column(name, shape, start))
            start += columns[-1].size
    for name in {"observation", "next_observation"} & algorithm.needs:
        columns.append(Column(name, PICTURE, None))
        alone[name] = jnp.asarray(rng.integers(256, size=(count, *PICTURE), dtype=np.uint8))
    packed = rng.uniform(0, 1, (count, start)).astype(np.float32)
    return Rows(jnp.asarray(packed), alone, tuple(columns))


class Work:
    """A compiled piece of work that measures its own turns."""

    def __init__(self, call: Callable[[], Any], seconds: float, units: float = 1.0):
        self.call, self.seconds, self.units = call, seconds, units

    def turn(self) -> float:
        """Units a second; the first call of a turn, which may compile, does not count."""
        jax.block_until_ready(self.call())
        return rate_of(lambda: jax.block_until_ready(self.call()), units=self.units, seconds=self.seconds)


class Training:
    """Our program.   looped: steps inside one compiled loop, as where there is no convolution."""

    def __init__(self, algorithm: Algorithm[Any], settings: Settings, *, looped: bool = False):
        self.program = Program(
            algorithm, spec_of(Box(PICTURE, "uint8")), settings.rows,
            streamed=False, continue_diverged=True, crop=settings.crop,
        )  # fmt: skip
        self.program.stepwise &= not looped
        self.rows, self.members = rows_of(algorithm, settings.rows), Members(seeds=np.zeros(1), fields={})
        began = time.perf_counter()
        self.state = jax.block_until_ready(self.program.init(self.members))
        self.update()
        self.compile_seconds = time.perf_counter() - began

    def update(self, count: int = 1) -> Any:
        """Some updates."""
        self.state, _ = self.program.run(self.state, self.members, self.rows, 0, count)
        return jax.block_until_ready(self.state)


def parts(algorithm: Algorithm[Any], rows: Rows, settings: Settings) -> dict[str, Callable[[], Any]]:
    """Name -> one time that part of an update, compiled by itself; encoders: one pass."""
    key, image = key_for(0, "init"), Image(PICTURE, key_for(0, "init"))
    size, count = settings.batch, settings.rows
    drawn = jax.jit(lambda step: rows.draw(sample_rows(0, step, size, count)))
    pictures = drawn(0)["observation"]
    spec = spec_of(Box((FEATURES,)))
    update = jax.jit(algorithm.update)
    state = jax.jit(lambda: algorithm.init(spec, key))()
    batch = jax.tree.map(
        lambda leaf: jnp.resize(leaf, (size, *leaf.shape[1:])), example_batch(spec, algorithm.needs)
    )
    optimiser = adam(3e-4)
    slots = optimiser.init(eqx.filter(image, eqx.is_inexact_array))

    @jax.jit
    def moved(image: Any, slots: Any) -> Any:
        updates, slots = optimiser.update(image, slots)
        new = eqx.apply_updates(image, updates)
        return follow(image, new, 0.005), slots

    return {
        "batch": lambda: drawn(1),
        "asked": jitted_with(asked, image, pictures),
        "trained": trained(image, pictures),
        "heads": lambda: update(state, batch, key),
        "optimiser": lambda: moved(image, slots),
    }


def jitted_with(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """A function, compiled, of arguments that are no constants of its program."""
    compiled = eqx.filter_jit(function)
    return lambda: compiled(*arguments)


def asked(net: Any, pictures: Any) -> Any:
    """Features of a batch of pictures."""
    return net(pictures)


def trained(net: Any, pictures: Any, ask: Callable[[Any, Any], Any] = asked) -> Callable[[], Any]:
    """Features of a batch of pictures and the gradients of all weights."""
    return jitted_with(eqx.filter_grad(lambda net, seen: jnp.square(ask(net, seen)).sum()), net, pictures)


def contest(name: str, settings: Settings) -> Row:
    """One method's row; `parts` are shares of an update's time."""
    algorithm = ALGORITHMS[name](hidden=HIDDEN, batch_size=settings.batch)  # type: ignore[call-arg]
    ours = Training(algorithm, settings)
    image, (trains, asks) = Image(PICTURE, key_for(0, "init")), PASSES[name]
    forward, train = multiplications(image.net)
    unavoidable = 2.0 * (HEADS[name] + trains * train + asks * forward)
    pieces = parts(algorithm, ours.rows, settings)
    contestants: dict[str, Callable[[], float]] = {
        "ours": Work(ours.update, settings.seconds, settings.batch).turn,
        "limit": lambda: gemm_limit(SHAPES) / unavoidable,
        **{part: Work(call, settings.seconds / 2).turn for part, call in pieces.items()},
    }
    rates = alternate(contestants, rounds=settings.rounds)
    updates, times = np.array(rates["ours"]) / settings.batch, {"asked": asks, "trained": trains}
    times["optimiser"] = trains
    shares = {part: float(np.median(times.get(part, 1) * updates / rates[part])) for part in pieces}
    shares["rest"] = 1 - sum(shares.values())
    work = performed(algorithm, ours.program.spec, settings.batch) / settings.batch / unavoidable
    return Row.of(
        name, rates, compile_seconds=ours.compile_seconds, megaflop=round(unavoidable / 1e6),
        work=round(work, 2), parts={part: round(share, 3) for part, share in shares.items()},
    )  # fmt: skip


class Convolutions(eqx.Module):
    """Three 3x3 convolutions of 32 channels, a linear layer.

    strides: of the convolutions.   block: width of the blocks of pixels that are channels first.
    """

    kernels: tuple[Any, ...]
    project: Linear
    strides: tuple[int, ...] = eqx.field(static=True)
    block: int = eqx.field(static=True)

    def __init__(self, strides: tuple[int, ...], block: int = 1):
        keys, he = jax.random.split(key_for(1, "init"), 4), jax.nn.initializers.he_normal()
        sizes = (3 * block**2, 32, 32, 32)
        self.kernels = tuple(
            he(key, (3, 3, size_in, size_out))
            for key, size_in, size_out in zip(keys, sizes[:-1], sizes[1:], strict=False)
        )
        self.strides, self.block = strides, block
        self.project = Linear(noise(keys[3], (self.places[-1] * 32 + 1, FEATURES)))

    @property
    def places(self) -> list[int]:
        """How many places each convolution looks at."""
        return [
            (PICTURE[0] // self.block // stride) ** 2 for stride in itertools.accumulate(self.strides, mul)
        ]

    def __call__(self, pictures: Any) -> Any:
        x = in_patches(pictures / 255.0, self.block)
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            layout = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=layout)
            x = jax.nn.relu(x)
        return jax.nn.relu(self.project(x.reshape(len(x), -1)))

    @property
    def layers(self) -> list[int]:
        """Multiplications of each layer, for one picture."""
        seen = [places * kernel.size for places, kernel in zip(self.places, self.kernels, strict=True)]
        return [*seen, self.project.weight.size]


def multiplications(net: Any) -> tuple[int, int]:
    """Of an encoder and one picture: asked, and trained (no gradient of the picture)."""
    layers = encoder_layers(PICTURE[0]) if isinstance(net, ConvNet) else net.layers
    return sum(layers), 3 * sum(layers) - layers[0]


def whole(image: Any, pictures: Any) -> Any:
    """Features of a batch that goes through each layer as one."""
    net = image.net
    return jax.nn.relu(net.project(net.places(pictures / 255.0).reshape(len(pictures), -1)))


def encoders(settings: Settings) -> list[Row]:
    """The present encoder and others, trained alone; the peer is the present one."""
    rng = np.random.default_rng(0)
    pictures = jnp.asarray(rng.integers(256, size=(settings.batch, *PICTURE), dtype=np.uint8))
    present = Image(PICTURE, key_for(0, "init"))
    others = {name: Convolutions(*how) for name, how in OTHERS.items()}
    works = {
        "present": (trained(present, pictures), present.net),
        "present, all rows at once": (trained(present, pictures, whole), present.net),
        **{name: (trained(net, pictures), net) for name, net in others.items()},
    }
    turns: dict[str, Callable[[], float]] = {
        name: Work(call, settings.seconds, settings.batch).turn for name, (call, _) in works.items()
    }
    rates = alternate({**turns, "limit": lambda: gemm_limit(SHAPES)}, rounds=settings.rounds)
    found = list[Row]()
    for name, (_, net) in works.items():
        operations = 2.0 * multiplications(net)[1]
        limit = [rate / operations for rate in rates["limit"]]
        own = {"ours": rates[name], "peer": rates["present"], "limit": limit}
        found.append(Row.of(f"encoder: {name}", own, megaflop=round(operations / 1e6)))
    return found


def looped(settings: Settings) -> Row:
    """Cloning with its steps in a compiled loop; the peer is the product, a step at a time."""
    small = dataclasses.replace(settings, batch=32, crop=0)
    algorithm = ALGORITHMS["bc"](hidden=HIDDEN, batch_size=small.batch)  # type: ignore[call-arg]
    ways = {"ours": Training(algorithm, small, looped=True), "peer": Training(algorithm, small)}
    works = {name: Work(way.update, settings.seconds / 2, small.batch) for name, way in ways.items()}
    return Row.of("bc in a loop", alternate({name: work.turn for name, work in works.items()}, rounds=2))


def main(settings: Settings) -> None:
    """Measure and print."""
    if settings.quick:
        settings = dataclasses.replace(
            settings, methods=settings.methods[:1], batch=64, rows=1_024, rounds=1, seconds=0.3
        )
    jax.config.update("jax_enable_compilation_cache", False)
    device.reuse_memory(Box(PICTURE, "uint8"))
    rows = list[Row]()
    for name in settings.methods:
        rows.append(contest(name, settings))
        write_rows(settings.json, rows)
    rows += [*encoders(settings), looped(settings)]
    write_rows(settings.json, rows)
    notes = [
        f"limit: best float32 GEMM rate / megaflop an image.   aim: {GOAL:,} images a second on two cores.",
        "peer: of an encoder the present one; of the loop the product, which runs a step at a time.",
        "work: products and convolutions traced / unavoidable, before the compiler drops what is not used.",
    ]
    shown = list[Row]()
    for row in rows:
        details = dict(row.details)
        if shares := details.pop("parts", None):
            said = ", ".join(f"{part} {share:.0%}" for part, share in shares.items())
            notes.append(f"An update of {row.method}: {said}.")
        shown.append(dataclasses.replace(row, details=details))
    show(f"Images a second in training, 64x64, batch {settings.batch}", "1/s", shown, notes)


if __name__ == "__main__":
    main(tyro.cli(Settings))
