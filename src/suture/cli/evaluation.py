"""`suture evaluate`: by playing the policy, or from a log alone."""

import contextlib
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Annotated, Any

from suture.cli.options import Flag, Json, ReadingOptions, Reads, RunPath, arg, print_json, show
from suture.errors import ConfigError, StorageError
from suture.evaluation.kept import keep


def evaluate(
    run: RunPath,
    env: Annotated[
        str | None, arg("Gymnasium id, with the module that registers it where needed (module:Id-v0)")
    ] = None,
    data: Annotated[Path | None, arg("a log: estimate from it what the policy is worth, unplayed")] = None,
    reading: Reads = ReadingOptions(),  # noqa: B008
    episodes: Annotated[int, arg("episodes for each member")] = 100,
    seed: Annotated[int, arg("seed of the initial states, or of the resamples")] = 0,
    sample: Annotated[Flag, arg("draw actions from the policy instead of taking its mode")] = False,
    compare: Annotated[Flag, arg("play every kept checkpoint and sum up the settings of a sweep")] = False,
    plot: Annotated[Path | None, arg("with --compare: draw the settings into this SVG file")] = None,
    resamples: Annotated[int, arg("with --data: of the log's episodes, each with a fit of its own")] = 10,
    steps: Annotated[int, arg("with --data: the most updates of a fit")] = 20_000,
    discount: Annotated[float | None, arg("with --data: of the value; default: the run's")] = None,
    json: Json = False,
) -> int:
    """Say what a trained policy is worth, by playing it or from a log: value, error, 95 % interval."""
    from suture.training.run import open_run

    if (env is None) == (data is None):
        raise ConfigError("evaluate needs an environment to play in (--env ID) or a log (--data LOG).")
    opened = open_run(run)
    for reason in opened.newest.skipped:
        print(f"Passed over a checkpoint that is not whole: {reason}", file=sys.stderr)
    if data is not None:
        options = {"resamples": resamples, "steps": steps, "seed": seed, "discount": discount}
        return _estimate(opened, data, reading, json=json, **options)
    if compare:
        return _compare(opened, env, episodes=episodes, seed=seed, sample=sample, plot=plot, json=json)
    return _play(opened, env, json=json, episodes=episodes, seed=seed, sample=sample)


@contextlib.contextmanager
def _shown_anyway() -> Generator[None]:
    """What took long to find is shown also where the run's folder cannot keep it."""
    try:
        yield
    except StorageError as error:
        print(f"suture: this was not kept beside the run. {error}", file=sys.stderr)


def _play(run: Any, env: Any, *, json: bool, **options: Any) -> int:
    from suture.evaluation.evaluate import evaluate as play
    from suture.report.scores import render

    evaluation = play(run, env, **options)
    with _shown_anyway():
        keep(run.path, "played", env, run.newest.step, evaluation.to_json())
    print_json(evaluation.to_json()) if json else show(render(evaluation, run.members, run.logged_return))
    return 0


def _estimate(run: Any, data: Path, reading: ReadingOptions, *, json: bool, **options: Any) -> int:
    """Exit code 2 where a value is refused."""
    from suture.cli.progress import Bar
    from suture.evaluation.ope.estimate import estimate
    from suture.report.estimates import render

    log = run.load(data, schema=reading.schema, reading=reading.reading)
    with Bar("evaluate") as watch:
        found = estimate(run, log, watch=watch, **options)
    told = {"estimates": [one.to_json() for one in found]}
    with _shown_anyway():
        keep(run.path, "estimated", str(data), run.newest.step, told)
    if json:
        print_json({"data": str(data), **told})
    else:
        show(render(found, run.members, str(data)))
    return 2 if any(one.refused for one in found) else 0


def _compare(run: Any, env: Any, *, plot: Path | None, json: bool, **options: Any) -> int:
    from suture.evaluation.sweep import compare
    from suture.report.scores import draw_standings, render_standings
    from suture.storage.atomic import write_file

    standings, returns = compare(run, env, **options)
    told = {"standings": [one.to_json() for one in standings]}
    with _shown_anyway():
        keep(run.path, "compared", env, run.newest.step, told)
        run.mark([step for one in standings if one.checkpoint == "best" for step in one.steps], env)
    if plot is not None:
        drawing = draw_standings(standings, env, algorithm=run.algorithm.name)
        write_file(plot, drawing.encode(), point="plot")
    if json:
        by_step = {str(step): array.tolist() for step, array in returns.items()}
        print_json({**told, "returns": by_step})
    else:
        show(render_standings(standings, env))
    return 0
