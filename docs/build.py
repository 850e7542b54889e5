"""Build the documentation into site/: the pages of this folder, then every public name from its docstring.

Fails, listing them, where public names have no docstring. Needs no network; the pages fetch nothing.
"""

import html
import inspect
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pdoc
import pdoc.render
from pdoc.render_helpers import to_html

import suture
import suture.testing
from suture.algorithms.published import MEANINGS, PRESETS
from suture.algorithms.table import ALGORITHMS
from suture.config import bounds_of, fields_of
from suture.theory.table import examine

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "start.md", "logs.md", "diagnosis.md", "runs.md", "finetuning.md", "stitching.md", "grasping.md",
    "own_method.md",
)  # fmt: skip


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


STYLE = """body{max-width:46rem;margin:2rem auto;padding:0 1rem;font:16px/1.55 system-ui,sans-serif}
pre{background:#f5f5f5;padding:.8rem;overflow-x:auto;border-radius:4px}code{font-size:.92em}
table{border-collapse:collapse;font-size:.9em}td,th{border-bottom:1px solid #ddd;padding:.3rem .6rem;
text-align:left;vertical-align:top}a{color:#0a5ea8}"""


def fields_table(name: str) -> str:
    """The fields of a method with default, bounds, meaning and source, as HTML."""
    rows = ["<tr><th>field</th><th>default</th><th>meaning</th></tr>"]
    for field in fields_of(ALGORITHMS[name]).values():
        bounds = bounds_of(field)
        limits = "; ".join(part for part in (bounds.unit, str(bounds)) if part)
        meaning = html.escape(bounds.help + (f" [{limits}]" if limits else ""))
        source = f"<br><small>{html.escape(bounds.source)}</small>" if bounds.source else ""
        default = html.escape(str(field.default))
        rows.append(
            f"<tr><td><code>{field.name}</code></td><td>{default}</td><td>{meaning}{source}</td></tr>"
        )
    return f"<h2>Fields</h2><table>{''.join(rows)}</table>"


def write_methods(folder: Path) -> None:
    """One page a method, from docs/methods/NAME.md and its fields; fails where a method has no page."""
    pages = {path.stem: path for path in sorted((ROOT / "docs" / "methods").glob("*.md"))}
    odd = sorted(pages.keys() ^ ALGORITHMS.keys())
    if odd:
        raise SystemExit(f"docs/methods must hold one page for each method; these do not match: {odd}")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ALGORITHMS:
        text = pages[name].read_text(encoding="utf-8")
        body = str(to_html(text)) + fields_table(name)
        title = html.escape(text.partition("\n")[0].lstrip("# "))
        home = '<p><a href="../suture.html">Suture</a> / <a href="index.html">methods</a></p>'
        (folder / f"{name}.html").write_text(_page(title, home + body), encoding="utf-8")
    listed = "".join(
        f'<li><a href="{name}.html"><code>{name}</code></a>: '
        f"{html.escape((kind.__doc__ or '').strip().partition(chr(10))[0])}</li>"
        for name, kind in ALGORITHMS.items()
    )
    index = f'<p><a href="../suture.html">Suture</a></p><h1>Methods</h1><ul>{listed}</ul>'
    (folder / "index.html").write_text(_page("Methods", index), encoding="utf-8")


def presets_table() -> str:
    """Every preset but the defaults: method, domain, fields, settings, source and note, as HTML."""
    rows = ["<tr><th>method</th><th>domain</th><th>fields</th><th>run</th><th>source</th></tr>"]
    every = [
        (name, domain, own[name]) for name in ALGORITHMS for domain, own in PRESETS.items() if name in own
    ]
    for name, domain, found in (row for row in every if row[1] != "generic"):
        both = found.fields, found.settings
        said = ("<br>".join(f"{key} {value}" for key, value in one.items()) for one in both)
        note = f"<br><small>{html.escape(found.note)}</small>" if found.note else ""
        cells = (f"<code>{name}</code>", domain, *said, html.escape(found.source) + note)
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return f"<table>{''.join(rows)}</table>"


def write_presets(path: Path) -> None:
    """The page of presets: what they are, then all of them as the package holds them."""
    text = (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")
    domains = "".join(f"<li><code>{name}</code>: {html.escape(said)}</li>" for name, said in MEANINGS.items())
    home = '<p><a href="suture.html">Suture</a></p>'
    body = f"{home}{to_html(text)}<ul>{domains}</ul>{presets_table()}"
    path.write_text(_page("Presets", body), encoding="utf-8")


def write_theory(path: Path) -> None:
    """The page of corrected statements, then every claim in full with what its check finds now."""
    text = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
    parts = ['<p><a href="suture.html">Suture</a></p>', to_html(text), "<h2>Every claim</h2>"]
    for one in examine():
        told = ((name, getattr(one.claim, name)) for name in ("statement", "conditions", "proof", "source"))
        lines = "".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in told if text)
        parts.append(
            f"<h3>{one.claim.section} {html.escape(one.claim.claim)}: {one.claim.verdict}</h3>"
            f"<dl>{lines}<dt>figure</dt><dd>{html.escape(one.found.figure)}</dd></dl>"
        )
    path.write_text(_page("The lecture, checked", "".join(parts)), encoding="utf-8")


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body>{body}</body></html>\n"
    )


def main() -> None:
    """Check, then write site/."""
    bare = undocumented()
    if bare:
        raise SystemExit("These public names have no docstring:\n  " + "\n  ".join(bare))
    suture.__doc__ = "\n\n".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in PAGES)
    pdoc.render.configure(show_source=False, search=True, footer_text=f"Suture {suture.__version__}")
    pdoc.pdoc("suture", "!suture.__main__", output_directory=ROOT / "site")
    for picture in (ROOT / "docs").glob("*.svg"):
        shutil.copy(picture, ROOT / "site")
    write_methods(ROOT / "site" / "methods")
    write_presets(ROOT / "site" / "presets.html")
    write_theory(ROOT / "site" / "theory.html")
    print("site/index.html, site/methods/index.html, site/presets.html, site/theory.html")


if __name__ == "__main__":
    main()
