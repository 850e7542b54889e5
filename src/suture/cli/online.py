"""`suture finetune` and `suture loop`: what learns from an environment."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from suture.cli.options import (
    DataPath,
    Flag,
    ReadingOptions,
    RunPath,
    arg,
    options_of,
    parsed,
    show,
    value_of,
)
from suture.errors import ConfigError

Environment = Annotated[
    str, arg("Gymnasium id, with the module that registers it where needed (module:Id-v0)", name="env")
]

MEANINGS = {
    "finetune": "Go on training a run online, from its log and from what it does itself.",
    "loop": "Train, deploy, collect, train on all of it, in rounds. The fields of the method: suture train "
    "NAME --help.",
}


@dataclasses.dataclass(frozen=True)
class FinetuneOptions:
    """Where it starts from and where it goes."""

    environment: Environment
    data: Annotated[Path | None, arg("the log that RUN learned from; default: where it was")] = None
    out: Annotated[Path | None, arg("folder of the new run; default: next runs/NAME-online-0001")] = None
    resume: Annotated[Flag, arg("continue the run in --out from its newest whole checkpoint, exactly")] = (
        False
    )
    member: Annotated[int | None, arg("which of several members of RUN")] = None
    seed: Annotated[int | None, arg("of all draws; default: the member's")] = None
    fresh: Annotated[Flag, arg("begin with new weights; data and scales are RUN's")] = False
    preset: Annotated[
        str | None,
        arg("iql, cal_ql, qt_opt, rlpd (for sac and sac_n) or none; default: the method's, if any"),
    ] = None
    same_device: Annotated[Flag, arg("refuse to resume on another device or with other versions")] = False


def finetune(arguments: list[str]) -> int:
    """Go on training a run online; `suture finetune RUN --help` lists every field.

    Exit code 4 where the return fell below --least-return.
    """
    from suture.online.finetune import CHANGEABLE, starting_point
    from suture.online.settings import Online, preset_for
    from suture.training.run import open_run
    from suture.training.settings import Settings

    own = (("run", RunPath), ("general", FinetuneOptions))
    if arguments[:1] in (["-h"], ["--help"]):
        common = {"online": options_of(Online)(), "settings": options_of(Settings, CHANGEABLE)()}
        return _parsed("finetune", "", own, common, ["--help"])
    if not arguments or arguments[0].startswith("-"):
        raise ConfigError("finetune begins with a run folder: suture finetune RUN --env ID --steps N.")
    run = open_run(Path(arguments[0]))
    preset = preset_for(run.algorithm.name, value_of("--preset", arguments))
    said = value_of("--member", arguments) or ""  # what is no number is refused with the other options
    algorithm = starting_point(run, min(int(said), len(run) - 1) if said.isdecimal() else 0, preset)
    kept = {name: getattr(run.recipe.settings, name) for name in CHANGEABLE}
    groups: dict[str, Any] = {
        "algorithm": options_of(type(algorithm))(**vars(algorithm)),
        "online": options_of(Online)(**preset.online),
        "settings": options_of(Settings, CHANGEABLE)(**kept), "reading": ReadingOptions(),
    }  # fmt: skip
    chosen = _parsed("finetune", arguments[0], own, groups, arguments)
    return _finetune(run, type(algorithm)(**vars(chosen.algorithm)), chosen)


def _finetune(run: Any, algorithm: Any, chosen: Any) -> int:
    from suture.cli.progress import Bar
    from suture.online.finetune import finetune as tune
    from suture.online.settings import Online

    options: FinetuneOptions = chosen.general
    reading = chosen.reading
    data = None
    if options.data is not None or reading != ReadingOptions():
        data = run.load(options.data, schema=reading.schema, reading=reading.reading)
    with Bar(f"{algorithm.name}, online") as watch:
        done = tune(
            run, options.environment, data=data, out=options.out, resume=options.resume,
            member=options.member, seed=options.seed, fresh=options.fresh, preset=options.preset,
            algorithm=algorithm, online=Online(**vars(chosen.online)), watch=watch,
            same_device=options.same_device, **vars(chosen.settings),
        )  # fmt: skip
    print(done.path)
    return done.outcome.exit_code if done.outcome else 1


@dataclasses.dataclass(frozen=True)
class LoopOptions:
    """Where it is deployed, and where the rounds go."""

    environment: Environment
    out: Annotated[Path, arg("folder of the rounds")]
    resume: Annotated[Flag, arg("continue the loop in --out, exactly; there may be more --rounds")] = False
    seed: Annotated[int, arg("of training and of every episode")] = 0
    preset: Annotated[
        str | None, arg("published settings of a domain: generic, locomotion, sparse or dexterous")
    ] = None


def loop(arguments: list[str]) -> int:
    """Train, deploy, collect, train on all of it, in rounds; `suture loop NAME --help` lists every field."""
    from suture.algorithms.presets import find
    from suture.algorithms.table import algorithm_named
    from suture.online.settings import Rounds
    from suture.training.settings import Settings

    own = (("data", DataPath), ("general", LoopOptions))
    if arguments[:1] in (["-h"], ["--help"]):
        common = {"rounds": options_of(Rounds)(), "settings": options_of(Settings)()}
        return _parsed("loop", "NAME", own, common, ["--help"])
    if not arguments or arguments[0].startswith("-"):
        raise ConfigError("loop begins with a method and a log: suture loop NAME DATA --env ID --out FOLDER.")
    kind = algorithm_named(arguments[0])
    preset = find(kind.name, value_of("--preset", arguments) or "generic")
    groups: dict[str, Any] = {
        "algorithm": options_of(kind)(**preset.fields), "rounds": options_of(Rounds)(),
        "settings": options_of(Settings)(**preset.settings), "reading": ReadingOptions(),
    }  # fmt: skip
    chosen = _parsed("loop", kind.name, own, groups, arguments[1:])
    return _loop(kind, chosen)


def _loop(kind: Any, chosen: Any) -> int:
    from suture.cli.progress import Bar
    from suture.data.load import load
    from suture.online.loop import loop as go_round
    from suture.online.settings import Rounds
    from suture.report.rounds import render
    from suture.training.settings import Settings

    options: LoopOptions = chosen.general
    reading = chosen.reading
    data = load(chosen.data, schema=reading.schema, reading=reading.reading)
    with Bar(kind.name) as watch:
        rounds, outcome = go_round(
            kind(**vars(chosen.algorithm)), data, options.environment, out=options.out,
            resume=options.resume, seed=options.seed, rounds=Rounds(**vars(chosen.rounds)),
            settings=Settings(**vars(chosen.settings)), watch=watch,
        )  # fmt: skip
    if rounds:
        show(render(rounds, options.environment))
    return outcome.exit_code


def _parsed(
    command: str, of: str, first: Sequence[tuple[str, Any]], groups: Mapping[str, Any], arguments: list[str]
) -> Any:
    """What is on a command line whose options depend on its first word.

    first: its own fields, which may have no default.   groups: name -> options with their defaults.
    """
    fields: list[Any] = [
        (name, tyro.conf.OmitArgPrefixes[kind] if dataclasses.is_dataclass(kind) else kind)
        for name, kind in first
    ]
    fields += [
        (name, tyro.conf.OmitArgPrefixes[type(group)], dataclasses.field(default=group))
        for name, group in groups.items()
    ]
    whole = dataclasses.make_dataclass(command.title(), fields)
    return parsed(whole, f"suture {command} {of}".strip(), arguments, description=MEANINGS[command])
