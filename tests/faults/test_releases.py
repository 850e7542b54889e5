"""S8: runs of earlier releases are opened and act as they did; those of later ones are refused by name."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import suture
from suture.errors import RunMismatch
from suture.storage import manifest

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
RUNS = sorted(path.parent for path in FIXTURES.glob("*/*/config.json"))


def test_every_release_has_left_its_runs() -> None:
    kept = {path.relative_to(FIXTURES).as_posix() for path in RUNS}
    assert {f"{suture.__version__}/bc", f"{suture.__version__}/iql"} <= kept, "run tests/fixtures/make.py"


@pytest.mark.parametrize("run", RUNS, ids=lambda path: path.relative_to(FIXTURES).as_posix())
def test_s8_a_run_of_an_earlier_release_acts_as_it_did(run: Path) -> None:
    expected = json.loads((run / "expected.json").read_text())
    actions = suture.open_run(run).policy.act(np.array(expected["observations"]))
    assert np.ptp(actions, axis=0).min() > 0.01, "actions that say nothing of the observations"
    np.testing.assert_allclose(actions, expected["actions"], atol=1e-5)


@pytest.mark.parametrize("name", ["config.json", "dataset.json", "manifest.json"])
def test_s8_a_newer_format_is_refused_with_both_named(name: str, tmp_path: Path) -> None:
    run = Path(shutil.copytree(RUNS[0], tmp_path / "run"))
    (path,) = run.rglob(name)
    said: dict[str, Any] = json.loads(path.read_text()) | {"format": 2}
    if said.pop("sha256", None) is not None:
        said["sha256"] = manifest.digest(said)
    path.write_text(json.dumps(said))
    with pytest.raises(RunMismatch, match=r"format 2; this version reads format 1") as refused:
        suture.open_run(run).policy.act(np.zeros(3))
    assert "Use the version of Suture that wrote it" in str(refused.value)
