"""Claims beside the truth, as people see them: what is marked, crossed and said of a method."""

import io
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
    assert ">outside" not in lost.replace("inside and outside", "")
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
