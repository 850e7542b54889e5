"""The rules of the house that a reader would otherwise have to remember."""

import ast
import functools
import importlib
import inspect
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from suture.algorithms.table import ALGORITHMS
from suture.config import OWN, bounds_of, fields_of, types_of
from suture.online.settings import Online, Rounds
from suture.training.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FILE, LOOP, ALGORITHM, FUNCTION = 400, 200, 150, 60

# Spelt in pieces, so that this file does not find itself.
MACHINE_PATH = r"(?<![\w.])/(wo" + r"rk|fa" + r"rm|ro" + r"ot|ho" + r"me)/[A-Za-z]|/t" + r"mp/[a-z]"
REGISTRY = r"(py" + r"pi|pytho" + r"nhosted|np" + r"mjs|de" + r"bian)\.(org|com)"
BANNED = {
    "pickle in any form": r"(\bimport|\bfrom) +(c?pickle|cloudpickle|dill|joblib|marshal|shelve)\b",
    "arrays of objects": r"allow_pickle *= *True",
    "evaluated text": r"(?<![\w.])(eval|exec) *\(",
    "import by name": r"\b__import__\(",
    "hidden NaN": r"nan_to_num|apply_if_finite",
    "bare except": r"except *:|except (Base)?Exception *: *pass",
    "unfinished work": r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b",
}


def tracked() -> list[Path]:
    """The files of the repository, with those not yet added; all files where there is no git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return [
            path
            for folder in ("src", "tests", "benchmarks", "docs")
            for path in (ROOT / folder).rglob("*.py")
        ]
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def lines_with(pattern: str, paths: list[Path]) -> list[str]:
    """`file:line: text` of each line that matches, in files that are text."""
    found: list[str] = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
            for number, line in enumerate(lines, 1)
            if re.search(pattern, line)
        ]
    return found


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    """Every function of a file, nested ones too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def public_functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Dotted name and node of each function that neither is private nor stands in something private."""

    def walk(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                if isinstance(node, ast.FunctionDef):
                    yield prefix + node.name, node
                else:
                    yield from walk(node.body, f"{prefix}{node.name}.")

    return walk(ast.parse(path.read_text(encoding="utf-8")).body, "")


def found_at(path: Path, name: str) -> object:
    """What a dotted name of a source file stands for."""
    module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    return functools.reduce(getattr, name.split("."), importlib.import_module(module))


def length(node: ast.FunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("what", sorted(BANNED))
def test_the_package_has_none_of(what: str) -> None:
    found = lines_with(BANNED[what], SOURCES)
    assert not found, f"{what}:\n" + "\n".join(found)


def test_no_machine_path_in_any_file() -> None:
    found = lines_with(MACHINE_PATH, tracked())
    assert not found, "\n".join(found)


def test_no_registry_address_in_any_file() -> None:
    found = lines_with(REGISTRY, tracked())
    assert not found, "\n".join(found)


def test_the_lock_holds_versions_and_hashes_only() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    line = re.compile(
        r"#.*|[\w.-]+(\[[\w,-]+\])?==[\w.!+]+( ; [^/]+)?( \\)?|    --hash=sha256:[0-9a-f]{64}( \\)?"
    )
    odd = [text for text in lines if not line.fullmatch(text)]
    assert not odd, odd
    pins = [number for number, text in enumerate(lines) if re.match(r"[\w.-]+(\[.*\])?==", text)]
    assert len(pins) > 30
    assert all("--hash=" in lines[number + 1] for number in pins)


def test_files_keep_their_budget() -> None:
    def budget(path: Path) -> int:
        place = path.relative_to(ROOT / "src" / "suture").as_posix()
        if place == "training/loop.py":
            return LOOP
        algorithm = place.startswith("algorithms/") and path.stem not in ("__init__", "base", "table")
        return ALGORITHM if algorithm else FILE

    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    over = [f"{path.relative_to(ROOT)}: {size} lines" for path, size in sizes.items() if size > budget(path)]
    assert not over, over


def test_functions_keep_their_budget() -> None:
    over = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {length(node)} lines"
        for path in SOURCES
        for node in functions(path)
        if length(node) > FUNCTION
    ]
    assert not over, over


def test_public_functions_say_what_they_are_for() -> None:
    """A method that fills in a documented contract (`Algorithm.update`, `Env.step`) inherits its text."""
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno} {name}"
        for path in SOURCES
        for name, node in public_functions(path)
        if length(node) > 3 and not inspect.getdoc(found_at(path, name))
    ]
    assert not bare, bare


def test_modules_say_what_they_are_for() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in SOURCES}
    bare = [
        str(path.relative_to(ROOT))
        for path, text in texts.items()
        if text.strip() and ast.get_docstring(ast.parse(text)) is None
    ]
    assert not bare, bare


def test_algorithms_do_not_know_why_an_episode_ended() -> None:
    found = lines_with(
        r"\b(done|dones|timeout|timeouts)\b", sorted((ROOT / "src/suture/algorithms").glob("*.py"))
    )
    assert not found, f"terminations are settled in data/build.py and arrive as Batch.discount: {found}"


@pytest.mark.parametrize(
    "kind", [*ALGORITHMS.values(), Settings, Online, Rounds], ids=lambda kind: kind.__name__
)
def test_every_field_says_what_it_is_and_where_it_comes_from(kind: type) -> None:
    """What `--help` shows: a meaning, a unit where something is counted, and a paper or "own choice".

    A paper of 2018 or later is named with its number on arXiv.
    """
    for name, field in fields_of(kind).items():
        bounds, where = bounds_of(field), f"{kind.__name__}.{name}"
        assert bounds.help, where
        counts = {int, int | None, tuple[int, ...]}
        assert bounds.unit or types_of(kind)[name] not in counts, f"{where}: a number of what?"
        assert bounds.source == OWN or re.search(r"\b(19|20)\d\d\b", bounds.source), where
        recent = re.findall(r"\b(?:201[89]|202\d)\b(?! *\(arXiv:\d{4}\.\d{5}\))", bounds.source)
        assert not recent, f"{where}: {bounds.source} lacks its number on arXiv"


def test_random_keys_are_made_in_one_place() -> None:
    makers = [path for path in SOURCES if path.relative_to(ROOT / "src" / "suture").as_posix() != "keys.py"]
    found = lines_with(r"random\.(key|PRNGKey)\(", makers)
    assert not found, f"keys are a function of (seed, purpose, step): use suture.keys.key_for: {found}"
