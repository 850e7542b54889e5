"""The specification's table of four logs of one gridworld: what tells them apart does so here."""

import functools

import pytest
from making.gridworld import DISCOUNT, KINDS, Kind, from_start, make_log

from suture.diagnosis.diagnose import Diagnosis, diagnose

OPTIMUM = DISCOUNT**13
# share of pairs seen is left out: it is the size of the log.
ENTROPY = {"imitation": 0.40, "mixed": 0.97, "heterogeneous": 0.51, "random": 0.98}


@functools.cache
def diagnosed(kind: Kind, seed: int = 0) -> Diagnosis:
    """From the deployment start alone, as the specification asks."""
    data = make_log(kind, seed=seed)
    return diagnose(data, discount=DISCOUNT, starts=from_start(data))


@pytest.mark.parametrize("kind", KINDS)
def test_behaviour_and_support_are_those_of_the_table(kind: Kind) -> None:
    found = diagnosed(kind).statistics
    assert found.behaviour.entropy == pytest.approx(ENTROPY[kind], abs=0.06)
    assert found.support is not None
    assert found.support.exact
    assert found.support.seen_again > 0.98
    assert found.support.junction_rate > 0.85
    assert found.shape.noise == 0


@pytest.mark.parametrize("kind", ["imitation", "mixed", "heterogeneous"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_supported_plan_is_the_optimum(kind: Kind, seed: int) -> None:
    plan = diagnosed(kind, seed).statistics.stitching
    assert plan is not None
    assert plan.greatest.plan == pytest.approx(OPTIMUM, abs=2e-3)
    assert plan.gain == pytest.approx(1.0 if kind == "heterogeneous" else 0.0, abs=1e-3)
    assert plan.sure_gain == pytest.approx(plan.gain, abs=0.02)
    assert plan.held_gain == pytest.approx(plan.gain, abs=0.02)


def test_no_fragment_from_the_start_earns_anything() -> None:
    plan = diagnosed("heterogeneous").statistics.stitching
    assert plan is not None
    assert (plan.greatest.best, plan.greatest.mean) == (0, 0)
    assert plan.greatest.behaviour > 0.3 * OPTIMUM  # imitation already joins some of them
    assert plan.one_step_gap > 0.3


def test_returns_alone_would_call_fragments_good() -> None:
    """Mean over all starts, as the table's TQ: fragments look better than the mixed log."""
    fragments, mixed = (diagnosed(kind).statistics.returns for kind in ("heterogeneous", "mixed"))
    assert fragments is not None
    assert mixed is not None
    assert fragments.mean > 0.45
    assert fragments.mean > mixed.mean + 0.1
    assert min(fragments.positive_variance, mixed.positive_variance) > 0.05


def test_spread_of_returns() -> None:
    found = {kind: diagnosed(kind).statistics for kind in KINDS}
    deviation = {kind: one.stitching.deviation for kind, one in found.items() if one.stitching is not None}
    assert deviation["imitation"] < 0.1
    assert deviation["mixed"] > 0.3
    told = {kind: one.behaviour.return_information or 0.0 for kind, one in found.items()}
    assert told["mixed"] > 2 * max(told["heterogeneous"], told["random"])


def test_what_a_random_log_promises_does_not_hold_on_other_episodes() -> None:
    plan = diagnosed("random").statistics.stitching
    assert plan is not None
    assert plan.achieved < 0.05
    assert plan.greatest.plan < OPTIMUM + 1e-3
    assert plan.best < 0.9
    assert plan.held_gain < 0.1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_regimes_with_and_without_knowing_the_starts(kind: Kind, seed: int) -> None:
    assert diagnosed(kind, seed).regime.label == kind
    assert diagnose(make_log(kind, seed=seed)).regime.label == kind


@pytest.mark.parametrize(
    ("kind", "first"),
    [("imitation", "bc"), ("mixed", "filtered_bc"), ("heterogeneous", "iql"), ("random", "cql")],
)
def test_recommendations(kind: Kind, first: str) -> None:
    listed = diagnosed(kind).recommendation
    assert listed[0].method == first
    said = " ".join(one.evidence for one in listed)
    assert ("Nothing to gain by more than imitation" in said) == (kind == "imitation")
    if kind == "heterogeneous":
        assert not {"filtered_bc", "bc"} & {one.method for one in listed}
        assert "earns 0 and the supported plan 0.673 (± 0; 0.673 on episodes left out)" in listed[0].evidence
