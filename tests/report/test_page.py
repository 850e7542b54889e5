"""The page: what it says of runs and logs, hostile text in them, and that it loads and runs nothing."""

import csv
import html.parser
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making import lqr

from suture.algorithms.bc import BC
from suture.cli import run as command
from suture.data.formats import native
from suture.data.formats.schema import Schema
from suture.data.load import load
from suture.evaluation.kept import keep, kept
from suture.report.figures import COLOURS, Panel, measures
from suture.report.make import make
from suture.report.page import TEMPLATE, page, themed
from suture.report.story import Answer, Figure, Listing, Picture, Section, Story, Strip, number
from suture.training.run import Run
from suture.training.train import train

HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"


class Tags(html.parser.HTMLParser):
    """Every element with its attributes, and the text."""

    def __init__(self, text: str):
        super().__init__()
        self.found, self.open, self.said = list[tuple[str, dict[str, str | None]]](), list[str](), ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said += data


@pytest.fixture(scope="module")
def log() -> Any:
    return lqr.log_of(noise=0.3, episodes=30)


@pytest.fixture(scope="module")
def run(log: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("page") / "run"
    return train(BC(hidden=(4,)), log, steps=200, log_every=50, seeds=2, out=out)


def test_hostile_text_is_text() -> None:
    listing = Listing(caption=HOSTILE, header=(HOSTILE,), rows=[(HOSTILE,)])
    figure = Figure(svg="<svg width='1'></svg>", alt=HOSTILE, caption=HOSTILE)
    section = Section(title=HOSTILE, text=(HOSTILE,), listings=(listing,), figures=(figure,))
    answer, picture = Answer(question=HOSTILE, answer=HOSTILE), Picture(png=b"", alt=HOSTILE, caption=HOSTILE)
    strip = Strip(caption=HOSTILE, pictures=(picture,))
    story = Story(title=HOSTILE, answers=(answer,), sections=(section,), figures=(figure,), strip=strip)
    made = Tags(page(HOSTILE, [story]))
    assert "script" not in {tag for tag, _ in made.found}
    assert made.said.count(HOSTILE) >= 10, "and it is said as it is"
    assert [attributes["alt"] for tag, attributes in made.found if tag == "img"] == [HOSTILE]
    labels = [attributes["aria-label"] for _, attributes in made.found if "aria-label" in attributes]
    assert labels.count(HOSTILE) == 3


def test_hostile_columns_and_paths_reach_the_page_as_text(tmp_path: Path) -> None:
    """From a table and a run whose names are made to be run, through training and evaluation, to the page."""
    place = tmp_path / "<img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}"
    place.mkdir()
    columns = ("ep", "<script>alert(1)</script>", "a'&{{ 7 * 7 }}", "<b>act", "onload=x")
    rows = np.random.default_rng(0).uniform(-1, 1, (240, 4))
    lines = [f"{row // 20}," + ",".join(f"{one:.4f}" for one in values) for row, values in enumerate(rows)]
    with (place / "<i>log.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(columns)
        file.write("\n".join(lines) + "\n")
    schema = Schema(episode="ep", observation=columns[1:3], action=columns[3:4], reward=columns[4])
    log = load(place / "<i>log.csv", schema=schema)
    run = train(BC(hidden=(4,)), log, steps=10, log_every=10, seeds=2, out=place / "<u>run")
    keep(run.path, "estimated", str(place / "<i>log.csv"), 10, {"estimates": [
        {"member": 0, "value": 1.0, "interval": [0.0, 2.0], "supported": 1.0, "refused": []}
    ]})  # fmt: skip
    made = Tags(make([run.path, place / "<i>log.csv"], schema=schema))
    ours = {"script", "img", "b", "i", "u"}
    assert ours.isdisjoint(tag for tag, _ in made.found)
    assert not any(name.startswith("on") for _, attributes in made.found for name in attributes)
    assert made.said.count(", ".join(columns[1:3])) == 2, "in the run's audit and in the log's"
    assert "<img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}" in made.said
    assert made.said.count("<i>log.csv") >= 3


def test_nothing_is_loaded_and_nothing_runs(run: Run) -> None:
    text = make([run.path])
    made = Tags(text)
    assert {"script", "iframe", "object", "embed", "link", "img", "form"}.isdisjoint(t for t, _ in made.found)
    policy = next(a for t, a in made.found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'")  # type: ignore[union-attr]
    addresses = {
        value for _, attributes in made.found for name, value in attributes.items()
        if name in ("href", "src", "xlink:href") and not (value or "").startswith("#")
    }  # fmt: skip
    assert addresses == set()
    assert not any(name.startswith("on") for _, attributes in made.found for name in attributes)
    assert not re.search(r"url\((?!#)|@import", text)


def test_every_id_is_its_own_and_every_link_leads_somewhere(run: Run) -> None:
    made = Tags(make([run.path, run.path]))
    ids = [attributes["id"] for _, attributes in made.found if attributes.get("id")]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for t, a in made.found if t == "a"} <= set(ids)  # type: ignore[index]


def test_drawings_follow_the_ink_of_the_page() -> None:
    path = '<path fill="#333" stroke="#0072B2"/>'
    drawing = f'<svg width="9"><g id="clip0" role="img" aria-label="x">{path}</g></svg>'
    made = themed(drawing, "f3-")
    assert 'id="f3-clip0"' in made
    assert 'fill="currentColor" fill-opacity="1.0"' in made
    assert 'stroke="#0072B2"' in made
    assert "aria-label" not in made
    assert 'style="min-width: 6px"' in made


@pytest.mark.parametrize(
    "label", ['a id="q" role="x" fill="#333" url(#q)', "</text><script>alert(1)</script>", HOSTILE, "a > b"]
)
def test_what_a_drawing_says_is_left_as_it_is(label: str) -> None:
    rows = [{"name": name, "what": "last", "mean": 1.0, "low": 0.0, "high": 2.0} for name in (label, "b")]
    drawing = measures([Panel(title="v", rows=rows)], title=label, subtitle="", label="setting")
    made = Tags(themed(drawing, "f1-"))
    assert made.said.count(label) == 2, "as a title and as the name of a line"
    assert "script" not in {tag for tag, _ in made.found}


def test_colours_stand_out_from_the_cards() -> None:
    """At least 3 to 1, in the light as in the dark (WCAG 2.2, 1.4.11)."""
    cards = re.findall(r"--card: (#[0-9a-f]{6})", TEMPLATE.read_text(encoding="utf-8"))[:2]
    assert len(cards) == 2
    for colour in COLOURS:
        for card in cards if themed(f'<path fill="{colour}"/>', "").count(colour) else ():
            a, b = sorted((luminance(colour), luminance(card)))
            assert (b + 0.05) / (a + 0.05) >= 3, (colour, card)


def luminance(colour: str) -> float:
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_the_page_tells_what_was_kept_and_compares_like_starts(run: Run, log: Any, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy)
    native.write(log, tmp_path / "log")
    assert "neither played nor estimated" in make([copy])
    starts = np.asarray(log.observation)[log.episode_start[:-1]].tolist()
    told = {"mean": 0.0, "interval": [-0.1, 0.1], "members": 2, "episodes": 30, "starts": starts}
    keep(copy, "played", "Env-v0", 200, told)
    alone, beside = (
        " ".join(Tags(make(sources)).said.split()) for sources in ([copy], [copy, tmp_path / "log"])
    )
    assert "give the log as well: suture report RUN DATA" in alone
    assert "It beats the mean of the log's 30 episodes from like starts" in beside
    assert (
        "trained 2 times, from different random numbers (seeds); each time it was corrected 200 times"
        in beside
    )
    keep(copy, "estimated", "a/log", 200, {"estimates": [
        {"member": 1, "supported": 0.5, "refused": ["It leaves the log."], "value": None, "interval": None}
    ]})  # fmt: skip
    both = Tags(make([copy])).said
    assert "0 an episode" in both
    assert "No number can be given from log alone. It leaves the log." in both
    assert "estimated from a/log, seed 1" in both


def test_a_diverged_run_is_not_recommended(run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy)
    outcome = json.loads((copy / "outcome.json").read_text())
    (copy / "outcome.json").write_text(json.dumps(outcome | {"outcome": "DIVERGED"}))
    said = Tags(make([copy])).said
    assert "Do not use this policy" in said


def test_curves_show_every_member_s_mean(run: Run) -> None:
    from suture.report.runs import _banded

    rows = _banded(run.metrics, "actor/loss", {0: "bc", 1: "bc"})
    lines = [line["actor/loss"] for line in run.metrics if line["step"] == 100]
    (row,) = [row for row in rows if row["x"] == 100]
    assert row["mean"] == pytest.approx(np.mean(lines))
    assert row["low"] < row["mean"] < row["high"]


def test_settings_of_a_sweep_are_told_apart_even_after_one_step() -> None:
    from suture.report.figures import curves
    from suture.report.runs import _course

    rows = [{"name": f"rate {k}", "x": 600, "mean": 2.0 - k, "low": 0.0, "high": 3.0} for k in range(7)]
    drawn = themed(curves(rows, title="loss", subtitle="", x="updates", y="loss", label="setting"), "f1-")
    for colour in (*COLOURS[:6], "currentColor"):
        assert f'fill="{colour}"' in drawn, "a point"
        assert drawn.count(f'stroke="{colour}"') >= 3, "legend, line and bar"
    assert COLOURS[6] not in drawn, "black would be lost on a dark page"
    assert _course("loss", rows) == "loss ends between -4 (rate 6) and 2 (rate 0)."
    alone = [{"name": "bc", "x": x, "mean": float(x)} for x in (1, 2)]
    assert _course("loss", alone) == "loss: 1 at step 1, 2 at step 2."
    assert _course("loss", alone[:1]) == "loss: 1 at step 1."


def test_a_log_and_the_command(log: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    native.write(log, tmp_path / "log")
    out = tmp_path / "page.html"
    assert command(["report", str(tmp_path / "log"), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    said = Tags(out.read_text(encoding="utf-8")).said
    assert "What can be learned from it?" in said
    assert "Return of an episode: half are below" in said


def test_evaluations_are_kept_and_the_latest_of_a_kind_takes_the_place(tmp_path: Path) -> None:
    keep(tmp_path, "played", "mod:../../Evil v1", 10, {"mean": 1.0})
    keep(tmp_path, "played", "mod:../../Evil v1", 10, {"mean": 2.0})
    keep(tmp_path, "estimated", "log.csv", 10, {})
    assert sorted(path.parent.name for path in tmp_path.rglob("*.json")) == ["evaluations"] * 2
    assert [one["mean"] for one in kept(tmp_path) if one["kind"] == "played"] == [2.0]


@pytest.mark.parametrize(
    ("value", "said"), [(None, "-"), (12345.6, "12,346"), (0.00012345, "0.0001234"), (-3.14159, "-3.142")]
)
def test_numbers(value: float | None, said: str) -> None:
    assert number(value) == said
