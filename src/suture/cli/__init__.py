"""The `suture` command. Each function parses nothing, computes nothing: it calls the API and prints.

With --json, a command that fails prints {"error": {"type", "message", "exit_code", ...}}, beside the message.
Exit codes: 0 done; 1 error; 2 refused input; 3 training ended NON_FINITE or DIVERGED; 4 fine-tuning fell
below its bound; 75 pre-empted.
"""

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from suture import __version__, signals
from suture.cli.evaluation import evaluate
from suture.cli.inspecting import inspect
from suture.cli.making import make
from suture.cli.online import finetune, loop
from suture.cli.options import (
    DataPath,
    Flag,
    ReadingOptions,
    Reads,
    arg,
    options_of,
    parse_sweep,
    parsed,
    prepared,
    print_json,
    show,
    value_of,
)
from suture.cli.reporting import report
from suture.cli.studies import overestimation
from suture.cli.theory import theory
from suture.config import nearest
from suture.errors import ConfigError, DataRefused, RefusedInput, SchemaNeeded, SutureError


def convert(data: DataPath, out: Annotated[tyro.conf.Positional[Path], arg("a new folder", metavar="OUT")],
            reading: Reads = ReadingOptions()) -> int:  # noqa: B008  # fmt: skip
    """Settle a log once and store it for memory-mapped training; appends to a folder of the same spaces."""
    from suture.data.formats import native
    from suture.data.load import load

    if os.path.lexists(out) and not native.is_store(out):
        raise RefusedInput(
            f"{out} exists already and is no store. Name a new folder, or a store to append to."
        )
    appending, given = native.is_store(out), reading.reading
    if appending and native.is_store(data):  # it was settled before: only what is appended is in question
        given = dataclasses.replace(given, drop_duplicates=False)
    dataset, said = load(data, schema=reading.schema, reading=given), ""
    if appending:
        added = native.append(dataset, out, drop_duplicates=reading.drop_duplicates)
        said = f" {added:,} of them were appended."
    else:
        native.write(dataset, out)
    print(f"{out}: {len(dataset):,} transitions in {dataset.episodes:,} episodes.{said}")
    return 0


def demo(
    out: Annotated[Path | None, arg("folder for the log and the runs; default: runs/demo")] = None,
    task: Annotated[
        Literal["maze", "composite"] | None,
        arg("composite: five steps in MuJoCo, the default where it is installed; maze: two, without it"),
    ] = None,
) -> int:
    """Stitch: learn from a log in which no single episode does the whole task a policy that does."""
    from suture.cli.demo import run_demo

    return run_demo(out or Path("runs/demo"), task)


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Where the run goes and what its members are."""

    out: Annotated[Path | None, arg("run folder; default: the next free runs/NAME-0001")] = None
    resume: Annotated[Flag, arg("continue the run in --out from its newest whole checkpoint, exactly")] = (
        False
    )
    seeds: Annotated[int, arg("members that differ in the seed alone, in one program")] = 1
    seed: Annotated[int, arg("the first seed")] = 0
    sweep: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        arg("FIELD=v1,v2 ...: members for each value, in one program; several fields make a grid"),
    ] = ()
    preset: Annotated[
        str | None, arg("published settings of a domain: generic, locomotion, sparse or dexterous")
    ] = None
    behaviour: Annotated[
        Path | None, arg("a finished run of bc on this log: the behaviour model of brac or bear")
    ] = None
    same_device: Annotated[Flag, arg("refuse to resume on another device or with other versions")] = False


def train(arguments: list[str]) -> int:
    """Train an algorithm on a log; `suture train NAME --help` lists every field."""
    from suture.algorithms.presets import find
    from suture.algorithms.table import ALGORITHMS, algorithm_named
    from suture.training.settings import Settings

    if not arguments or arguments[0] in ("-h", "--help"):
        return _list_algorithms(ALGORITHMS)
    kind = algorithm_named(arguments[0])
    preset = find(kind.name, value_of("--preset", arguments) or "generic")
    groups = {
        "run": RunOptions(), "algorithm": options_of(kind)(**preset.fields),
        "settings": options_of(Settings)(**preset.settings), "log": ReadingOptions(),
    }  # fmt: skip
    fields: list[Any] = [
        (name, tyro.conf.OmitArgPrefixes[type(group)], dataclasses.field(default=group))
        for name, group in groups.items()
    ]
    command = dataclasses.make_dataclass("Train", [("data", DataPath), *fields])
    title = f"{(kind.__doc__ or '').strip()}\n\nOptions: the run, the algorithm, its settings, the log."
    return _train(kind, parsed(command, f"suture train {kind.name}", arguments[1:], description=title))


def _train(kind: Any, chosen: Any) -> int:
    from suture.algorithms.presets import described
    from suture.cli.progress import Bar
    from suture.data.load import load
    from suture.data.summary import summarise
    from suture.report.inspection import brief
    from suture.training.same import require_folder
    from suture.training.settings import Settings
    from suture.training.sweep import Sweep
    from suture.training.train import default_folder, train

    options: RunOptions = chosen.run
    out = options.out or default_folder(kind.name, resume=options.resume)
    require_folder(out, kind.name, resume=options.resume)  # before a long log is read for nothing
    algorithm, settings = kind(**vars(chosen.algorithm)), Settings(**vars(chosen.settings))
    sweep = Sweep(algorithm, seeds=options.seeds, seed=options.seed, **parse_sweep(options.sweep))
    data = load(chosen.data, schema=chosen.log.schema, reading=chosen.log.reading)
    with Bar(kind.name) as watch:
        if options.preset is not None:
            values = {**vars(chosen.algorithm), **vars(chosen.settings)}
            watch.say(described(kind.name, options.preset, values))
        for line in brief(summarise(data), str(chosen.data)):
            watch.say(line)
        run = train(sweep, data, out=options.out, resume=options.resume, settings=settings, watch=watch,
                    behaviour=options.behaviour, same_device=options.same_device)  # fmt: skip
    print(run.path)
    return run.outcome.exit_code if run.outcome else 1


COMMANDS: dict[str, Callable[..., int]] = {
    "inspect": inspect, "convert": convert, "train": train, "evaluate": evaluate, "finetune": finetune,
    "loop": loop, "overestimation": overestimation, "theory": theory, "report": report, "make": make,
    "demo": demo,
}  # fmt: skip


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        return _list_commands()
    if arguments[0] == "--version":
        print(__version__)
        return 0
    if arguments[0] not in COMMANDS:
        raise ConfigError(f"There is no command {arguments[0]!r}.{nearest(arguments[0], COMMANDS)}")
    command, arguments = COMMANDS[arguments[0]], prepared(arguments)
    if command in (train, finetune, loop, make):
        return command(arguments[1:])
    return parsed(command, f"suture {arguments[0]}", arguments[1:])()


def main() -> None:
    """Entry point: errors become one message and an exit code."""
    signals.heed(sys.argv[1:])
    try:
        sys.exit(run(sys.argv[1:]))
    except SchemaNeeded as error:
        if "--json" not in sys.argv:
            print(json.dumps(error.proposal, indent=2))
        _fail(error, error.advice, error.exit_code, proposal=error.proposal)
    except DataRefused as error:
        _fail(error, error, error.exit_code, findings=[finding.to_json() for finding in error.findings])
    except SutureError as error:
        _fail(error, error, error.exit_code)
    except KeyboardInterrupt as error:
        _fail(error, "interrupted.", 130)
    except MemoryError as error:
        _fail(error, f"out of memory: {error}. Use a machine with more of it, or a part of the log.", 2)
    except BrokenPipeError:  # the reader of our output has gone (| head): nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _fail(error, f"{error.filename or 'the system'}: {error.strerror or error}.", 2)
    except Exception as error:  # of an environment, say: its traceback is what helps
        if "--json" in sys.argv:
            _tell(error, error, 1)
        raise
    finally:
        signals.let_go()


def _fail(error: BaseException, message: object, exit_code: int, **more: Any) -> None:
    """Say why on standard error; with --json, also as an object on standard output."""
    with contextlib.suppress(OSError):  # standard output may be what failed
        if "--json" in sys.argv:
            _tell(error, message, exit_code, **more)
        sys.stdout.flush()
    print(f"suture: {message}", file=sys.stderr)
    sys.exit(exit_code)


def _tell(error: BaseException, message: object, exit_code: int, **more: Any) -> None:
    said = {"type": type(error).__name__, "message": str(message), "exit_code": exit_code, **more}
    print_json({"error": said})


def _first_line(thing: Any) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def _list_commands() -> int:
    from suture.report.listing import listing

    rows = [(f"suture {name}", _first_line(function)) for name, function in COMMANDS.items()]
    show(
        listing(
            "From logged experience to policies that can be trusted.",
            rows,
            "suture COMMAND --help explains one.",
        )
    )
    return 0


def _list_algorithms(algorithms: dict[str, Any]) -> int:
    from suture.report.listing import listing

    rows = [(f"suture train {name}", _first_line(kind)) for name, kind in algorithms.items()]
    footer = "suture train NAME DATA trains on a log; suture train NAME --help explains every field."
    show(listing("Algorithms", rows, footer))
    return 0
