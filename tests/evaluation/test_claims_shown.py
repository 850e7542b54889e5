"""Claims beside the truth, as people see them: what is marked, crossed and said of a method."""

import io
import json
import re
from math import inf, nan
from typing import Any

import pytest
from rich.console import Console

from suture.algorithms.brac import BRAC
from suture.algorithms.cql import CQL
from suture.algorithms.critic_based import CriticBased
from suture.algorithms.edac import EDAC, SACN
from suture.algorithms.iql import IQL
from suture.algorithms.rebrac import ReBRAC
from suture.algorithms.sac import SAC
from suture.evaluation.claims import Claim
from suture.evaluation.overestimation import of_rewards
from suture.report.claims import draw, render


def claim(method: str, step: int, value: float = 2.0, **more: Any) -> Claim:
    told: dict[str, Any] = {
        "seed": 0, "truth": 1.0, "truth_is": "played", "logged_claim": None, "logged_return": None,
        "inside": value, "outside": value + 1, "outside_share": 0.5, "diverged": False, "discount": 0.99,
    }  # fmt: skip
    return Claim(method=method, step=step, claim=value, **{**told, **more})


def shown(claims: list[Claim], **more: Any) -> str:
    console = Console(width=240, record=True, file=io.StringIO())
    console.print(render(claims, **more))
    return " ".join(console.export_text().split())


@pytest.mark.parametrize(
    ("algorithm", "held"),
    [
        (SAC(), "rewards and entropy"), (SAC(entropy_backup=False), "rewards"),
        (SACN(), "rewards and entropy"), (EDAC(), "rewards and entropy"), (CQL(), "rewards"),
        (BRAC(), "rewards less a penalty"), (BRAC(penalty="actor"), "rewards"),
        (ReBRAC(), "rewards less a penalty"), (ReBRAC(critic_penalty=0.0), "rewards"), (IQL(), "rewards"),
    ],
)  # fmt: skip
def test_methods_say_what_their_values_hold(algorithm: CriticBased[Any], held: str) -> None:
    assert algorithm.values_hold == held
    assert of_rewards(algorithm).values_hold == held.replace(" and entropy", "")  # type: ignore[attr-defined]


def test_values_that_hold_more_than_rewards_are_marked_and_explained() -> None:
    plain = shown([claim("sac", 1), claim("iql", 1)], changed=["sac"])
    assert "entropy_backup=False: sac" in plain
    assert "more than over-estimation" not in plain
    marked = [claim("sac", 1, values_hold="rewards and entropy"), claim("rebrac", 1), claim("iql", 1)]
    marked[1] = claim("rebrac", 1, values_hold="rewards less a penalty")
    for text in (shown(marked), draw(marked, "title")):
        assert "sac (+ entropy)" in text
        assert "rebrac (- penalty)" in text
        assert "iql (" not in text
    assert shown(marked).count("more than over-estimation") == 2


@pytest.mark.parametrize(
    ("discounts", "said"),
    [
        ((0.99, 0.99), "effective horizon 100 steps"),
        ((0.9, 0.99), "effective horizons in steps: qt_opt 10; sac 100"),
        ((None, None), "effective horizon not recorded"),
    ],
)
def test_the_horizon_is_that_of_each_method(discounts: tuple[Any, Any], said: str) -> None:
    claims = [
        claim(name, 1, discount=discount)
        for name, discount in zip(("qt_opt", "sac"), discounts, strict=True)
    ]  # fmt: skip
    assert said in shown(claims)
    assert said.capitalize() in draw(claims, "title")


def test_both_parts_of_the_claim_are_drawn_and_divergence_is_crossed() -> None:
    """Of the four lines, the truth alone is never crossed."""
    claims = [
        claim("sac", step, value=float(step), seed=seed, diverged=step == 3 and seed == 1)
        for step in (1, 2, 3) for seed in (0, 1)
    ]  # fmt: skip
    drawing = draw([*claims, claim("iql", 1), claim("iql", 3)], "title")
    for text in ("claim", "truth", "inside", "outside", "At first states", "At logged states"):
        assert f">{text}" in drawing
    assert drawing.count('aria-roledescription="point"') == 3
    assert "crossed" not in drawing
    steady = draw([claim("iql", 1), claim("iql", 3)], "title")
    assert 'aria-roledescription="point"' not in steady


def test_parts_that_no_action_belongs_to_and_values_that_are_no_numbers_are_left_out() -> None:
    lost = draw([claim("sac", 1, outside=None), claim("sac", 2, value=float("nan"), outside=None)], "title")
    assert ">outside<" not in lost
    assert "NaN" not in lost


def test_values_that_run_away_do_not_flatten_the_others() -> None:
    near, far = (
        draw([claim("sac", step, value=size**step) for step in (1, 2, 3)] + [claim("iql", 1)], "title")
        for size in (2.0, 1e3)
    )
    assert "logarithmic in size" not in near
    assert "logarithmic in size" in far
    for tick in (">0<", ">10<", ">100,000<", ">1e+7<"):
        assert tick in far


def test_nothing_is_cut_at_80_columns_and_numbers_stay_whole() -> None:
    """Large numbers of both signs, long names, marks, and what is not finite."""
    named = "brac:penalty=reward:temperature=0.3:hidden=256,256"
    claims = [
        claim(name, step, value=value * step, seed=seed, truth=-4.5e4, logged_claim=-12345.6,
              logged_return=-1.234e5, values_hold=held)
        for name, value, held in (
            ("sac", -4.5e6, "rewards"), (named, 123456.0, "rewards less a penalty"), ("td3", inf, "rewards"),
        ) for step in (1, 3) for seed in (0, 1)
    ]  # fmt: skip
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render(claims))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(lines)
    assert "…" not in text
    whole = ("-1.35e+07", "-4.5e+04", "+4.15e+05", "3.7e+05", "-1.23e+04", "-1.23e+05", "(played)")
    for number in (*whole, "penalty=reward", "moving", "diverged", "earned", "0 of 2"):
        assert number in text
    assert "not finite (2" in text


@pytest.mark.parametrize("odd", [inf, -inf, nan])
def test_what_is_not_finite_is_null_in_json_with_the_word_and_is_read_back(odd: float) -> None:
    one = claim("sac", 1, value=odd, truth=None)
    told = json.loads(json.dumps(one.to_json(), allow_nan=False))
    assert told["claim"] is told["inside"] is told["truth"] is None
    assert told["not_finite"] == dict.fromkeys(("claim", "inside", "outside"), str(odd))
    assert repr(Claim.from_json(told)) == repr(one)
    assert "not_finite" not in claim("sac", 1).to_json()
    assert Claim.from_json(claim("sac", 1).to_json()) == claim("sac", 1)
    assert "not finite (1 of 1 seeds)" in shown([one])


def test_values_of_rewards_that_were_scaled_differently_are_not_to_be_compared() -> None:
    other = claim("iql", 1, reward_scale=0.5, reward_shift=-1.0)
    for text in (shown([claim("sac", 1), other]), " ".join(draw([claim("sac", 1), other], "title").split())):
        assert "iql: 0.5 r -1" in text
    assert "scaled differently" not in shown([claim("sac", 1), claim("iql", 1)])


def test_a_truth_that_was_fitted_at_few_checkpoints_is_dotted() -> None:
    claims = [claim("sac", step, truth=1.0 if step != 2 else None, truth_is="fitted") for step in (1, 2, 3)]
    drawing = draw(claims, "title")
    assert drawing.count('aria-roledescription="point"') == 2
    assert "Dots: where the truth was fitted" in " ".join(re.sub("<[^>]*>", " ", drawing).split())
