"""Updates a second of each method: ours, d3rlpy 2.8.1 and what the machine's matrix products allow.

    python benchmarks/updates.py [--quick] [--methods bc iql ...] [--json FILE]

Both sides: two hidden layers of 256 (behaviour models too), batch 256, 17 observations, 6 actions (of
DQN choices), 1M rows, batches sampled at random within the measured time, equal numbers of sampled actions,
no warm-up phase. The limit is the arithmetic that one update cannot avoid (`_arithmetic.py`) at the best
float32 matrix-product rate measured in the same round. The peer answers from a process of its own
(`peer_updates.py` in `.peer`, which `make bench` builds); contestants take turns.
"""

import dataclasses
import functools
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
from _arithmetic import ACTION, BATCH, HIDDEN, OBSERVATION, performed, spec_of, unavoidable
from _bench import Options, Row, alternate, gemm_limit, show, write_rows

from suture.algorithms.base import Algorithm
from suture.algorithms.table import ALGORITHMS
from suture.data.stage import Column, Rows
from suture.training.program import Members, Program

HERE = Path(__file__).resolve().parent
SHAPES = ((256, 256, 256), (1024, 1024, 1024))


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of the table.   settings: what makes the work equal to the peer's, beside widths and batch.

    peer: its name there, or None.   goal: times the peer (0: none), and share of the limit.
    """

    algorithm: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    peer: str | None = None
    goal: tuple[float, float] = (0.0, 0.65)


FITTED = {"behaviour_hidden": HIDDEN, "warm_up": 0}
FLOWS = {"layer_norm": False}
LINES = {
    "bc": Line("bc", {"head": "deterministic"}, "bc", (4.0, 0.65)),
    "iql": Line("iql", {}, "iql", (3.0, 0.75)),
    "awr": Line("awr"),
    "sac": Line("sac", {}, "sac", (4.0, 0.65)),
    "td3": Line("td3", {}, "td3"),
    "td3_bc": Line("td3_bc", {}, "td3_bc", (2.4, 0.65)),
    "rebrac": Line("rebrac", {"layer_norm": False}, "rebrac", (2.4, 0.65)),
    "awac": Line("awac", {}, "awac", (2.4, 0.65)),
    "crr": Line("crr", {}, "crr", (2.0, 0.65)),
    "cql": Line("cql", {}, "cql", (1.7, 0.65)),
    "cql-drawn": Line("cql", {"sampled_gradient": True}, "cql"),
    "cal_ql": Line("cal_ql", {}, "cal_ql", (1.7, 0.65)),
    "cal_ql-drawn": Line("cal_ql", {"sampled_gradient": True}, "cal_ql"),
    "bear": Line("bear", FITTED, "bear", (2.0, 0.65)),
    "bcq": Line("bcq", {"behaviour_hidden": HIDDEN}, "bcq", (1.7, 0.65)),
    "brac": Line("brac", FITTED | {"behaviour_steps": 0}),
    "sac_n": Line("sac_n", {"critics": 10}, "sac_n"),
    "edac": Line("edac"),
    "fql": Line("fql", FLOWS),
    "ifql": Line("ifql", FLOWS),
    "dqn": Line("dqn", {}, "dqn"),
    "qt_opt": Line("qt_opt"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Updates a second, beside d3rlpy and the machine's limit."""

    methods: tuple[str, ...] = tuple(LINES)
    """Which methods."""
    rows: int = 1_000_000
    """Transitions in memory."""
    rounds: int = 9
    """Turns of each contestant."""
    seconds: float = 1.0
    """Length of a turn."""


def rows_of(algorithm: Algorithm[Any], count: int) -> Rows:
    """Random transitions, packed as the product packs them."""
    sizes: dict[str, tuple[int, ...]] = {
        "observation": (OBSERVATION,), "next_observation": (OBSERVATION,), "action": (ACTION,),
        "next_action": (ACTION,), "next_action_known": (), "reward": (), "discount": (), "return_to_go": (),
    }  # fmt: skip
    columns, start = list[Column](), 0
    for name, shape in sizes.items():
        if name.removesuffix("_known") in algorithm.needs:
            columns.append(Column(name, shape, start))
            start += columns[-1].size
    generator, alone = np.random.default_rng(0), dict[str, Any]()
    packed = generator.uniform(-1, 1, (count, start)).astype(np.float32)
    if "continuous" not in algorithm.actions:
        choices = Column("action", (), None)
        columns = [choices if column.path == "action" else column for column in columns]
        alone["action"] = jnp.asarray(generator.integers(0, ACTION, count), jnp.int32)
    if algorithm.window > 1:
        alone["reach"] = jnp.asarray(np.minimum(algorithm.window, count - np.arange(count)), jnp.int32)
        columns.append(Column("reach", (), None))
    return Rows(jnp.asarray(packed), alone, tuple(columns), window=algorithm.window)


class Ours:
    """Our program, which measures its own turns."""

    def __init__(self, algorithm: Algorithm[Any], rows: int, seconds: float):
        self.program = Program(algorithm, spec_of(algorithm), rows, streamed=False, continue_diverged=True)
        self.rows, self.seconds = rows_of(algorithm, rows), seconds
        self.members = Members(seeds=np.zeros(1, np.uint32), fields={})
        began = time.perf_counter()
        self.state = jax.block_until_ready(self.program.init(self.members))
        self.run(1)
        self.compile_seconds = time.perf_counter() - began
        self.updates = 20

    def run(self, count: int) -> None:
        """Do `count` updates."""
        self.state, _ = self.program.run(self.state, self.members, self.rows, 0, count)
        jax.block_until_ready(self.state)

    def turn(self) -> float:
        """Updates a second over one turn."""
        began = time.perf_counter()
        self.run(self.updates)
        rate = self.updates / (time.perf_counter() - began)
        self.updates = max(5, round(rate * self.seconds))
        return rate


class Peer:
    """d3rlpy in its own process: a line in (name and updates), a line out (updates a second)."""

    def __init__(self, rows: int, seconds: float):
        python = os.environ.get("SUTURE_PEER", HERE.parent / ".peer" / "bin" / "python")
        command = [str(python), str(HERE / "peer_updates.py"), str(rows)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds, self.updates = seconds, dict[str, int]()

    def turn(self, name: str) -> float:
        """Updates a second over one turn."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{name} {self.updates.get(name, 5)}\n")
        self.process.stdin.flush()
        for line in self.process.stdout:  # d3rlpy logs to standard output
            if line.startswith("rate "):
                rate = float(line.split()[1])
                self.updates[name] = max(5, round(rate * self.seconds))
                return rate
        raise RuntimeError("The peer's process ended: run peer_updates.py by itself to see why.")

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def contest(name: str, peer: Peer | None, settings: Settings) -> Row:
    """One method's row."""
    line = LINES[name]
    algorithm = ALGORITHMS[line.algorithm](hidden=HIDDEN, batch_size=BATCH, **line.settings)  # type: ignore[call-arg]
    ours = Ours(algorithm, settings.rows, settings.seconds)
    contestants: dict[str, Callable[[], float]] = {
        "ours": ours.turn,
        "limit": lambda: gemm_limit(SHAPES) / unavoidable(name),
    }
    if peer is not None and line.peer is not None:
        contestants["peer"] = functools.partial(peer.turn, line.peer)
    rates = alternate(contestants, rounds=settings.rounds)
    work = performed(algorithm) / unavoidable(name)
    return Row.of(
        name, rates, compile_seconds=ours.compile_seconds, megaflop=round(unavoidable(name) / 1e6),
        work=f"{work:.2f}",
    )  # fmt: skip


def missed(rows: list[Row]) -> str:
    """The goals that these rows fall short of."""
    short = [
        f"{row.method} " + (f"{times:g} x, " if times else "") + f"{share:.0%}"
        for row in rows
        for times, share in [LINES[row.method].goal]
        if (row.ratio_to_peer or times) < times or (row.share_of_limit or share) < share
    ]
    return f"Short of its goal: {'; '.join(short) or 'none'}."


def main(settings: Settings) -> None:
    """Measure and print."""
    if settings.quick:
        settings = dataclasses.replace(settings, rows=100_000, rounds=2, seconds=0.3)
    jax.config.update("jax_enable_compilation_cache", False)
    peer_python = Path(os.environ.get("SUTURE_PEER", HERE.parent / ".peer" / "bin" / "python"))
    peer = Peer(settings.rows, settings.seconds) if peer_python.exists() else None
    rows = list[Row]()
    try:
        for name in settings.methods:
            rows.append(contest(name, peer, settings))
            write_rows(settings.json, rows)
    finally:
        if peer is not None:
            peer.close()
    notes = [
        "compile (s): initial state and program, cold.   limit: best float32 GEMM rate / megaflop.",
        "work: products traced / unavoidable, before the compiler drops what is not used.",
        missed(rows),
    ]
    if peer is None:
        notes.append("The peer was not measured: make bench builds its environment.")
    show("Updates a second", "1/s", rows, notes)


if __name__ == "__main__":
    main(tyro.cli(Settings))
