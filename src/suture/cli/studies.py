"""Commands that train several methods to see something: a table, a plot and the numbers."""

import contextlib
import json as text
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from suture.cli.options import DataPath, Flag, ReadingOptions, Reads, arg, print_json, show, whole
from suture.errors import ConfigError

if TYPE_CHECKING:
    from suture.evaluation.overestimation import Method

Names = Annotated[
    tuple[str, ...],
    arg(
        "methods to compare, with fields or a preset where you want other than the defaults, such as "
        "cql:sampled_gradient=true or iql:preset=sparse:hidden=256,256; default: those that the log allows",
        metavar="NAME[:FIELD=VALUE ...]",
    ),
]
NAIVE_AND_CONSTRAINED = {
    "continuous": ("sac", "td3", "cql", "iql", "td3_bc"), "discrete": ("dqn", "cql", "iql", "bcq"),
}  # fmt: skip


def overestimation(
    data: DataPath,
    reading: Reads = ReadingOptions(),  # noqa: B008
    env: Annotated[str | None, arg("Gymnasium id where the truth is played; else it is fitted")] = None,
    methods: Names = (),
    steps: Annotated[int, arg("updates of each method")] = 20_000,
    every: Annotated[int, arg("updates between checkpoints")] = 2_000,
    seeds: Annotated[int, arg("training seeds of each method")] = 3,
    episodes: Annotated[int, arg("episodes that are played at each checkpoint")] = 20,
    fitted_steps: Annotated[int, arg("without --env: updates of each fit of the truth")] = 6_000,
    fitted_checkpoints: Annotated[
        int, arg("without --env: checkpoints at which the truth is fitted, the last among them")
    ] = 3,
    reward_scale: Annotated[
        float | None, arg("rewards are multiplied by this; default: 1, or as a method's preset says")
    ] = None,
    out: Annotated[Path, arg("folder for the runs, the plot and the numbers")] = Path("runs/overestimation"),
    json: Annotated[Flag, arg("print one JSON object")] = False,
) -> int:
    """Compare what critics claim with what is true, along training, for naive and constrained methods."""
    from suture.cli.progress import Bar
    from suture.data.load import load
    from suture.evaluation.overestimation import Study
    from suture.report.claims import draw, render
    from suture.spaces import Discrete
    from suture.storage.atomic import write_file

    given = [method_of(word) for word in methods]  # before a long log is read for nothing
    log = load(data, schema=reading.schema, reading=reading.reading)
    kind = "discrete" if isinstance(log.action_space, Discrete) else "continuous"
    chosen = given or [method_of(name) for name in NAIVE_AND_CONSTRAINED[kind]]
    with Bar("overestimation") as watch:
        study = Study(
            data=log, out=out, steps=steps, every=every, seeds=seeds, environment=env, episodes=episodes,
            fitted_steps=fitted_steps, fitted_checkpoints=fitted_checkpoints,
            options={} if reward_scale is None else {"reward_scale": reward_scale}, say=watch.say,
        )  # fmt: skip
        claims = study.run([method for method, _ in chosen])
    rows = [claim.to_json() for claim in claims]
    numbers = text.dumps(rows, indent=1, allow_nan=False) + "\n"
    write_file(out / "overestimation.json", numbers.encode(), point="plot")
    title = f"Over-estimation on {data.name}"
    write_file(out / "overestimation.svg", draw(claims, title).encode(), point="plot")
    if json:
        print_json({"claims": rows})
        return 0
    show(render(claims, changed=[method.name for method, changed in chosen if changed]))
    print(f"The plot and the numbers: {out / 'overestimation.svg'}, {out / 'overestimation.json'}")
    return 0


def method_of(said: str) -> "tuple[Method, bool]":
    """'iql:preset=sparse:expectile=0.8' as a method, and whether its values were made to hold rewards alone.

    What is said goes before the preset. Raises ConfigError for what is no method, preset, field or value.
    """
    from suture import config
    from suture.algorithms.presets import find
    from suture.algorithms.table import algorithm_named
    from suture.evaluation.overestimation import Method, of_rewards

    name, *parts = said.split(":")
    kind, given = algorithm_named(name), dict[str, str]()
    for part in parts:
        field, equals, value = part.partition("=")
        field = field.strip().replace("-", "_")
        if not equals or field in given:
            wrong = f"{field!r} twice" if equals else repr(part)
            raise ConfigError(
                f"--methods takes NAME, or NAME:FIELD=VALUE with a colon before each field, such as "
                f"cql:sampled_gradient=true; {said!r} has {wrong}."
            )
        given[field] = value
    preset, kinds = find(name, given.pop("preset", "generic")), config.types_of(kind)
    values = {field: _typed(kinds.get(field), value) for field, value in given.items()}
    usual = config.from_json(kind, {**preset.fields, **values})
    plain = usual if "entropy_backup" in given else of_rewards(usual)
    return Method(algorithm=plain, name=said, settings=preset.settings), plain != usual


def _typed(kind: Any, said: str) -> Any:
    """A field's value. What cannot be read as its type stays a text, which the field refuses."""
    if typing.get_origin(kind) is tuple:
        return tuple(_typed(typing.get_args(kind)[0], part) for part in said.split(",") if part)
    kinds = typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)
    for number, read in ((int, whole), (float, float)):
        if number in kinds:
            with contextlib.suppress(ValueError):
                return read(said)
    words = {"true": True, "false": False, "none": None}
    return words.get(said.lower(), said)
