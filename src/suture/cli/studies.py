"""Commands that train several methods to see something: a table, a plot and the numbers."""

import json as text
from pathlib import Path
from typing import Annotated, Any

import tyro

from suture.cli.options import Flag, ReadingOptions, arg

Names = Annotated[tuple[str, ...], arg("methods to compare; default: those that the log's actions allow")]
NAIVE_AND_CONSTRAINED = {
    "continuous": ("sac", "td3", "cql", "iql", "td3_bc"), "discrete": ("dqn", "cql", "iql", "bcq"),
}  # fmt: skip


def overestimation(
    data: Annotated[tyro.conf.Positional[Path], arg("the log: a file or a folder", metavar="DATA")],
    reading: tyro.conf.OmitArgPrefixes[ReadingOptions] = ReadingOptions(),  # noqa: B008
    env: Annotated[str | None, arg("Gymnasium id where the truth is played; else it is fitted")] = None,
    methods: Names = (),
    steps: Annotated[int, arg("updates of each method")] = 20_000,
    every: Annotated[int, arg("updates between checkpoints")] = 2_000,
    seeds: Annotated[int, arg("training seeds of each method")] = 3,
    episodes: Annotated[int, arg("episodes that are played at each checkpoint")] = 20,
    reward_scale: Annotated[float, arg("rewards are multiplied by this")] = 1.0,
    out: Annotated[Path, arg("folder for the runs, the plot and the numbers")] = Path("runs/overestimation"),
    json: Annotated[Flag, arg("print one JSON object")] = False,
) -> int:
    """Compare what critics claim with what is true, along training, for naive and constrained methods."""
    from rich.console import Console

    from suture.algorithms.table import algorithm_named
    from suture.cli.progress import Bar
    from suture.data.load import load
    from suture.evaluation.overestimation import Study, of_rewards
    from suture.report.claims import draw, render
    from suture.spaces import Discrete
    from suture.storage.atomic import write_file

    log = load(data, schema=reading.schema, reading=reading.reading)
    kind = "discrete" if isinstance(log.action_space, Discrete) else "continuous"
    usual: list[Any] = [algorithm_named(name)() for name in methods or NAIVE_AND_CONSTRAINED[kind]]
    chosen = [of_rewards(algorithm) for algorithm in usual]
    with Bar("overestimation") as watch:
        study = Study(
            data=log, out=out, steps=steps, every=every, seeds=seeds, environment=env, episodes=episodes,
            options={"reward_scale": reward_scale}, say=watch.say,
        )  # fmt: skip
        claims = study.run(chosen)
    rows = [claim.to_json() for claim in claims]
    write_file(out / "overestimation.json", (text.dumps(rows, indent=1) + "\n").encode(), point="plot")
    title = f"Over-estimation on {data.name}"
    write_file(out / "overestimation.svg", draw(claims, title).encode(), point="plot")
    if json:
        print(text.dumps({"claims": rows}, allow_nan=False))
        return 0
    console = Console(highlight=False)
    console.print(render(claims, changed=[one.name for one in chosen if one not in usual]))
    console.print(f"The plot and the numbers: {out / 'overestimation.svg'}, {out / 'overestimation.json'}")
    return 0
