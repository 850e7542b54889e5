"""C1: every field of every algorithm and of the settings, misspelt and out of range, on the command line."""

import dataclasses
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tyro

import suture.cli as cli
from suture.algorithms.table import ALGORITHMS
from suture.cli.options import options_of, parse_sweep
from suture.config import Bounds, bounds_of, check, fields_of, to_json, types_of
from suture.errors import ConfigError
from suture.online.settings import Online
from suture.training.settings import Settings

KINDS: list[tuple[str, Any]] = [*ALGORITHMS.items(), ("bc", Settings)]
FIELDS = [
    (name, kind, field)
    for (field, *_), (name, kind) in {
        # What many methods share is asked of one of them.
        (field, str(about.default), str(types_of(kind)[field]), str(bounds_of(about))): (name, kind)
        for name, kind in reversed(KINDS)
        for field, about in fields_of(kind).items()
    }.items()
]
BESIDE = {"split_by": ("--validation", "0.1")}
"""What a field does not make sense without."""
IDS = [f"{name}-{kind.__name__}-{field}" for name, kind, field in FIELDS]


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str]:
    """Exit code and all output of the command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["suture", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out + err


def flag(field: str, kind: Any = None) -> str:
    """`--field`; `--no-field` where it is set unless one says otherwise."""
    unset = "no-" if kind is not None and fields_of(kind)[field].default is True else ""
    return f"--{unset}{field.replace('_', '-')}"


@pytest.mark.parametrize(("name", "kind", "field"), FIELDS, ids=IDS)
def test_a_misspelt_field_is_refused_with_the_nearest(
    name: str, kind: Any, field: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    misspelt = flag(field, kind) + field[-1]
    code, said = run(capsys, monkeypatch, "train", name, "absent.npz", misspelt, "1")
    assert code == 2
    assert misspelt in said
    assert flag(field, kind) in said
    assert "Traceback" not in said


def bad_values(kind: Any, field: str) -> Iterator[tuple[str, str]]:
    """(value as typed, what the refusal must say)."""
    bounds: Bounds = bounds_of(fields_of(kind)[field])
    typed = types_of(kind)[field]
    for limit, beyond in ((bounds.above, 0), (bounds.below, 0), (bounds.at_least, -1), (bounds.at_most, 1)):
        if limit is not None:
            yield f"{limit + beyond:g}", str(bounds)
    if typed is float:
        yield "nan", f"{kind.__name__}.{field} must be "
        yield "inf", f"{kind.__name__}.{field} must be "
    if typed in (int, float):
        yield "many", flag(field)
    if "Literal" in str(typed):
        yield "nonsense", flag(field)


RANGED = [(name, kind, field, *bad) for name, kind, field in FIELDS for bad in bad_values(kind, field)]


@pytest.mark.parametrize(("name", "kind", "field", "value", "expected"), RANGED)
def test_a_value_out_of_range_is_refused_with_the_range(
    name: str, kind: Any, field: str, value: str, expected: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = run(capsys, monkeypatch, "train", name, "absent.npz", f"{flag(field)}={value}")
    assert code == 2
    assert expected in said
    assert "Traceback" not in said


def test_every_field_can_be_set_and_reaches_its_class(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is not a field's default arrives where it belongs."""
    seen: list[Any] = []
    monkeypatch.setattr(cli, "_train", lambda kind, chosen: seen.append((kind, chosen)) or 0)
    for name, kind, field in FIELDS:
        value, typed = other_value(kind, field)
        arguments = [flag(field, kind), *typed, *BESIDE.get(field, ())]
        code, said = run(capsys, monkeypatch, "train", name, "absent.npz", *arguments)
        assert code == 0, said
        group = seen[-1][1].settings if kind is Settings else seen[-1][1].algorithm
        made = kind(**vars(group))
        assert getattr(made, field) == value, field
        check(made)


def other_value(kind: Any, field: str) -> tuple[Any, list[str]]:
    """A value in range that is not the default, and how it is typed."""
    default, typed = fields_of(kind)[field].default, types_of(kind)[field]
    if typed is bool:
        return not default, []
    if typed in (float, float | None):
        value = 0.5 if default != 0.5 else 0.25
        return value, [str(value)]
    if typed in (int, int | None):
        value = (default or 0) + 1
        return value, [str(value)]
    if isinstance(default, tuple):
        return (7, 9), ["7", "9"]
    if "Literal" in str(typed):
        value = next(choice for choice in typed.__args__ if choice != default)
        return value, [value]
    value = "2GB" if field == "memory_limit" else "time:day"
    return value, [value]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_help_explains_every_field(name: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meaning, unit, range, source and default of each."""
    code, said = run(capsys, monkeypatch, "train", name, "--help")
    assert code == 0
    words = " ".join(re.sub(r"[│╭╰─╮╯]", " ", said).split())
    for kind in (ALGORITHMS[name], Settings):
        for field, about in fields_of(kind).items():
            bounds = bounds_of(about)
            assert bounds.help, f"{kind.__name__}.{field} has no help"
            assert flag(field, kind) in words
            for part in (bounds.help, bounds.unit, str(bounds), bounds.source):
                assert part in words, (field, part)
            default = about.default
            text = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
            assert f"(default: {text})" in words, field


@pytest.mark.parametrize(
    ("typed", "steps"), [("1e5", 100_000), ("100_000", 100_000), ("2.5e3", 2_500), ("7", 7), ("+8", 8)]
)
def test_whole_numbers_are_read_as_people_write_them(
    typed: str, steps: int, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(cli, "_train", lambda kind, chosen: seen.append(chosen) or 0)
    code, said = run(
        capsys, monkeypatch, "train", "bc", "x.npz", "--steps", typed, "--seeds", "2e0", "--hidden", "1e2"
    )
    assert code == 0, said
    assert (seen[0].settings.steps, seen[0].run.seeds, seen[0].algorithm.hidden) == (steps, 2, (100,))


@pytest.mark.parametrize("typed", ["1.5", "1e-3", "inf", "nan", "1e"])
def test_what_is_no_whole_number_is_refused(typed: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = run(capsys, monkeypatch, "train", "bc", "x.npz", "--steps", typed)
    assert code == 2
    assert f"Error parsing --steps: '{typed}' is no whole number, such as 100000 or 1e5" in said
    assert "Traceback" not in said


def test_train_help_lists_the_algorithms(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = run(capsys, monkeypatch, "train", "--help")
    assert code == 0
    assert all(f"suture train {name}" in said for name in ALGORITHMS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "There is no command 'trian'. Did you mean 'train'?"),
        (["train", "iqll"], "There is no algorithm 'iqll'. Did you mean 'iql'?"),
        (["inspect", "x.npz", "--jsn"], "--json"),
        (["evaluate", "run", "--env", "X", "--episode", "3"], "--episodes"),
        (["train", "bc", "x.npz", "--seeds", "0"], "seeds must be at least 1"),
        (["train", "bc", "x.npz", "--seed", "-1"], "seed within 0 to 2^32"),
        (["train", "bc", "x.npz", "--memory-limit", "lots"], "memory_limit must be a size such as 2GB"),
        (["train", "bc", "x.npz", "--episode-length", "0"], "episode_length must be at least 1"),
        (["train", "bc", "x.npz", "--action-bounds", "1", "1"], "low < high"),
        (["train", "iql", "x.npz", "--sweep", "expectle=1"], "Did you mean 'expectile'?"),
    ],
)
def test_other_mistakes_are_refused(
    arguments: list[str], said: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, text = run(capsys, monkeypatch, *arguments)
    assert code == 2
    assert said in text


def test_sweeps_are_parsed() -> None:
    assert parse_sweep(("expectile=.7,0.9", "actor-learning-rate=1e-4")) == {
        "expectile": [0.7, 0.9], "actor_learning_rate": [1e-4],
    }  # fmt: skip


GRID = {"expectile": [0.7, 0.9], "inverse_temperature": [1.0, 3.0]}


@pytest.mark.parametrize(
    "typed",
    [
        "LOG --sweep expectile=0.7,0.9 inverse-temperature=1,3",
        "--sweep expectile=0.7,0.9 inverse-temperature=1,3 LOG",
        "--sweep expectile=0.7,0.9 --sweep inverse-temperature=1,3 LOG",
        "--sweep=expectile=0.7,0.9 inverse-temperature=1,3 --steps 7 LOG",
        "--sweep expectile=0.7,0.9 LOG --sweep=inverse-temperature=1,3",
        "--sweep expectile=0.7,0.9 --steps=7 --sweep inverse-temperature=1,3 LOG --seeds=2",
    ],
)
def test_a_sweep_takes_several_fields_in_one_flag_or_in_several(
    typed: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the log is named, and whatever its name."""
    for log in ("log.npz", "day=3/log.npz"):
        seen: list[Any] = []
        monkeypatch.setattr(cli, "_train", lambda _, chosen, seen=seen: seen.append(chosen) or 0)
        arguments = [log if part == "LOG" else part for part in typed.split()]
        code, said = run(capsys, monkeypatch, "train", "iql", *arguments)
        assert code == 0, said
        assert str(seen[0].data) == log
        assert parse_sweep(seen[0].run.sweep) == GRID


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sweep", "expectile=0.7", "expectile=0.9", "log.npz"], "names 'expectile' twice"),
        (
            ["log.npz", "--sweep", "expectile=0.7", "inverse-temperature=hot"],
            "found 'inverse-temperature=hot'",
        ),
        (["log.npz", "--sweep", "expectile=0.7", "more"], "more"),
        (["log.npz", "expectile=0.7"], "expectile=0.7"),
        (["log.npz", "--sweep"], "--sweep"),
    ],
)
def test_several_fields_are_refused_as_one_is(
    arguments: list[str], said: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, text = run(capsys, monkeypatch, "train", "iql", *arguments)
    assert code == 2
    assert said in text


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("expectile",), "takes FIELD=v1,v2"),
        (("expectile=",), "takes FIELD=v1,v2"),
        (("expectile=a,b",), "takes FIELD=v1,v2"),
        (("expectile=.7", "expectile=.9"), "names 'expectile' twice"),
        (("seeds=1,2",), "Use --seeds K"),
    ],
)
def test_malformed_sweeps_are_refused(texts: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_sweep(texts)
    assert said in str(refused.value)


def test_settings_survive_json_and_refuse_what_is_unknown() -> None:
    from suture.config import from_json

    settings = Settings(steps=7, memory_limit="1GB")
    assert from_json(Settings, to_json(settings)) == settings
    with pytest.raises(ConfigError, match="Did you mean 'steps'"):
        from_json(Settings, {"step": 7})
    assert dataclasses.is_dataclass(settings)


def test_the_version_and_the_commands(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from suture import __version__

    assert run(capsys, monkeypatch, "--version") == (0, f"{__version__}\n")
    code, said = run(capsys, monkeypatch)
    assert code == 0
    assert all(f"suture {command}" in said for command in ("inspect", "convert", "train", "evaluate", "demo"))
    assert Path("absent.npz").exists() is False


@pytest.mark.parametrize("name", ALGORITHMS)
def test_no_field_of_a_method_has_the_name_of_another_option(name: str) -> None:
    """They stand side by side on the command line."""
    others = {*fields_of(Settings), *fields_of(cli.RunOptions), *fields_of(cli.ReadingOptions)}
    assert not others & {*fields_of(ALGORITHMS[name])}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = run(capsys, monkeypatch, name, "--help")
    assert code == 0, said
    assert f"suture {name}" in said


@pytest.mark.parametrize("default", [False, True])
def test_a_switch_can_be_said_whatever_a_preset_makes_of_it(default: bool) -> None:
    kind = options_of(Online, ("pooled",))
    for said, expected in (("--pooled", True), ("--no-pooled", False)):
        assert tyro.cli(kind, default=kind(pooled=default), args=[said]).pooled is expected
