"""Every kind of finding says what to do, were it only that nothing need be done."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import suture
from suture.data.findings import DONE
from suture.data.values import remedy

VERBS = (
    "add|begin|check|compare|convert|correct|cut|divide|export|fill|give|leave|log|look|mend|number|pass|"
    "record|relabel|remove|rename|rescale|restore|see|set|sort|split|standardise|store|subtract|write"
)
REMEDY = re.compile(
    rf"\b({VERBS.title()}) |[;,.:] ({VERBS}) |(?i:nothing need be done|otherwise (see|mend)|name the column)"
)
SHARED = {"remedy": remedy("done"), "DONE": DONE}
SOURCE = Path(suture.__file__).parent
Place = tuple[ast.Module, ast.FunctionDef, ast.Call]


def places() -> Iterator[tuple[str, Place]]:
    """Where findings are made: their id and the call of `Finding`, or of `at`, that makes them."""
    for path in sorted(SOURCE.rglob("*.py")):
        module = ast.parse(path.read_text())
        for function in (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)):
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                if isinstance(call.func, ast.Name) and call.func.id in ("at", "Finding"):
                    named = {word.arg: word.value for word in call.keywords}
                    if call.func.id == "at" and len(call.args) == 4:
                        named = {"id": call.args[0], "message": call.args[3]}
                    if isinstance(id := named.get("id"), ast.Constant):
                        yield str(id.value), (module, function, call)


def said(node: ast.AST, module: ast.Module, function: ast.FunctionDef, line: int) -> str:
    """The fixed words of a message, with those of the names and functions that it is made of."""
    words = list[str]()
    for part in ast.walk(node):
        if isinstance(part, ast.Constant):
            words.append(str(part.value))
        elif isinstance(part, ast.Name):
            made = [one for one in ast.walk(function) if assigns(one, part.id) and one.lineno < line]
            words += [said(one.value, module, function, one.lineno) for one in made[-1:] if one.value]
            words += [
                said(inner, module, one, inner.lineno)
                for one in module.body if isinstance(one, ast.FunctionDef) and one.name == part.id
                for inner in ast.walk(one) if isinstance(inner, ast.Return) and inner.value
            ]  # fmt: skip
            words += [
                said(one.value, module, function, line)
                for one in module.body if assigns(one, part.id) and isinstance(one, ast.Assign)
            ]  # fmt: skip
            words += [SHARED[part.id]] if part.id in SHARED else []
    return " ".join(words)


def assigns(node: ast.AST, name: str) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return isinstance(node, ast.Assign | ast.AugAssign) and any(
        isinstance(target, ast.Name) and target.id == name for target in targets
    )


KINDS = list(places())


def test_all_kinds_are_found() -> None:
    assert len({id for id, _ in KINDS}) >= 48


@pytest.mark.parametrize(("id", "place"), KINDS, ids=[f"{id}-{n}" for n, (id, _) in enumerate(KINDS)])
def test_a_finding_says_what_to_do(id: str, place: Place) -> None:
    module, function, call = place
    message = call.args[3] if len(call.args) == 4 else next(
        word.value for word in call.keywords if word.arg == "message"
    )  # fmt: skip
    words = said(message, module, function, call.lineno)
    assert REMEDY.search(words), f"{id}: {words}"
