"""The page: what it says of runs and logs, hostile text in them, and that it loads and runs nothing."""

import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making import lqr

from suture.algorithms.bc import BC
from suture.cli import run as command
from suture.data.formats import native
from suture.evaluation.kept import keep, kept
from suture.report.make import make
from suture.report.page import page, themed
from suture.report.pictures import png
from suture.report.story import Answer, Figure, Listing, Picture, Section, Story, Strip, number
from suture.training.run import Run
from suture.training.train import train

HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


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


def played(mean: float, half: float) -> dict[str, Any]:
    return {"mean": mean, "interval": [mean - half, mean + half], "members": 2, "episodes": 5}


SWEPT = {
    "mean": None, "interval": [None, None], "members": 3, "episodes": 5,
    "settings": [
        {"setting": {"rate": 0.1}, "mean": 1.0, "interval": [0.0, 2.0]},
        {"setting": {"rate": 0.2}, "mean": 7.0, "interval": [None, None]},
    ],
}  # fmt: skip


POOR = {**SWEPT, "settings": [{"setting": {"rate": 0.1}, "mean": -1e3, "interval": [-1.1e3, -0.9e3]}]}


def estimated(**found: Any) -> dict[str, Any]:
    return {"estimates": [{"member": 0, "supported": 0.5, **found}]}


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


@pytest.mark.parametrize(
    ("evaluation", "sure", "then"),
    [
        (None, "neither played nor estimated", "suture evaluate RUN"),
        (("played", "worse", played(-1e3, 5.0)), "-1000 an episode", "Do not deploy it"),
        (("played", "better", played(1e3, 5.0)), "1000 an episode", "Try it under supervision"),
        (("played", "unclear", played(0.0, 1e4)), "0 an episode", "not shown to differ"),
        (
            ("played", "swept", SWEPT), "rate 0.1 1 (0 to 2); rate 0.2 7 (not known)",
            "choose one by suture evaluate RUN --env ID --compare",
        ),
        (("played", "poor", POOR), "rate 0.1 -1000", "Deploy none of its settings: the log's mean episode"),
        (
            ("estimated", "log", estimated(refused=["It leaves the log."], value=None, interval=None)),
            "No number can be given. It leaves the log.", "Do not deploy it on this evidence",
        ),
        (
            ("estimated", "log", estimated(refused=[], value=-2.0, interval=[-3.0, -1.0])),
            "Never played. Estimated from log, discounted, with 95 % interval: -2 (-3 to -1)", "not as proof",
        ),
    ],
)  # fmt: skip
def test_the_first_screen_says_how_sure_and_what_next(
    run: Run, tmp_path: Path, evaluation: tuple[Any, str, dict[str, Any]] | None, sure: str, then: str
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run.path, copy)
    if evaluation is not None:
        keep(copy, evaluation[0], evaluation[1], 200, evaluation[2])
    said = " ".join(Tags(make([copy])).said.split())
    assert "30 episodes" in said
    assert "2 seeds, 200 updates each" in said
    assert sure in said
    assert then in said


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
    from suture.report.figures import COLOURS, curves
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


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)")
@pytest.mark.parametrize(("width", "dark"), [(1100, False), (390, True)])
def test_a_browser_draws_it_within_the_screen(run: Run, tmp_path: Path, width: int, dark: bool) -> None:
    """Nothing is wider than the screen, nothing is refused by the page's own policy, and it is not blank."""
    file, picture = tmp_path / "page.html", tmp_path / "page.png"
    black = Picture(png=png(np.zeros((9, 9, 3), np.uint8)), alt="black", caption="Nothing.")
    first = Story(title="First", answers=(), strip=Strip(caption="Five.", pictures=(black,) * 5))
    file.write_text(make([run.path], first=[first]), encoding="utf-8")
    done = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         f"--window-size={width},1200", f"--screenshot={picture}",
         f"--blink-settings=preferredColorScheme={0 if dark else 1}", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert picture.stat().st_size > 20_000
    assert "Content Security Policy" not in done.stderr
    assert "Refused to" not in done.stderr
