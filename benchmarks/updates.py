"""Updates a second of BC and IQL: ours, d3rlpy 2.8.1 and what the machine's matrix products allow.

    python benchmarks/updates.py [--quick] [--json FILE]

Both sides: two hidden layers of 256, batch 256, 17 observations, 6 actions, 1M rows, batches sampled at
random within the measured time. The limit is the arithmetic of one update (`operations`) at the best
float32 matrix-product rate measured in the same round. The peer answers from a process of its own
(`peer_updates.py` in `.peer`, which `make bench` builds); contestants take turns.
"""

import dataclasses
import itertools
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from _bench import Options, Row, alternate, gemm_limit, show, write_rows

from suture.algorithms.base import Algorithm, Spec
from suture.algorithms.bc import BC
from suture.algorithms.iql import IQL
from suture.data.stage import Column, Rows
from suture.spaces import Box
from suture.training.program import Members, Program

HERE = Path(__file__).resolve().parent
OBSERVATION, ACTION, HIDDEN, BATCH = 17, 6, (256, 256), 256
SHAPES = ((256, 256, 256), (1024, 1024, 1024))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Updates a second of BC and IQL, beside d3rlpy and the machine's limit."""

    rows: int = 1_000_000
    """Transitions in memory."""
    rounds: int = 9
    """Turns of each contestant."""
    updates: int = 400
    """Updates of ours in a turn; the peer does a quarter."""


def products(inputs: int, outputs: int) -> tuple[int, int]:
    """Multiplications of one network for one row: forward, and backward (no gradient of the input)."""
    sizes = (inputs, *HIDDEN, outputs)
    layers = [a * b for a, b in itertools.pairwise(sizes)]
    return sum(layers), 2 * sum(layers) - layers[0]


def operations(name: str) -> float:
    """Floating-point operations (two a multiplication) of the matrix products of one update."""
    actor, q, v = products(OBSERVATION, ACTION), products(OBSERVATION + ACTION, 1), products(OBSERVATION, 1)
    if name == "bc":
        return 2.0 * BATCH * sum(actor)
    # IQL: V trained, then asked for s and s'; two critics trained and two targets asked; the policy trained
    return 2.0 * BATCH * (sum(v) + 2 * v[0] + 2 * sum(q) + 2 * q[0] + sum(actor))


def rows_of(algorithm: Algorithm[Any], count: int) -> Rows:
    """Random transitions, packed as the product packs them."""
    sizes = {"observation": (OBSERVATION,), "next_observation": (OBSERVATION,), "action": (ACTION,)}
    sizes |= {"reward": (), "discount": ()}
    columns, start = list[Column](), 0
    for name, shape in sizes.items():
        if name in algorithm.needs:
            columns.append(Column(name, shape, start))
            start += columns[-1].size
    packed = np.random.default_rng(0).uniform(-1, 1, (count, start)).astype(np.float32)
    return Rows(jnp.asarray(packed), {}, tuple(columns))


class Ours:
    """Our program, which measures its own turns."""

    def __init__(self, algorithm: Algorithm[Any], rows: int, updates: int):
        box = Box((OBSERVATION,)), Box((ACTION,), low=(-1.0,) * ACTION, high=(1.0,) * ACTION)
        spec = Spec(observation=box[0], action=box[1])
        self.program = Program(algorithm, spec, rows, streamed=False, continue_diverged=True)
        self.rows, self.updates = rows_of(algorithm, rows), updates
        self.members = Members(seeds=np.zeros(1, np.uint32), fields={})
        began = time.perf_counter()
        self.state = jax.block_until_ready(self.program.init(self.members))
        self._run(1)
        self.compile_seconds = time.perf_counter() - began

    def _run(self, count: int) -> None:
        self.state, _ = self.program.run(self.state, self.members, self.rows, 0, count)
        jax.block_until_ready(self.state)

    def turn(self) -> float:
        """Updates a second over one turn."""
        began = time.perf_counter()
        self._run(self.updates)
        return self.updates / (time.perf_counter() - began)


class Peer:
    """d3rlpy in its own process: a line in (name and updates), a line out (updates a second)."""

    def __init__(self, rows: int):
        python = os.environ.get("SUTURE_PEER", HERE.parent / ".peer" / "bin" / "python")
        command = [str(python), str(HERE / "peer_updates.py"), str(rows)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def turn(self, name: str, updates: int) -> float:
        """Updates a second over one turn."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{name} {updates}\n")
        self.process.stdin.flush()
        for line in self.process.stdout:  # d3rlpy logs to standard output
            if line.startswith("rate "):
                return float(line.split()[1])
        raise RuntimeError("The peer's process ended: run peer_updates.py by itself to see why.")

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def contest(algorithm: Algorithm[Any], peer: Peer | None, settings: Settings) -> Row:
    """One method's row."""
    ours, name = Ours(algorithm, settings.rows, settings.updates), algorithm.name
    contestants: dict[str, Callable[[], float]] = {
        "ours": ours.turn,
        "limit": lambda: gemm_limit(SHAPES) / operations(name),
    }
    if peer is not None:
        contestants["peer"] = lambda: peer.turn(name, settings.updates // 4)
    rates = alternate(contestants, rounds=settings.rounds)
    return Row.of(name, rates, compile_seconds=ours.compile_seconds, megaflop=round(operations(name) / 1e6))


def main(settings: Settings) -> None:
    """Measure and print."""
    if settings.quick:
        settings = dataclasses.replace(settings, rows=100_000, rounds=3, updates=200)
    jax.config.update("jax_enable_compilation_cache", False)
    peer_python = Path(os.environ.get("SUTURE_PEER", HERE.parent / ".peer" / "bin" / "python"))
    peer = Peer(settings.rows) if peer_python.exists() else None
    try:
        methods = (BC(hidden=HIDDEN, head="deterministic"), IQL(hidden=HIDDEN))
        rows = [contest(method, peer, settings) for method in methods]
    finally:
        if peer is not None:
            peer.close()
    notes = ["compile (s): initial state and program, cold. limit: best float32 GEMM rate / arithmetic."]
    if peer is None:
        notes.append("The peer was not measured: make bench builds its environment.")
    show("Updates a second", "1/s", rows, notes)
    write_rows(settings.json, rows)


if __name__ == "__main__":
    main(tyro.cli(Settings))
