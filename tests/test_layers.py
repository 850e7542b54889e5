"""The architecture as a test: imports point down, outside libraries have one door, NumPy stays below JAX."""

import ast
import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

SRC = Path(__file__).resolve().parent.parent / "src"

# From the top to the bottom. Modules of one layer may import each other, but not in a circle.
LAYERS = (
    {"suture", "__main__"},
    {"cli", "demo"},
    {"report", "serve", "fleet", "testing"},
    {"online"},
    {"evaluation"},
    {"training"},
    {"algorithms", "diagnosis", "theory"},
    {"objectives", "nets", "data", "envs"},
    {"storage", "spaces", "config", "keys", "errors", "signals"},
)
RANK = {part: -depth for depth, parts in enumerate(LAYERS) for part in parts}

# Outside library -> the only modules (or packages) that may import it.
DOORS = {
    "altair": ("report.figures",),
    "array_record": ("data.formats.array_record",),
    "grain": ("data.formats.array_record",),
    "vl_convert": ("report.figures",),
    "fastapi": ("serve.http",),
    "gymnasium": ("evaluation", "envs"),
    "h5py": ("data.formats",),
    "jinja2": ("report.page",),
    "minari": ("data.formats.minari",),
    "mujoco": ("envs",),
    "polars": ("data.formats",),
    "ray": ("fleet.ray",),
    "rich": ("cli", "report", "training.progress", "demo"),
    "safetensors": ("storage",),
    "simplejpeg": ("data.formats.pictures",),
    "tensorboardX": ("training",),
    "tyro": ("cli",),
    "uvicorn": ("serve.http",),
    "torch": (),
    "matplotlib": (),
}

NUMPY_ONLY = (
    "data", "diagnosis", "theory", "storage", "config", "spaces", "errors", "report", "cli", "__main__",
)  # fmt: skip
# These train; the command line loads them when a command needs them.
ABOVE_NUMPY = ("data.stage", "cli.demo", "cli.progress")
HEAVY = ("jax", "equinox", "optax", "h5py", "polars", "gymnasium", "minari", "grain")


def modules() -> dict[str, Path]:
    """Dotted name below `suture` ('' for the package itself) -> file."""
    found: dict[str, Path] = {}
    for path in sorted((SRC / "suture").rglob("*.py")):
        parts = path.relative_to(SRC / "suture").with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def imports_of(path: Path) -> list[tuple[str, int]]:
    """Every module that a file imports anywhere, as absolute dotted names with line numbers."""
    return list(_imports_in(path))


def _imports_in(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield f"relative:{node.module}", node.lineno
            elif node.module == "suture":
                yield from ((f"suture.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module or "", node.lineno


def part_of(name: str) -> str:
    """The part of the package that a module name below `suture` belongs to."""
    return name.split(".")[0] or "suture"


def inside(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def inner_imports(name: str, path: Path) -> Iterator[tuple[str, int]]:
    """The parts of `suture` that a module imports."""
    for target, line in imports_of(path):
        if target.split(".")[0] == "suture" and target != "suture.__version__":
            part = target.split(".")[1] if "." in target else "suture"
            yield (part if part in RANK else "suture"), line


def test_every_part_has_a_layer() -> None:
    unplaced = {part_of(name) for name in modules()} - set(RANK)
    assert not unplaced, f"place {sorted(unplaced)} in LAYERS, and in CONTRIBUTING.md"


def test_imports_point_down() -> None:
    upward = [
        f"{path.relative_to(SRC)}:{line} imports {part}, which stands above {part_of(name)}"
        for name, path in modules().items()
        if part_of(name) != "suture"
        for part, line in inner_imports(name, path)
        if RANK[part] > RANK[part_of(name)]
    ]
    assert not upward, "\n".join(upward)


def test_parts_of_one_layer_do_not_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for name, path in modules().items():
        part = part_of(name)
        if part != "suture":
            graph.setdefault(part, set()).update(p for p, _ in inner_imports(name, path) if p != part)
    while leaves := [part for part, targets in graph.items() if not targets & set(graph)]:
        for part in leaves:
            del graph[part]
    assert not graph, f"these import each other in a circle: {graph}"


def test_imports_are_absolute() -> None:
    relative = [
        f"{path.relative_to(SRC)}:{line}"
        for path in modules().values()
        for target, line in imports_of(path)
        if target.startswith("relative:")
    ]
    assert not relative, relative


@pytest.mark.parametrize("library", sorted(DOORS))
def test_each_outside_library_has_one_door(library: str) -> None:
    strays = [
        f"{path.relative_to(SRC)}:{line}"
        for name, path in modules().items()
        for target, line in imports_of(path)
        if target.split(".")[0] == library and not inside(name, DOORS[library])
    ]
    assert not strays, f"{library} may be imported by {DOORS[library]} only, found in {strays}"


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], check=False, capture_output=True, text=True, timeout=60
    )


def loaded_after(code: str, *arguments: str) -> set[str]:
    """The heavy libraries that a new interpreter has loaded after running `code`."""
    ran = run_python(f"{code}\nimport sys; print('\\nloaded:', *sys.modules)", *arguments)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split("loaded:")[1].split()) & set(HEAVY)


def test_import_suture_loads_nothing_heavy() -> None:
    assert loaded_after("import suture") == set()


def test_import_of_the_command_line_loads_nothing_heavy() -> None:
    assert loaded_after("import suture.cli") == set()


def test_modules_below_jax_import_no_jax() -> None:
    names = [
        ".".join(filter(None, ("suture", name)))
        for name in modules()
        if inside(name, NUMPY_ONLY) and not inside(name, ABOVE_NUMPY)
    ]
    code = """
import importlib, json, sys
guilty = []
for name in sys.argv[1:]:
    importlib.import_module(name)
    if "jax" in sys.modules:
        guilty.append(name)
        break
print(json.dumps(guilty))
"""
    ran = run_python(code, *names)
    assert ran.returncode == 0, ran.stderr
    guilty = json.loads(ran.stdout.splitlines()[-1])
    assert not guilty, f"{guilty} imports JAX at module level, itself or through what it imports"


def test_inspect_answers_without_jax(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    timeouts = np.arange(60) % 20 == 19
    np.savez(
        tmp_path / "log.npz",
        observations=generator.standard_normal((60, 3)),
        actions=generator.uniform(-1, 1, (60, 2)),
        rewards=generator.standard_normal(60),
        terminals=np.zeros(60, bool),
        timeouts=timeouts,
    )
    code = """
import sys
from suture.cli import main
try:
    main()
except SystemExit as end:
    if end.code:
        raise
"""
    loaded = loaded_after(code, "inspect", str(tmp_path / "log.npz"))
    assert not loaded & {"jax", "equinox", "optax", "gymnasium", "minari"}, loaded
