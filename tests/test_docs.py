"""The documentation builds with what the lock installs. CI builds all of it (`make docs`)."""

import html
import importlib.util
import re
import runpy
from pathlib import Path
from types import ModuleType

import h5py
import pytest
from making.logs import walk_log

from suture.algorithms.published import PRESETS
from suture.algorithms.table import ALGORITHMS
from suture.theory.table import CLAIMS

BUILD = Path(__file__).resolve().parent.parent / "docs" / "build.py"


def script() -> ModuleType:
    """docs/build.py as a module: nothing is built by importing it."""
    spec = importlib.util.spec_from_file_location("docs_build", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_method_has_a_page_of_its_text_and_fields(tmp_path: Path) -> None:
    script().write_methods(tmp_path)
    assert {page.stem for page in tmp_path.glob("*.html")} == {*ALGORITHMS, "index"}
    iql = (tmp_path / "iql.html").read_text()
    assert "<h1" in iql, "the Markdown was rendered"
    assert "<code>expectile</code>" in iql, "and so were the fields"
    assert 'href="iql.html"' in (tmp_path / "index.html").read_text()


def test_the_page_of_presets_has_every_preset_with_its_values_source_and_note(tmp_path: Path) -> None:
    script().write_presets(tmp_path / "presets.html")
    page = (tmp_path / "presets.html").read_text()
    assert "<h1" in page, "the Markdown was rendered"
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in page.split("<tr>")[2:]]
    shown = {
        (html.unescape(row[0]).removeprefix("<code>").removesuffix("</code>"), row[1]): row for row in rows
    }
    published = {
        (name, domain): one for domain, own in PRESETS.items() for name, one in own.items() if one.source
    }
    assert shown.keys() == published.keys()
    for key, one in published.items():
        fields, run, source = shown[key][2:]
        assert fields == "<br>".join(f"{name} {value}" for name, value in one.fields.items())
        assert run == "<br>".join(f"{name} {value}" for name, value in one.settings.items())
        assert html.escape(one.source) in source
        assert html.escape(one.note) in source


def test_methods_that_the_page_says_have_no_preset_have_none() -> None:
    text = (BUILD.parent / "presets.md").read_text().replace("\n", " ")
    bare = {name for name in ALGORITHMS if not any(name in PRESETS[domain] for domain in list(PRESETS)[1:])}
    (said,) = re.findall(r"is an error: (.*?) have none but", text)
    assert set(re.findall(r"`(\w+)`", said)) == bare


def test_the_theory_s_page_has_the_corrected_statements_and_every_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = tuple(one for one in CLAIMS if one.section in ("3.1", "8.2"))
    monkeypatch.setattr("suture.theory.table.CLAIMS", few)
    script().write_theory(tmp_path / "theory.html")
    page = (tmp_path / "theory.html").read_text()
    assert "<td><code>alpha = eta</code></td>" in page, "the table was rendered"
    assert page.count("<dt>proof</dt>") == len(few)
    assert "exceeded 100 and 500 times" in page


def test_the_theory_s_page_names_every_section_in_which_a_statement_is_false() -> None:
    text = (BUILD.parent / "theory.md").read_text()
    missing = {one.section for one in CLAIMS if one.verdict == "false" and f"\n| {one.section} |" not in text}
    assert not missing


def test_no_public_name_lacks_a_docstring() -> None:
    assert script().undocumented() == []


def test_a_method_of_one_s_own_keeps_the_contract_trains_and_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (BUILD.parent / "own_method.md").read_text()
    Path("snippet.py").write_text(
        "".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)).replace("100_000", "20")
    )
    Path("logs").mkdir()
    log = walk_log((20,) * 30)
    with h5py.File("logs/walker.hdf5", "w") as file:
        for name in ("observation", "action", "reward", "next_observation", "terminal"):
            file[f"{name}s"] = getattr(log, name)
    names = runpy.run_path("snippet.py")
    run = names["run"]
    assert {row["temperature"] for row in run.members} == {0.3, 1.0}
    assert (names["policy"].act(log.observation[:5]) == run.member(0).act(log.observation[:5])).all()
