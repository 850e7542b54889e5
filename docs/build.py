"""Build the documentation into site/: the pages of this folder, then every public name from its docstring.

Fails, listing them, where public names have no docstring. Needs no network; the pages fetch nothing.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pdoc
import pdoc.render

import suture
import suture.testing

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("start.md", "logs.md", "runs.md")


def public_names() -> Iterator[tuple[str, Any]]:
    """The public names of the package and of its testing tools, with what they stand for."""
    for module in (suture, suture.testing):
        yield module.__name__, module
        for name in getattr(module, "__all__", ()):
            if not name.startswith("_"):
                yield f"{module.__name__}.{name}", getattr(module, name)


def undocumented() -> list[str]:
    """Public names, and public methods of public classes, without a docstring of their own."""
    bare: list[str] = []
    for name, thing in public_names():
        if not (thing.__doc__ or "").strip():
            bare.append(name)
        if inspect.isclass(thing):
            bare += [
                f"{name}.{method}"
                for method, function in vars(thing).items()
                if inspect.isfunction(function)
                and not method.startswith("_")
                and not inspect.getdoc(function)
            ]
    return bare


def main() -> None:
    """Check, then write site/."""
    bare = undocumented()
    if bare:
        raise SystemExit("These public names have no docstring:\n  " + "\n  ".join(bare))
    suture.__doc__ = "\n\n".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in PAGES)
    pdoc.render.configure(show_source=False, search=True, footer_text=f"Suture {suture.__version__}")
    pdoc.pdoc("suture", "!suture.__main__", output_directory=ROOT / "site")
    print("site/index.html")


if __name__ == "__main__":
    main()
