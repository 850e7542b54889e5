"""What a run's page knows of its log, and a study of over-estimation of its runs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from making import lqr

from suture.algorithms.bc import BC
from suture.algorithms.td3_bc import TD3BC
from suture.data.formats import native
from suture.diagnosis.regime import MEANINGS
from suture.evaluation.claims import Claim
from suture.report import sources
from suture.report.logs import log_story
from suture.report.make import make
from suture.report.sources import diagnosis_of, known
from suture.report.story import Story
from suture.report.study import Study
from suture.training.train import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """log, other: two logs.   run: of the first, a tenth of it held back."""
    out = tmp_path_factory.mktemp("sources")
    for name, seed in (("log", 0), ("other", 1)):
        native.write(lqr.log_of(noise=0.3, episodes=30, seed=seed), out / name)
    from suture.data.load import load

    train(BC(hidden=(4,)), load(out / "log"), steps=20, seeds=1, validation=0.1, out=out / "run")
    return out


def regime_of(page: str) -> str:
    """What the first section on regime and coverage says."""
    return page.split("Regime and coverage</h2>")[1].split("</section>")[0]


def test_a_run_s_page_diagnoses_the_log_at_its_place(folder: Path) -> None:
    assert "stitching gain" in regime_of(make([folder / "run"]))


def test_a_log_that_was_given_is_known_by_its_fingerprint(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "log", tmp_path / "moved")
    shutil.copytree(folder / "run", tmp_path / "run")
    told = json.loads((folder / "run" / "dataset.json").read_text()) | {"source": "gone"}
    (tmp_path / "run" / "dataset.json").write_text(json.dumps(told))
    alone = regime_of(make([tmp_path / "run"]))
    assert "The log is not at gone any more." in alone
    assert "suture report RUN DATA" in alone
    assert "stitching gain" in regime_of(make([tmp_path / "run", tmp_path / "moved"]))
    assert "None of the logs beside it is the one" in regime_of(make([tmp_path / "run", folder / "other"]))


def test_another_log_in_its_place_is_told_apart(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "other", tmp_path / "log")
    shutil.copytree(folder / "run", tmp_path / "run")
    told = json.loads((folder / "run" / "dataset.json").read_text()) | {"source": str(tmp_path / "log")}
    (tmp_path / "run" / "dataset.json").write_text(json.dumps(told))
    assert "is not what was learned from, by its fingerprint" in regime_of(make([tmp_path / "run"]))


def test_a_large_log_is_not_read_unasked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "NUMBERS", 100)
    found = known(folder / "run", [], None)
    assert found.data is None
    assert found.why == "It is large. To have it here, give the log as well: suture report RUN DATA."


def claims_of(*methods: tuple[str, float, float | None], **more: Any) -> list[Claim]:
    told: dict[str, Any] = {
        "truth_is": "played", "logged_claim": None, "logged_return": None, "inside": 1.0, "outside": 2.0,
        "outside_share": 0.5, "diverged": False, "discount": 0.99,
    }  # fmt: skip
    return [
        Claim(method=method, step=step, seed=seed, claim=claim * step / 2, truth=truth, **{**told, **more})
        for method, claim, truth in methods for step in (1, 2) for seed in (0, 1, 2)
    ]  # fmt: skip


def study_of(folder: Path, claims: list[Claim]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "overestimation.json").write_text(json.dumps([one.to_json() for one in claims]))
    return folder


def said_of(story: Story) -> dict[str, tuple[str, str]]:
    return {one.question: (one.tone, one.answer) for one in story.answers}


def test_a_study_has_a_page_of_its_own(tmp_path: Path) -> None:
    path = study_of(tmp_path / "study", claims_of(("sac", 30.0, 12.0), ("td3_bc", 11.0, 12.0)))
    said = said_of(Study(path).story())
    assert said["What was found?"] == ("bad", "sac claims 30, truth 12: it claims too much.")
    assert "Do not trust what sac promise" in said["What to do next?"][1]
    assert "Begin with td3_bc" in said["What to do next?"][1]
    page = make([path])
    assert "<svg" in page
    assert "claims no more than is true" in page
    assert page.count('class="answer ') == 4


@pytest.mark.parametrize(
    ("claims", "verdict"),
    [
        (claims_of(("sac", 12.9, 12.0)), "claims no more than is true"),
        (claims_of(("sac", 13.5, 12.0)), "claims too much"),
        (claims_of(("sac", -10.0, -12.0)), "claims too much"),
        (claims_of(("sac", 1.0, 12.0), diverged=True), "left every bound that the rewards allow"),
        (claims_of(("sac", 30.0, None)), "truth not known"),
        (claims_of(("sac", 30.0, 12.0), values_hold="rewards and entropy"), "cannot be judged"),
    ],
)
def test_verdicts_on_claims(tmp_path: Path, claims: list[Claim], verdict: str) -> None:
    (found,) = Study(study_of(tmp_path, claims)).found
    assert found.verdict.startswith(verdict)
    assert make([tmp_path])


def test_a_study_is_shown_with_the_runs_that_it_belongs_to(folder: Path, tmp_path: Path) -> None:
    from suture.data.load import load

    study = study_of(tmp_path / "study", claims_of(("td3_bc", 3.0, 2.0), ("sac", 3.0, 2.0)))
    small = {"steps": 20, "seeds": 1}
    own = train(TD3BC(hidden=(4,)), load(folder / "log"), out=tmp_path / "own", **small)
    shutil.copytree(own.path, study / "td3_bc")
    other = train(TD3BC(hidden=(4,)), load(folder / "other"), out=tmp_path / "other", **small)
    bc = train(BC(hidden=(4,)), load(folder / "log"), out=tmp_path / "bc", **small)
    assert Study(study).belongs_to(own.path)
    assert not Study(study).belongs_to(other.path), "another log"
    assert not Study(study).belongs_to(bc.path), "a method that it did not try"
    together = make([own.path, other.path, study])
    assert together.count("Over-estimation</h2>") == 1
    assert "What was compared?" not in together
    apart = make([other.path, bc.path, study])
    assert apart.count("Over-estimation</h2>") == 1
    assert "What was compared?" in apart, "in its own part"


def test_the_first_screen_of_a_log_is_plain(folder: Path) -> None:
    log = lqr.log_of(noise=0.3, episodes=30)
    found = diagnosis_of(log)
    assert found is not None
    found["regime"]["label"] = "mixed"
    said = said_of(log_story(log, "log", found))
    assert (
        "what was observed (2 numbers) and what was decided (2 continuous numbers)"
        in said["What was the data?"][1]
    )
    assert said["What can be learned from it?"][1].startswith(f"Mixed data: {MEANINGS['mixed']}.")
    alike = "Episodes earn alike (0.13 of the scale), so that filtering gains little; on paper 0.08. Watch."
    for evidence, plain in (
        ("Much: by 0.7. Watch x.", "Much"),
        (alike, "Episodes earn alike, so that filtering"),
        ("No rewards: reward what is wanted. Then y.", "No rewards: reward what is wanted"),
    ):
        found["recommendation"][0] = {"method": "iql", "preset": "sparse", "evidence": evidence}
        then = said_of(log_story(log, "log", found))["What to do next?"][1]
        assert then.startswith(plain)
        assert then.endswith(
            ". Begin with: suture train iql DATA --preset sparse. Options and what to watch: under Regime "
            "and coverage."
        )


def test_pictures_and_choices_are_told(folder: Path) -> None:
    from suture import spaces
    from suture.report.story import held_by

    seen = spaces.Dict.of({"camera": spaces.Box((64, 84, 3), "uint8"), "arm": spaces.Box((7,))})
    assert held_by(seen, "number") == "1 picture of 84 x 64 and 7 numbers"
    assert held_by(spaces.Discrete(4), "number") == "1 of 4 choices"
