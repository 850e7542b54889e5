"""The page in a real browser: on a phone and on a desk, in the light and in the dark, and on paper."""

import json
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from making import lqr
from making.browser import CHROMIUM, Tab, opened, text_of

from suture.algorithms.bc import BC
from suture.data.formats import native
from suture.evaluation.claims import Claim
from suture.evaluation.kept import keep
from suture.report.figures import LETTERS, Panel, heat
from suture.report.make import make
from suture.report.page import LEAST
from suture.report.pictures import png
from suture.report.story import Figure, Picture, Story, Strip
from suture.training.run import open_run
from suture.training.sweep import Sweep
from suture.training.train import train

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
)
LONG = "a/" + "very-long-name-of-a-folder-" * 6 + "log.npz"

BESIDE = """[...document.querySelectorAll('body *')].filter(one => {
    const box = one.getBoundingClientRect(), head = one.closest('thead');
    if (one.closest('.drawing') || head && head.offsetWidth <= 1) return false;
    return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5);
}).map(one => one.tagName + '.' + one.className + ' ' + one.textContent.slice(0, 60))"""
"""Elements that stand out of the screen, whether or not something scrolls to them. Drawings may scroll."""

CUT = """[...document.querySelectorAll('.drawing, .listing')].filter(
    one => one.scrollWidth > one.clientWidth + 1).map(one => one.ariaLabel)"""
"""Drawings and tables that are wider than their place."""

OVERLAPPING = """[...document.querySelectorAll('svg')].flatMap(svg => {
    const all = [...svg.querySelectorAll('text')].filter(one => one.textContent.trim()).map(one =>
        [one.textContent, one.getBoundingClientRect()]);
    return all.flatMap(([one, a], at) => all.slice(at + 1).filter(([_, b]) =>
        Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2 &&
        Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4).map(([other]) => one + ' | ' + other));
})"""
"""Pairs of labels of one drawing that cover each other."""

OUTSIDE = """[...document.querySelectorAll('.drawing')].flatMap(drawing =>
    [...drawing.querySelectorAll('text')].filter(one =>
        one.getBoundingClientRect().left < drawing.getBoundingClientRect().left
    ).map(one => one.textContent))"""
"""Labels that begin before their drawing does: nothing scrolls to them."""

SMALLEST = """Math.min(...[...document.querySelectorAll('svg')].map(
    svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width))"""

FAINT = """(() => {
    const light = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(one => one / 255).map(
            one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = one => {
        for (; one; one = one.parentElement) {
            const colour = getComputedStyle(one).backgroundColor;
            if (!/, 0\\)$/.test(colour)) return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    return [...document.querySelectorAll('main *:not(svg *)')].filter(one =>
        [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())).filter(one => {
        const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05) < 4.5;
    }).map(one => one.tagName + ' ' + one.textContent.slice(0, 40));
})()"""
"""Elements whose text stands less than 4.5 to 1 against what is behind it."""


@pytest.fixture(scope="module")
def tab() -> Generator[Tab]:
    with opened() as one:
        yield one


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of everything: pictures, maps, a sweep that was played and estimated, its log, a study."""
    out = tmp_path_factory.mktemp("browser")
    log = lqr.log_of(noise=0.3, episodes=30)
    native.write(log, out / "log")
    sweep = Sweep(BC(hidden=(4,)), seeds=2, learning_rate=[0.001, 0.01])
    run = train(sweep, log, steps=100, log_every=50, out=out / "run")
    keep(run.path, "played", "module:Some-v0", 100, {
        "mean": None, "interval": [None, None], "members": 4, "episodes": 5,
        "settings": [{"setting": {"learning_rate": rate}, "mean": 1.0, "interval": [0.0, 2.0]}
                     for rate in (0.001, 0.01)],
    })  # fmt: skip
    ends = [-2345.6, -999.9]
    standing = {
        "seeds": 3, "mean": -1234.5, "mean_interval": ends, "interquartile_mean": -1234.5,
        "interquartile_interval": ends, "improvement": 0.5, "improvement_interval": [0.1, 0.9],
        "left_out": None, "steps": [100],
    }  # fmt: skip
    keep(run.path, "compared", "module:Some-v0", 100, {"standings": [
        {"setting": {"learning_rate": rate, "inverse_temperature": 3.0}, "checkpoint": which, **standing}
        for rate in (0.001, 0.01) for which in ("last", "best", "average")
    ]})  # fmt: skip
    refusal = "The log vouches for 20 % of the policy's actions, and 90 % are needed."
    none = {"value": None, "interval": None, "supported": 0.2, "refused": [refusal]}
    keep(run.path, "estimated", LONG, 100, {"estimates": [{"member": member, **none} for member in range(4)]})
    (out / "study").mkdir()
    claims = [
        Claim(
            method=method, step=step, seed=seed, claim=3.0 * step + seed, truth=2.0, truth_is="played",
            logged_claim=1.0, logged_return=1.0, inside=1.0, outside=9.0, outside_share=0.5,
            diverged=step > 1,
        ) for method in ("sac", "cql:sampled_gradient=true", "td3_bc") for step in (1, 2) for seed in (0, 1)
    ]  # fmt: skip
    (out / "study" / "overestimation.json").write_text(json.dumps([one.to_json() for one in claims]))
    black = Picture(png=png(np.zeros((9, 9, 3), np.uint8)), alt="black", caption="Nothing.")
    cells = [
        {"x": x, "x2": x + 1, "name": f"{stage} unlock the door", "value": 0.5, "marked": x == stage}
        for stage in range(5) for x in range(9)
    ]  # fmt: skip
    drawn = heat([Panel(title="updates", rows=cells)], title="Map", subtitle="", y="stage", value="share")
    first = Story(
        title="First", answers=(), strip=Strip(caption="Five.", pictures=(black,) * 5),
        figures=(Figure(svg=drawn, alt="A map."),),
    )  # fmt: skip
    page = out / "page.html"
    page.write_text(make([run.path, out / "log", out / "study"], first=[first]), encoding="utf-8")
    return page


@pytest.mark.parametrize("width", [390, 1100])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_the_screen_and_can_be_read(tab: Tab, made: Path, width: int, dark: bool) -> None:
    tab.show(made, width=width, dark=dark)
    assert tab.run("innerWidth") == width
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run(BESIDE) == []
    assert tab.run("document.querySelectorAll('svg').length") >= 7
    assert tab.run(OVERLAPPING) == []
    assert tab.run(OUTSIDE) == []
    assert LETTERS * tab.run(SMALLEST) >= LETTERS * LEAST * 0.99 >= 9, "letters are not shrunk away"
    paper = tab.run("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
    assert tab.run(FAINT) == []
    assert tab.said == [], "nothing is refused by the page's own policy"


def test_a_table_of_many_columns_is_cards_on_a_phone(tab: Tab, made: Path) -> None:
    value = "[...document.querySelectorAll('td[data-of=value]')].find(one => one.textContent == 'refused')"
    named = f"getComputedStyle({value}, '::before').content"
    tab.show(made, width=390)
    assert tab.run(named) == '"value"', "each cell names its column"
    assert tab.run(f"{value}.getBoundingClientRect().right") <= 390
    tab.show(made, width=1100)
    assert tab.run(named) == "none"


def test_on_paper_nothing_is_cut_and_the_provenance_is_there(tab: Tab, made: Path) -> None:
    tab.show(made, width=718, dark=True, media="print")  # A4 between its margins
    assert tab.run(BESIDE) == []
    assert tab.run(CUT) == []
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    printed = tab.pdf()
    tab.show(made, width=480, media="print")  # A5
    assert tab.run(CUT.replace(", .listing", "")) == []
    fingerprint = open_run(made.parent / "run").recipe.fingerprint
    assert printed.startswith(b"%PDF")
    assert any(fingerprint in text for text in text_of(printed)), "what is folded away is not printed"
