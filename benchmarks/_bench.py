"""What the benchmarks share: fair turns, medians, the machine's own limit, a table and a JSON file.

A benchmark claims a ratio against a peer or a limit that was measured in the same run, never a time
by itself: contestants take turns (A B A B ...), so that what else the machine does falls on all of them.
"""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

Shape = tuple[int, ...]
PAUSE = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What every benchmark understands."""

    quick: bool = False
    """Less work and fewer rounds: minutes for all benchmarks together."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also write the rows, as a JSON list, to this file."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a benchmark's result. None: does not apply here.

    ours, peer: units a second.   limit: what the machine could do at best, in the same units.
    ratio_to_peer: median over rounds of ours / peer within the round.   share_of_limit: same with the limit.
    details: whatever else belongs to the line (rows, shapes, versions, memory).
    """

    method: str
    ours: float
    peer: float | None = None
    limit: float | None = None
    ratio_to_peer: float | None = None
    share_of_limit: float | None = None
    compile_seconds: float | None = None
    details: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])

    @staticmethod
    def of(
        method: str,
        rates: Mapping[str, Sequence[float]],
        *,
        compile_seconds: float | None = None,
        **details: Any,
    ) -> "Row":
        """The row of what `alternate` returned for "ours" and, where present, "peer" and "limit"."""

        def middle(name: str) -> float | None:
            return statistics.median(rates[name]) if name in rates else None

        return Row(
            method=method,
            ours=statistics.median(rates["ours"]),
            peer=middle("peer"),
            limit=middle("limit"),
            ratio_to_peer=ratio(rates["ours"], rates["peer"]) if "peer" in rates else None,
            share_of_limit=ratio(rates["ours"], rates["limit"]) if "limit" in rates else None,
            compile_seconds=compile_seconds,
            details=details,
        )


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """Median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.   Source: Wilson 1927."""
    share, extra = successes / trials, 1.96**2 / trials
    middle, half = share + extra / 2, (extra * share * (1 - share) + extra**2 / 4) ** 0.5
    return max((middle - half) / (1 + extra), 0.0), min((middle + half) / (1 + extra), 1.0)


def alternate(contestants: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, list[float]]:
    """Let each contestant measure itself once a round, in turn. name -> its rate in every round.

    A contestant is called without arguments and returns a rate (units a second). One more round is run
    first and thrown away: it pays for compilation, page faults and cold caches. Between turns there is a
    pause, because the threads of a contestant go on spinning for a while after its work is done.
    """
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, measure in contestants.items():
            time.sleep(PAUSE)
            rate = measure()
            if turn > 0:
                rates[name].append(rate)
    return rates


def rate_of(work: Callable[[], Any], *, units: float, seconds: float) -> float:
    """Units a second, where one call of `work` does `units`: repeated for at least `seconds`."""
    calls, began = 0, time.perf_counter()
    while True:
        work()
        calls += 1
        elapsed = time.perf_counter() - began
        if elapsed >= seconds:
            return calls * units / elapsed


def gemm_rates(shapes: Sequence[Shape], *, seconds: float = 0.1, repeats: int = 3) -> dict[Shape, float]:
    """The machine's float32 matrix-multiplication rate for each shape, in operations a second (2 m k n each).

    A shape is (m, k, n), or (batch, m, k, n). The best of `repeats` of NumPy's and of JAX's product.
    """
    return {shape: max(_gemm_rate(shape, seconds) for _ in range(repeats)) for shape in shapes}


def gemm_limit(shapes: Sequence[Shape], *, seconds: float = 0.1) -> float:
    """The best float32 rate over all shapes, in operations a second."""
    return max(gemm_rates(shapes, seconds=seconds).values())


def _gemm_rate(shape: Shape, seconds: float) -> float:
    import jax

    *batch, m, k, n = shape
    generator = np.random.default_rng(0)
    left = generator.standard_normal((*batch, m, k), dtype=np.float32)
    right = generator.standard_normal((*batch, k, n), dtype=np.float32)
    out = np.empty((*batch, m, n), np.float32)
    on_device = jax.device_put((left, right))
    product = jax.jit(lambda a, b: a @ b)
    product(*on_device).block_until_ready()
    operations = 2.0 * float(np.prod(shape))
    return max(
        rate_of(lambda: np.matmul(left, right, out=out), units=operations, seconds=seconds),
        rate_of(lambda: product(*on_device).block_until_ready(), units=operations, seconds=seconds),
    )


def narrow(title: str, *columns: str, words: int = 1) -> Table:
    """A table without lines, for many columns.   words: how many of the first columns are text."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < words else "right", no_wrap=True)
    return table


def show(title: str, unit: str, rows: Sequence[Row], notes: Sequence[str] = ()) -> None:
    """Print the rows as a table; columns that are empty in every row are left out."""
    columns: dict[str, Callable[[Row], str]] = {
        f"ours ({unit})": lambda row: _number(row.ours),
        "peer": lambda row: _number(row.peer),
        "limit": lambda row: _number(row.limit),
        "/ peer": lambda row: "" if row.ratio_to_peer is None else f"{row.ratio_to_peer:.2f}x",
        "/ limit": lambda row: "" if row.share_of_limit is None else f"{row.share_of_limit:.0%}",
        "compile (s)": lambda row: "" if row.compile_seconds is None else f"{row.compile_seconds:.1f}",
    }
    for name in dict.fromkeys(name for row in rows for name in row.details):
        columns[name.replace("_", " ")] = lambda row, name=name: str(row.details.get(name, ""))
    table = Table(title=title, title_justify="left")
    table.add_column("method")
    shown = {name: cell for name, cell in columns.items() if any(cell(row) for row in rows)}
    for name in shown:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row.method, *(cell(row) for cell in shown.values()))
    console = Console()
    console.print(table)
    for note in notes:
        console.print(note, style="dim", highlight=False)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write_rows(path: Path | None, rows: Sequence[Row]) -> None:
    """Write the rows as a JSON list, the details beside the fixed keys; nothing where path is None."""
    if path is None:
        return
    listed = [{**{k: v for k, v in vars(row).items() if k != "details"}, **row.details} for row in rows]
    path.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
