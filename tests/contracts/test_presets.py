"""Presets: each is a valid configuration of a method and a run; the command line lets people change it."""

import dataclasses
from pathlib import Path

import pytest
from making.runs import saved_walk, suture

from suture.algorithms.presets import PRESETS, described, find, preset
from suture.algorithms.table import ALGORITHMS
from suture.errors import ConfigError
from suture.storage.manifest import read_json
from suture.training.settings import Settings

EVERY = [(domain, name) for domain, methods in PRESETS.items() for name in methods]


@pytest.mark.parametrize(("domain", "name"), EVERY)
def test_every_preset_is_a_valid_run(domain: str, name: str) -> None:
    """It names fields and settings that exist, within their bounds, and differs from the defaults."""
    algorithm, settings = preset(name, domain)
    Settings(**settings)
    assert algorithm.name == name
    changed = {f.name for f in dataclasses.fields(algorithm) if getattr(algorithm, f.name) != f.default}
    assert changed <= set(find(name, domain).fields)
    assert domain == "generic" or find(name, domain).source


def test_generic_is_every_methods_defaults() -> None:
    assert PRESETS["generic"].keys() == ALGORITHMS.keys()
    for name, kind in ALGORITHMS.items():
        assert preset(name, "generic") == (kind(), {})


def test_locomotion_has_the_published_kernel_of_bear_and_the_best_tenth_for_cloning() -> None:
    """Wide kernels: at 20, twice the default, samples that differ by less hardly count as different."""
    bear, _ = preset("bear", "locomotion")
    assert (bear.kernel, bear.sigma, bear.threshold) == ("laplacian", 20.0, 0.05)  # type: ignore[attr-defined]
    for name, share in (("bc", None), ("filtered_bc", 0.1)):
        algorithm, _ = preset(name, "locomotion")
        assert algorithm.head == "deterministic"  # type: ignore[attr-defined]
        assert getattr(algorithm, "top", None) == share


def test_what_the_authors_code_sets_by_default_is_set_where_our_default_differs() -> None:
    """Cal-QL backs up the best of several actions; CORL's AWAC has three hidden layers."""
    for domain in ("sparse", "dexterous"):
        assert preset("cal_ql", domain)[0].max_target_backup  # type: ignore[attr-defined]
    for domain in ("locomotion", "dexterous"):
        assert preset("awac", domain)[0].hidden == (256, 256, 256)  # type: ignore[attr-defined]


def test_published_widths_that_one_field_cannot_hold_are_noted() -> None:
    """Cal-QL's critics on Adroit have three layers of 512 and its policy two."""
    assert preset("cal_ql", "dexterous")[0].hidden == (512, 512, 512)  # type: ignore[attr-defined]
    assert "a policy of 512-512" in find("cal_ql", "dexterous").note
    assert described("cal_ql", "dexterous", {}).endswith("because one `hidden` is of both.")


def test_settings_of_the_spec_for_methods_that_had_none() -> None:
    awac, settings = preset("awac", "sparse")
    assert (awac.temperature, settings) == (0.1, {"reward_shift": -1.0})  # type: ignore[attr-defined]
    assert preset("td3_bc", "sparse")[1] == {"reward_shift": -1.0}
    for domain in ("sparse", "dexterous"):
        assert preset("td3_bc", domain)[0].alpha == 2.5  # type: ignore[attr-defined]
        assert preset("filtered_bc", domain)[0].top == 0.1  # type: ignore[attr-defined]
    brac, _ = preset("brac", "locomotion")
    assert (brac.hidden, brac.behaviour_hidden) == ((300, 300), (200, 200))  # type: ignore[attr-defined]
    assert brac.behaviour_learning_rate == 5e-4  # type: ignore[attr-defined]
    assert preset("awr", "locomotion")[0].hidden == (128, 64)  # type: ignore[attr-defined]
    bcq, _ = preset("bcq", "locomotion")
    assert (bcq.batch_size, bcq.perturbation, bcq.hidden) == (100, 0.05, (400, 300))  # type: ignore[attr-defined]


def test_unknown_and_unpublished_presets_are_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'sparse'"):
        preset("iql", "sparce")
    with pytest.raises(ConfigError, match=r"dqn has no preset 'sparse'.*It has generic"):
        preset("dqn", "sparse")


def test_the_command_line_takes_a_preset_and_lets_it_be_changed(tmp_path: Path) -> None:
    log = saved_walk(tmp_path / "walk.npz")
    done = suture("train", "iql", log, "--preset", "sparse", "--inverse-temperature", 5, "--steps", 2,
                  "--hidden", 4, "--batch-size", 8, "--out", tmp_path / "run")  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = read_json(tmp_path / "run" / "config.json")
    assert made["fields"]["expectile"] == 0.9
    assert made["fields"]["inverse_temperature"] == 5.0
    assert made["settings"]["reward_shift"] == -1.0
