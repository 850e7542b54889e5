"""Command-line options made from the dataclasses that they set, with meaning, unit and source as help."""

import contextlib
import dataclasses
import functools
import io
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from suture.config import bounds_of, fields_of, types_of
from suture.data import bounds
from suture.data.log import Ends, Reading
from suture.errors import ConfigError

Flag = tyro.conf.FlagCreatePairsOff[bool]


def arg(help: str, **more: Any) -> Any:
    """The annotation of one option."""
    return tyro.conf.arg(help=help, **more)


def typed(metavar: str, parse: Callable[[str], Any]) -> Any:
    """The annotation of an option whose one word is read by a function, which raises `ConfigError`."""
    return tyro.constructors.PrimitiveConstructorSpec[Any](
        nargs=1, metavar=metavar, instance_from_str=lambda words: parse(words[0]),
        is_instance=lambda _: True, str_from_instance=lambda value: [str(value)],
    )  # fmt: skip


def whole(text: str) -> int:
    """A whole number as people write it: 100000, 100_000 or 1e5."""
    with contextlib.suppress(ValueError):
        return int(text)
    with contextlib.suppress(ValueError):
        if (value := float(text)).is_integer():
            return int(value)
    raise ValueError(f"{text!r} is no whole number, such as 100000 or 1e5")


REGISTRY = tyro.constructors.ConstructorRegistry()
"""How the words of a command line are read, beyond what tyro does by itself."""


@REGISTRY.primitive_rule
def _whole_numbers(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[int] | None:
    if info.type is not int:
        return None
    return tyro.constructors.PrimitiveConstructorSpec[int](
        nargs=1, metavar="INT", instance_from_str=lambda words: whole(words[0]),
        is_instance=lambda value: isinstance(value, int), str_from_instance=lambda value: [str(value)],
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ReadingOptions:
    """What you know about the log where its evidence is ambiguous or absent."""

    schema: Annotated[str | None, arg("what the columns of a CSV or Parquet file mean (JSON)")] = None
    ends: Annotated[Ends | None, arg("what an end means for which the file gives no reason")] = None
    episode_length: Annotated[int | None, arg("rows per episode, for a log without any flag of ends")] = None
    action_bounds: Annotated[
        bounds.Bounds | Literal["observed"] | None,
        typed("LOW HIGH|LOW:HIGH ...|observed", bounds.parse),
        arg("bounds: LOW HIGH of every action dimension, or LOW:HIGH of each; observed: what the log shows"),
    ] = None
    discrete: Annotated[bool | None, arg("whether actions are choices (True) or numbers (False)")] = None
    drop_duplicates: Annotated[Flag, arg("leave repeated episodes out")] = False
    skip_bad: Annotated[Flag, arg("leave damaged shards of a converted folder out")] = False

    @property
    def reading(self) -> Reading:
        return Reading(**{name: getattr(self, name) for name in fields_of(Reading)})


DataPath = Annotated[tyro.conf.Positional[Path], arg("the log: a file or a folder", metavar="DATA")]
RunPath = Annotated[tyro.conf.Positional[Path], arg("a run folder", metavar="RUN")]
Reads = tyro.conf.OmitArgPrefixes[ReadingOptions]
Json = Annotated[Flag, arg('print one JSON object; where it is refused, {"error": {"type", "message", ...}}')]


def parsed(command: Any, prog: str, arguments: Sequence[str], **more: Any) -> Any:
    """What a command line says of the fields of a class, or of the parameters of a function.

    A function is returned with them, to be called. Of words that do not fit, people are told in a frame
    (`SystemExit`); with --json among them, `ConfigError` says the same.
    """
    if not isinstance(command, type):
        command = _with_its_words(command)
    heard = io.StringIO()
    try:
        with contextlib.redirect_stderr(heard):
            return tyro.cli(command, prog=prog, args=arguments, registry=REGISTRY, **more)
    except SystemExit as ended:
        if ended.code and "--json" in arguments:
            raise ConfigError(_unframed(heard.getvalue())) from None
        sys.stderr.write(heard.getvalue())
        raise


def _unframed(text: str) -> str:
    """What a frame, of lines or of blanks, holds under its title, as sentences without colours."""
    lines = [line.strip("│ ") for line in re.sub(r"\x1b\[[\d;]*m", "", text).splitlines()[1:-1]]
    return ". ".join(" ".join(part.split()) for part in re.split(r"[─-]{4,}", " ".join(lines))) + "."


def _with_its_words(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def called(*values: Any, **named: Any) -> Any:
        return functools.partial(function, *values, **named)

    return called


def print_json(value: Any) -> None:
    """One object, on a line of its own."""
    print(json.dumps(value, allow_nan=False))


def show(renderable: Any) -> None:
    """A table or a text, as a person reads it."""
    from rich.console import Console

    Console(highlight=False).print(renderable)


def options_of(kind: type, only: Sequence[str] = ()) -> type:
    """A dataclass with the fields of a configuration class (or some), explained for `--help`."""
    kinds, made = types_of(kind), list[Any]()
    for name, field in fields_of(kind).items():
        if only and name not in only:
            continue
        option = Annotated[kinds[name], arg(_explain(field))]  # --x and --no-x: presets change defaults
        made.append((name, option, dataclasses.field(default=field.default)))
    return dataclasses.make_dataclass(kind.__name__, made, frozen=True)


def _explain(field: "dataclasses.Field[Any]") -> str:
    bounds = bounds_of(field)
    text = bounds.help
    details = [part for part in (bounds.unit, str(bounds)) if part]
    text += f" [{'; '.join(details)}]" if details else ""
    return text + (f" (source: {bounds.source})" if bounds.source else "")


def prepared(arguments: Sequence[str]) -> list[str]:
    """Arguments in which options that take any number of values can be told from what follows them."""
    return one_by_one(_bounds_together(arguments))


def _bounds_together(arguments: Sequence[str]) -> list[str]:
    """Arguments in which the bounds after --action-bounds are one word: --action-bounds=0:100,0:1."""
    joined, values = list[str](), list[str]()
    for argument in (*arguments, ""):
        if values and bounds.TYPED.fullmatch(argument):
            values.append(argument)
            continue
        if values:
            joined.append("=".join((values[0], ",".join(values[1:]))) if len(values) > 1 else values[0])
            values = []
        if argument in ("--action-bounds", "--action_bounds"):
            values = [argument]
        else:
            joined.append(argument)
    return joined[:-1]


def one_by_one(arguments: Sequence[str]) -> list[str]:
    """Arguments in which each FIELD=VALUES after --sweep has a --sweep of its own.

    `--sweep a=1,2 b=3,4 LOG` would otherwise be ambiguous: an option that takes any number of values takes
    the log as well.
    """
    spread, going_on = list[str](), False
    for argument in arguments:
        names = re.match(r"[A-Za-z][\w-]*=[^/]*$", argument) is not None
        if going_on and names and spread[-1] != "--sweep":
            spread.append("--sweep")
        spread.append(argument)
        going_on = argument.split("=")[0] == "--sweep" or (going_on and names)
    return spread


def parse_sweep(texts: tuple[str, ...]) -> dict[str, list[float]]:
    """('expectile=0.7,0.9',) -> {'expectile': [0.7, 0.9]}; `ConfigError` names what is malformed."""
    grid: dict[str, list[float]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if name in grid:
            raise ConfigError(f"--sweep names {name!r} twice. Give all its values at once: {name}=v1,v2.")
        if name in ("seed", "seeds"):
            raise ConfigError(f"Seeds are not swept by --sweep {text}. Use --seeds K (and --seed S).")
        try:
            grid[name] = [float(value) for value in values.split(",")] if equals else []
        except ValueError:
            grid[name] = []
        if not grid[name]:
            raise ConfigError(f"--sweep takes FIELD=v1,v2 ... such as expectile=0.7,0.9; found {text!r}.")
    return grid


def value_of(option: str, arguments: list[str]) -> str | None:
    """What follows an option (`--name value` or `--name=value`) among arguments; None where it is absent."""
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == option:
            return value if equals else next(iter(arguments[place + 1 :]), None)
    return None
