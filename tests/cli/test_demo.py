"""`suture demo`, shortened: what it prints and what its page says was measured, with MuJoCo and without."""

import html
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import suture.cli as cli
from suture.cli.demo import composite, maze, run_demo
from suture.cli.demo.story import NEAREST, SEEN, Shown, story
from suture.data.build import build
from suture.envs.composite.certificate import STEPS
from suture.envs.composite.certify import certify
from suture.envs.composite.collect import Recipe, collect
from suture.envs.composite.env import Composite
from suture.envs.composite.scripts import EXACT, Script
from suture.evaluation.kept import kept
from suture.evaluation.propagation import exact_values
from suture.evaluation.score import Evaluation
from suture.evaluation.stitched import pictures, play, sources
from suture.report.page import page


def shares(out: Path) -> dict[str, float]:
    """What was measured of each method."""
    return {name: float(np.mean(kept(out / name)[-1]["per_member"]["returns"])) for name in ("bc", "iql")}


def test_without_mujoco_the_maze_is_shown_and_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in (("SEEDS", 1), ("STEPS", 2_000), ("EPISODES", 40)):
        monkeypatch.setattr(maze, name, value)
    monkeypatch.setitem(sys.modules, "mujoco", None)
    assert run_demo(tmp_path / "demo") == 0
    said, reached = capsys.readouterr().out, shares(tmp_path / "demo")
    assert said.startswith(
        "The maze is shown, as the five-step task cannot be made here: the module 'mujoco'"
    )
    assert "pip install 'mujoco'" in said
    assert reached["bc"] < 0.1, json.dumps(reached)
    assert reached["iql"] > 0.7, json.dumps(reached)
    text = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert "No episode shows that way" in text
    assert str(tmp_path / "demo" / "report.html") in said.replace("\n", "")


def test_without_mujoco_the_five_steps_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "mujoco", None)
    out = tmp_path / "demo"
    monkeypatch.setattr(sys, "argv", ["suture", "demo", "--task", "composite", "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "Try: pip install 'mujoco'" in capsys.readouterr().err
    assert not out.exists()


def test_the_five_steps_are_told_as_they_were_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("mujoco", reason="mujoco is an extra")
    for module in ("story", "composite"):
        monkeypatch.setattr(f"suture.cli.demo.{module}.TRIES", 1)
    size = composite.Size(logged=120, seeds=2, steps=20, every=10, played=2, starts=2)
    assert run_demo(tmp_path / "demo", size=size) == 0
    said, reached = capsys.readouterr().out, shares(tmp_path / "demo")
    assert said.startswith("The task: move the block, open the drawer, take the key, unlock the door, leave.")
    proof = json.loads((tmp_path / "demo" / "log" / "certificate.json").read_text())
    assert proof["never_shown"]["holds"]
    assert "No episode does more than 2 of the 5 steps; 0 rewarded ones begin before" in said
    assert f"lead from {proof['stitched']['share']:.0%} of the starts to the reward" in said
    for name, share in reached.items():
        assert re.search(rf"^ +{name} +{share:.0%}", said, re.MULTILINE)
    text = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    for told in (said, text):
        assert "None of 1 episodes of the best policy ended outside" in told


def evaluated(returns: list[list[float]]) -> Evaluation:
    array = np.array(returns)
    lengths, clipped = np.ones(array.shape, int), np.zeros(len(array))
    return Evaluation(environment="none", seed=0, returns=array, lengths=lengths, clipped=clipped)


def test_the_page_shows_a_success_its_sources_and_the_value_s_way() -> None:
    pytest.importorskip("mujoco", reason="mujoco is an extra")
    data = build(collect(Recipe(episodes=120), workers=1)).admit()
    env, generator = Composite(render_mode="rgb_array"), np.random.default_rng(0)
    scripts = [Script(step, EXACT, generator) for step in range(len(STEPS))]
    played = play(env, lambda _: scripts[env.scene.stage].act(env.scene), 0)
    values = exact_values()
    shown = Shown(
        member=1, played=played, pictures=pictures(env, played), values=values, steps=np.arange(len(values)),
        sources=sources(played, data, lambda observation: observation, NEAREST),
    )  # fmt: skip
    results = {"bc": evaluated([[0, 0, 1, 0]]), "iql": evaluated([[1, 0, 1, 0], [1, 1, 0, 1]])}
    told = story(data, certify(data), results, shown)
    text = html.unescape(page("Shown", [told]))
    assert "(iql) succeeds in 62% of its episodes, imitation (bc) in 25%." in text
    assert told.strip is not None
    assert "IQL's seeds: 50%, 75%." in text
    assert re.findall(r'<img src="data:image/png;base64,[^"]+" alt="([^"]+)"', text) == list(SEEN)
    for number, (step, end) in enumerate(zip(STEPS, played.ends, strict=True)):
        near = [f"{one.episode:,}" for one in shown.sources[number]]
        assert f"{step.capitalize()}: after {end} actions" in told.strip.pictures[number].caption
        assert near == [row[1] for row in told.sections[0].listings[0].rows if row[0].endswith(step)]
    assert "after 9, 18, 26, 35, 44 updates" in text
