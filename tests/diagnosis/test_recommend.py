"""Recommendations name what there is, and answer what the specification asks."""

import dataclasses

import numpy as np
import pytest
from making.gridworld import make_log
from making.sets import dataset_of

from suture.algorithms.presets import PRESETS, preset
from suture.algorithms.table import ALGORITHMS
from suture.data.dataset import Dataset
from suture.diagnosis.calibration import WEIGHTS
from suture.diagnosis.diagnose import diagnose
from suture.diagnosis.recommend import PUBLISHED, Recommendation, preset_of, recommend
from suture.diagnosis.regime import MEANINGS, NAMES, Regime, features_of, regime_of
from suture.diagnosis.statistics import Statistics, statistics_of
from suture.errors import DataRefused
from suture.spaces import Box


def advice(statistics: Statistics, label: str, dimensions: int = 2) -> tuple[Recommendation, ...]:
    regime = Regime(label=label, probabilities=dict.fromkeys(NAMES, 0.2), reasons=())  # type: ignore[arg-type]
    return recommend(statistics, regime, dimensions)


@pytest.fixture(scope="module")
def mixed() -> Statistics:
    return statistics_of(make_log("mixed"))


def test_every_preset_that_is_named_was_published() -> None:
    for domain, methods in PUBLISHED.items():
        assert set(methods) <= set(PRESETS[domain])  # type: ignore[index]
    assert preset_of("filtered_bc", "sparse") == "generic"


@pytest.mark.parametrize("label", NAMES)
@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("rewarded", [True, False])
def test_every_method_that_is_named_exists_and_fits(
    mixed: Statistics, label: str, discrete: bool, rewarded: bool
) -> None:
    statistics = dataclasses.replace(
        mixed, discrete=discrete, returns=mixed.returns if rewarded else None,
        stitching=mixed.stitching if rewarded else None,
    )  # fmt: skip
    listed = advice(statistics, label)
    assert listed
    for one in listed:
        assert one.method in ALGORITHMS
        assert one.method in PRESETS[one.preset]  # type: ignore[index]
        assert len(one.evidence) > 40
        assert one.to_json().keys() == {"method", "preset", "evidence"}
        assert not (discrete and one.method in ("td3_bc", "rebrac", "fql", "ifql", "edac"))
    asked = any("The log has no rewards" in one.evidence for one in listed)
    assert asked == (not rewarded and label not in ("imitation", "insufficient"))


def test_uncovered_starts_are_an_answer(mixed: Statistics) -> None:
    assert mixed.support is not None
    bare = dataclasses.replace(mixed, support=dataclasses.replace(mixed.support, start_coverage=0.2))
    first = advice(bare, "mixed")[0]
    assert first.evidence.startswith("The start states are not covered: only 20%")
    assert not any("not covered" in one.evidence for one in advice(mixed, "mixed"))


def test_pairs_seen_once_ask_for_pessimism(mixed: Statistics) -> None:
    assert mixed.support is not None
    thin = dataclasses.replace(mixed, support=dataclasses.replace(mixed.support, seen_again=0.7))
    assert "--count-penalty" in advice(thin, "mixed")[-1].evidence
    assert "--count-penalty" not in advice(mixed, "mixed")[-1].evidence


def test_noise_warns_of_luck_and_clouds_ask_for_a_flow(mixed: Statistics) -> None:
    noisy = dataclasses.replace(mixed, shape=dataclasses.replace(mixed.shape, noise=0.6))
    assert "lucky" in advice(noisy, "mixed")[0].evidence
    assert "lucky" not in advice(mixed, "mixed")[0].evidence
    mute = dataclasses.replace(mixed, behaviour=dataclasses.replace(mixed.behaviour, return_information=1e-4))
    assert "0.0001 nats" in advice(mute, "mixed")[0].evidence
    clouds = dataclasses.replace(
        mixed, discrete=False, behaviour=dataclasses.replace(mixed.behaviour, multimodality=0.6)
    )
    assert {one.method for one in advice(clouds, "heterogeneous")} >= {"iql", "fql"}


def test_a_tenth_of_few_episodes_is_not_imitated_alone(mixed: Statistics) -> None:
    for episodes, method in ((49, "bc"), (50, "filtered_bc")):
        counted = dataclasses.replace(mixed, shape=dataclasses.replace(mixed.shape, episodes=episodes))
        first = advice(counted, "mixed")[0]
        assert first.method == method
        assert ("is 4 episodes: too few" in first.evidence) == (method == "bc")


def test_episodes_that_earn_alike_are_not_filtered(mixed: Statistics) -> None:
    assert mixed.stitching is not None
    for gap, methods in ((0.2, ["iql", "bc"]), (0.0, ["bc", "iql"])):
        plan = dataclasses.replace(mixed.stitching, deviation=0.05, one_step_gap=gap)
        listed = advice(dataclasses.replace(mixed, stitching=plan), "mixed")
        assert [one.method for one in listed[:2]] == methods


def test_a_promise_on_few_episodes_is_not_the_first_advice(mixed: Statistics) -> None:
    assert mixed.stitching is not None
    plan = dataclasses.replace(mixed.stitching, achieved=0.5, one_step_gap=0.5)
    for episodes, method in ((49, "bc"), (50, "iql")):
        shape = dataclasses.replace(mixed.shape, episodes=episodes)
        listed = advice(dataclasses.replace(mixed, shape=shape, stitching=plan), "imitation")
        assert listed[0].method == method


def test_nothing_is_promised_where_nothing_can_be_chosen_or_told_apart(mixed: Statistics) -> None:
    assert mixed.support is not None
    assert mixed.returns is not None
    one_way = dataclasses.replace(mixed, support=dataclasses.replace(mixed.support, junction_rate=0.0))
    (only,) = advice(one_way, "imitation")
    assert (only.method, "No two actions" in only.evidence) == ("bc", True)
    flat = dataclasses.replace(mixed, stitching=None, returns=dataclasses.replace(mixed.returns, spread=0.0))
    assert all(one.evidence.startswith("All episodes earn the same") for one in advice(flat, "random"))
    unseen = dataclasses.replace(mixed, support=None, stitching=None)
    assert "Coverage is wide" in advice(mixed, "random")[0].evidence
    assert "Coverage is wide" not in advice(unseen, "random")[0].evidence


@pytest.mark.parametrize("gap", [0.0, 0.5])
def test_the_advice_to_imitate_agrees_with_the_reasons(mixed: Statistics, gap: float) -> None:
    assert mixed.stitching is not None
    for deviation, alike in ((0.05, True), (0.3, False)):
        plan = dataclasses.replace(mixed.stitching, deviation=deviation, achieved=0.5, one_step_gap=gap)
        said = advice(dataclasses.replace(mixed, stitching=plan), "imitation")[0].evidence
        assert ("earn alike" in said) == alike


def test_one_policy_of_continuous_actions_is_left_only_a_little(mixed: Statistics) -> None:
    """On the half-cheetah's 18 episodes alpha 2.5 lost all, 0.1 nothing (benchmarks/RESULTS.md)."""
    assert mixed.stitching is not None
    for discrete in (False, True):
        plan = dataclasses.replace(mixed.stitching, achieved=0.9)
        listed = advice(dataclasses.replace(mixed, discrete=discrete, stitching=plan), "imitation")
        assert [one.method for one in listed if "--alpha 0.1" in one.evidence] == ["td3_bc"] * (not discrete)


def test_many_joints_take_the_settings_of_hands(mixed: Statistics) -> None:
    moving = dataclasses.replace(mixed, discrete=False)
    assert advice(moving, "imitation", 28)[0].preset == "dexterous"


@pytest.mark.parametrize("dimensions", [1, 2, 28])
@pytest.mark.parametrize("sparsity", [0.0, 1.0])
def test_an_expectile_that_the_preset_lacks_is_told_as_an_option(
    mixed: Statistics, dimensions: int, sparsity: float
) -> None:
    assert mixed.returns is not None
    told = dataclasses.replace(mixed.returns, reward_sparsity=sparsity)
    first = advice(dataclasses.replace(mixed, discrete=False, returns=told), "heterogeneous", dimensions)[0]
    algorithm, _ = preset(first.method, first.preset)
    assert algorithm.expectile >= 0.9 or "Pass --expectile 0.9" in first.evidence  # type: ignore[attr-defined]


def test_the_table_fits_the_features(mixed: Statistics) -> None:
    features = features_of(mixed)
    assert features.keys() == WEIGHTS.keys()
    assert all(0 <= value <= 1 for value in features.values())
    assert all(len(row) == len(NAMES) for row in WEIGHTS.values())
    assert MEANINGS.keys() == set(NAMES)


def test_probabilities_are_some(mixed: Statistics) -> None:
    found = regime_of(mixed)
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert found.probabilities[found.label] == max(found.probabilities.values())
    assert len(found.reasons) >= 3


def images() -> Dataset:
    picture = np.random.default_rng(0).integers(0, 255, (600, 4, 4, 3)).astype(np.uint8)
    return dataset_of((20,) * 30, observation=picture)


def test_of_images_only_actions_and_returns_are_judged() -> None:
    found = diagnose(images())
    assert (found.statistics.support, found.statistics.stitching, found.statistics.shape.noise) == (None,) * 3
    assert found.statistics.returns is not None
    assert found.statistics.behaviour.entropy > 0.95
    assert any("images" in note for note in found.notes)
    assert found.regime.label == "random"


def test_of_images_returns_are_the_scale() -> None:
    """Half of the grasps of a narrow hand succeed: there is something to choose, and it is said."""
    generator, data = np.random.default_rng(0), images()
    reward = np.zeros(len(data), np.float32)
    reward[data.episode_start[1:] - 1] = generator.random(data.episodes) < 0.5
    narrow = (0.3 * generator.normal(size=(len(data), 1))).astype(np.float32).clip(-1, 1)
    found = diagnose(dataclasses.replace(data, reward=reward, action=narrow))
    assert found.regime.label == "mixed"
    assert "Between the worst episode (0) and the best (1)" in " ".join(found.regime.reasons)
    assert "from the same starts" not in found.recommendation[0].evidence
    always = dataclasses.replace(data, reward=np.ones_like(reward), action=narrow)
    assert diagnose(always).statistics.scale is None, "all earn the same: there is no scale"


def test_a_large_log_is_sampled_by_whole_episodes_and_says_so() -> None:
    data = dataset_of((50,) * 100)
    found = diagnose(data, limit=2000)
    assert (found.statistics.sample.transitions, found.statistics.sample.episodes) == (2000, 40)
    assert found.statistics.shape.transitions == 5000
    assert any("2,000 of 5,000 transitions" in note for note in found.notes)
    assert not any("drawn at random" in note for note in diagnose(data).notes)


def test_progress_is_told_and_ends() -> None:
    heard: list[tuple[str, float]] = []
    diagnose(make_log("imitation"), tell=lambda what, share: heard.append((what, share)))
    shares = [share for _, share in heard]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert len(heard) > 10


def test_a_log_with_errors_is_refused() -> None:
    data = images()
    from suture.data.findings import Finding

    broken = Finding(id="broken", severity="error", count=1, message="mend it")
    with pytest.raises(DataRefused, match="mend it"):
        diagnose(dataclasses.replace(data, findings=(broken,)))


def test_constant_observations_and_actions_are_no_obstacle() -> None:
    data = dataset_of((10,) * 5)
    still = dataclasses.replace(
        data, observation=np.zeros((50, 2), np.float32), next_observation=np.zeros((50, 2), np.float32),
        action=np.zeros((50, 1), np.float32), reward=np.zeros(50, np.float32),
        observation_space=Box((2,)), action_space=Box((1,)),
    )  # fmt: skip
    assert diagnose(still).statistics.behaviour.entropy == 0
