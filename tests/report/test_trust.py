"""The first screen: how sure it says to be, in which colour, and what it advises."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from suture.report.starts import GIVE, METHODS, alike, logged_of
from suture.report.trust import Logged, Trust

MEMBERS = [{"rate": rate, "seed": seed} for rate in (0.1, 0.2) for seed in (0, 1)]
ALONE = [{"seed": 0}, {"seed": 1}]
ALL = Logged(mean=10.0, what="the log's mean episode", note="wherever that began", remedy=METHODS)
LIKE = Logged(
    mean=10.0, low=9.0, high=11.0, what="the mean of the log's 40 episodes from like starts", alike=True
)


def played(mean: float | None, half: float | None, step: int = 100, **more: Any) -> dict[str, Any]:
    ends = [None, None] if mean is None or half is None else [mean - half, mean + half]
    told = {"kind": "played", "of": "Env-v0", "step": step, "time": f"at {step}", "members": 2, "episodes": 5}
    return {**told, "mean": mean, "interval": ends, **more}


def swept(*values: tuple[float, float]) -> dict[str, Any]:
    settings = [
        {"setting": {"rate": 0.1 * n}, "mean": mean, "interval": [mean - half, mean + half]}
        for n, (mean, half) in enumerate(values, 1)
    ]
    return played(None, None, members=2 * len(values), settings=settings)


def compared(*values: tuple[float, float | None], seeds: int = 3) -> dict[str, Any]:
    standings = [
        {"setting": {"rate": 0.1 * n}, "checkpoint": which, "seeds": seeds,
         "mean": mean + 100 * (which == "best"),
         "mean_interval": [None, None] if half is None else [mean - half, mean + half],
         "left_out": "too few" if half is None else None}
        for which in ("last", "best") for n, (mean, half) in enumerate(values, 1)
    ]  # fmt: skip
    return {"kind": "compared", "of": "Env-v0", "step": 100, "time": "at 100", "standings": standings}


def estimated(*values: float | None, step: int = 100, earned: float | None = None) -> dict[str, Any]:
    each = [
        {"member": n, "value": value, "interval": None if value is None else [value - 1, value + 1],
         "refused": [f"It leaves the log ({n})."] if value is None else [],
         "earned": None if earned is None else [earned, 0.1]}
        for n, value in enumerate(values)
    ]  # fmt: skip
    return {"kind": "estimated", "of": "a/log.npz", "step": step, "time": "at", "estimates": each}


def said(
    *evaluations: Mapping[str, Any],
    members: Sequence[Mapping[str, Any]] = ALONE,
    logged: Logged | None = None,
) -> tuple[str, str, str, str]:
    """Tone and text of both answers."""
    trust = Trust(evaluations=evaluations, members=members, step=100, logged=logged)
    sure, then = trust.sure(), trust.next()
    return sure.tone, sure.answer, then.tone, then.answer


def test_a_comparison_is_an_evaluation_and_the_last_checkpoint_is_told() -> None:
    tone, sure, _, then = said(compared((1.0, 0.5), (7.0, 0.5)), members=MEMBERS)
    assert tone == "care"
    assert "95 % interval over 3 training seeds: rate 0.1: 1 (0.5 to 1.5); rate 0.2: 7 (6.5 to 7.5)" in sure
    assert "rate 0.2 earned most" in then
    assert "flatters" in then
    _, sure, _, _ = said(compared((1.0, None), (7.0, None), seeds=2), members=MEMBERS)
    assert "rate 0.1: 1 (interval not known)" in sure


def test_one_refusal_of_four_is_no_refusal_of_all() -> None:
    tone, sure, then_tone, then = said(estimated(None, -2.0, -3.0, -4.0), members=MEMBERS)
    assert (tone, then_tone) == ("care", "care")
    assert "rate 0.1, seed 1: -2 (-3 to -1)" in sure
    assert "No number for 1 of 4 (rate 0.1, seed 0): It leaves the log (0)." in sure
    assert "Leave out what was refused (rate 0.1, seed 0)" in then
    tone, sure, then_tone, then = said(estimated(None, None), members=ALONE)
    assert (tone, then_tone) == ("bad", "bad")
    assert "No number can be given from log.npz alone. It leaves the log (0)." in sure
    assert "Do not deploy it on this evidence" in then


def test_every_estimate_is_named_and_what_is_left_to_the_table_is_counted() -> None:
    members = [{"rate": rate, "seed": 0} for rate in range(8)]
    _, sure, _, _ = said(estimated(*range(8)), members=members)
    assert "rate 5, seed 0: 5 (4 to 6); and 2 more, in the table below." in sure
    assert "and 1 more" not in said(estimated(*range(6)), members=members)[1]


def test_the_newest_checkpoint_counts_and_an_older_one_is_named() -> None:
    tone, sure, then_tone, then = said(played(50.0, 1.0, step=20), logged=LIKE)
    assert (tone, then_tone) == ("care", "care"), "good as it is, it is of another policy"
    assert "of an older checkpoint, step 20; the newest is step 100" in sure
    assert "Evaluate the newest checkpoint (step 100)" in then
    later_but_older = played(50.0, 1.0, step=20, time="at 999")
    assert "20 an episode" in said(played(20.0, 1.0), later_but_older, logged=LIKE)[1]


@pytest.mark.parametrize(
    ("mean", "half", "logged", "tone", "words", "then"),
    [
        (-949.0, 1274.0, None, "care", "That is wide", "Compare it with what the log's behaviour earns"),
        (50.0, 1.0, None, "plain", "49 to 51.", "Compare it with"),
        (50.0, 1.0, LIKE, "good", "above the mean of the log's 40 episodes", "It beats the mean of"),
        (50.0, 30.0, LIKE, "care", "That is wide", "It beats"),
        (10.5, 1.0, LIKE, "care", "It includes", "It is not shown to differ from"),
        (12.4, 1.0, LIKE, "good", "All of it is above", "It beats"),
        (11.5, 1.0, LIKE, "care", "It includes", "It is not shown to differ"),
        (1.0, 0.1, LIKE, "bad", "All of it is below", "Do not deploy it: the mean of the log's 40 episodes"),
        (50.0, 1.0, ALL, "care", "above the log's mean episode (10), wherever", f"began. {METHODS} Try it"),
        (1.0, 0.1, ALL, "care", "below the log's mean episode", "Do not deploy it yet: it earned less than"),
        (50.0, None, LIKE, "care", "How far off that may be is not known", "Compare it with"),
    ],
)  # fmt: skip
def test_colour_and_words_follow_the_interval(
    mean: float, half: float | None, logged: Logged | None, tone: str, words: str, then: str
) -> None:
    found = said(played(mean, half), logged=logged)
    assert found[0] == tone
    assert words in found[1]
    assert then in found[3]
    assert (found[2] == "good") == (then.startswith("It beats")), "only a fair comparison is won"


def test_a_refusal_is_told_beside_what_was_played() -> None:
    tone, sure, then_tone, then = said(played(50.0, 1.0), estimated(None, None), logged=LIKE)
    assert (tone, then_tone) == ("care", "care")
    assert "All of it is above" in sure
    assert "No number can be given from log.npz alone" in sure
    assert "It beats" in then
    assert "The log does not vouch for it" in then


def test_an_estimate_below_what_the_behaviour_earned_is_no_reason_to_try() -> None:
    _, sure, tone, then = said(estimated(-5.0, -6.0, earned=2.0))
    assert "Never played." in sure
    assert "the log's own behaviour earned 2" in sure
    assert tone == "bad"
    assert "Do not deploy it: the log's own behaviour is worth more (2)" in then
    assert "not as proof" in said(estimated(5.0, 6.0, earned=2.0))[3]


def test_settings_that_all_earn_less_are_not_deployed() -> None:
    assert said(swept((1.0, 0.5), (2.0, 0.5)), members=MEMBERS, logged=LIKE)[2:] == (
        "bad",
        "Do not deploy any of its settings: the mean of the log's 40 episodes from like starts (10) earned "
        "more. Compare methods, or ask suture inspect --deep what the log allows.",
    )
    assert "choose one by" in said(swept((1.0, 0.5), (20.0, 0.5)), members=MEMBERS, logged=LIKE)[3]


def test_like_starts_are_those_among_which_it_was_played() -> None:
    rng = np.random.default_rng(0)
    here = np.c_[rng.uniform(0, 1, (200, 2)), np.zeros(200)]
    assert alike(here[100:], here[:100]).mean() > 0.9
    assert not alike(here[100:] + np.array([5, 0, 0]), here[:100]).any(), "elsewhere"
    assert not alike(here[100:] + np.array([0, 0, 1]), here[:100]).any(), (
        "a column that never differs has to be met"
    )
    one = np.ones((12, 3))
    assert alike(one, one).all(), "a place that is always the same"
    assert not alike(one + 0.01, one).any()


def test_the_log_is_compared_by_episodes_from_like_starts() -> None:
    import dataclasses

    from making.sets import dataset_of

    data = dataset_of((2,) * 40)
    first = np.arange(80) // 2 >= 20
    seen = np.where(first[:, None], 9.0, np.random.default_rng(0).uniform(0, 1, (80, 3)))
    data = dataclasses.replace(
        data, observation=seen.astype(np.float32), reward=np.where(first, 1.0, 0.25).astype(np.float32)
    )
    summary = {"returns": {"mean": 1.25}}
    starts = seen[:40:2].tolist()
    one = {"of": "Env-v0", "starts": starts}
    found = logged_of(summary, data, [one], "Env-v0")
    assert found == Logged(
        mean=0.5, low=0.5, high=0.5, alike=True, what="the mean of the log's 20 episodes from like starts"
    )
    assert logged_of(summary, None, [one], "Env-v0") == Logged(
        mean=1.25, what="the log's mean episode", note="wherever that began", remedy=GIVE
    )
    away = logged_of(summary, data, [one | {"starts": [[5.0, 5.0, n / 99] for n in range(20)]}], "Env-v0")
    assert away is not None
    assert away.note == "but none of the log's episodes began where this was played"
    assert not away.alike
    assert logged_of(summary, data, [{"of": "Env-v0"}], "Env-v0") == dataclasses.replace(
        away, note="wherever that began"
    )
    assert logged_of({"returns": {"mean": None}}, data, [], None) is None
