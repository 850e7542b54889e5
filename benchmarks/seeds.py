"""Updates a second of all members together: 1, 4, 16 and 64 seeds of a method in one program.

    python benchmarks/seeds.py [--quick] [--json FILE]                IQL
    python benchmarks/seeds.py --method cql --members 1 16            on a GPU, too

On a CPU the members are computed one after the other, so the sum stays and one compilation is saved for
each further member; on an accelerator they are computed side by side, so the sum grows. The peer here is
what a user does without sweeps: one program a seed, one after the other, each with its own compilation.
`limit` is the arithmetic of an update at the best matrix-product rate of the machine (CPU only).
"""

import dataclasses
import time
from typing import Any

import jax
import numpy as np
import tyro
from _arithmetic import HIDDEN, spec_of, unavoidable
from _bench import Options, Row, gemm_limit, rate_of, show, write_rows
from updates import LINES, SHAPES, rows_of

from suture.algorithms.table import ALGORITHMS
from suture.training.program import Members, Program


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Updates a second of many members in one program."""

    method: str = "iql"
    """One of those of updates.py."""
    members: tuple[int, ...] = (1, 4, 16, 64)
    """Sizes of the sweep."""
    updates: int = 200
    """Updates of each member in a measurement."""
    rows: int = 100_000
    """Transitions in memory."""


def measure(count: int, settings: Settings) -> Row:
    """One size of the sweep."""
    line = LINES[settings.method]
    algorithm: Any = ALGORITHMS[line.algorithm](hidden=HIDDEN, **line.settings)  # type: ignore[call-arg]
    program = Program(algorithm, spec_of(algorithm), settings.rows, streamed=False, continue_diverged=True)
    members = Members(seeds=np.arange(count, dtype=np.uint32), fields={})
    rows, updates = rows_of(algorithm, settings.rows), max(1, settings.updates // count)
    began = time.perf_counter()
    state = jax.block_until_ready(program.init(members))
    state, _ = program.run(state, members, rows, 0, 1)
    jax.block_until_ready(state)
    compile_seconds = time.perf_counter() - began

    def work() -> None:
        nonlocal state
        state, _ = program.run(state, members, rows, 0, updates)
        jax.block_until_ready(state)

    rates: dict[str, list[float]] = {"ours": [], "limit": []}
    on_cpu = jax.default_backend() == "cpu"
    for _ in range(3):
        rates["ours"].append(rate_of(work, units=updates * count, seconds=1.0))
        if on_cpu:
            rates["limit"].append(gemm_limit(SHAPES) / unavoidable(settings.method))
    if not on_cpu:
        del rates["limit"]
    return Row.of(
        f"{settings.method} x {count}",
        rates,
        compile_seconds=compile_seconds,
        device=jax.devices()[0].device_kind,
    )


def main(settings: Settings) -> None:
    """Measure and print."""
    if settings.quick:
        settings = dataclasses.replace(settings, members=(1, 4, 16))
    jax.config.update("jax_enable_compilation_cache", False)
    rows = [measure(count, settings) for count in settings.members]
    alone = rows[0]
    for index, (row, count) in enumerate(zip(rows, settings.members, strict=True)):
        one_by_one = count * (alone.compile_seconds or 0.0) + count * 1000 / alone.ours
        together = (row.compile_seconds or 0.0) + count * 1000 / row.ours
        saved = {"seconds_for_1000_updates": round(together, 1), "one_by_one": round(one_by_one, 1)}
        rows[index] = dataclasses.replace(row, details=row.details | saved)
    show("Updates a second, all members together", "1/s", rows)
    write_rows(settings.json, rows)


if __name__ == "__main__":
    main(tyro.cli(Settings))
