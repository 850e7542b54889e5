"""What a critic claims, beside what is true."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from suture.config import fields_of

MOVING = 0.1
"""Share of a claim by which it may change between the last two checkpoints and count as settled."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """One seed of one method at one checkpoint. Values are discounted, in the scale of the trained rewards.

    method: its name, with what was said of it beside (cql:sampled_gradient=true).
    claim, truth: mean value of the policy's own actions at first states, as the critic has it and as it is.
        The truth is None where it was not looked for, or no fit of it held.
    truth_is: "played" in an environment, or "fitted" on the log.
    logged_claim, logged_return: of logged actions at logged states, and what the log then earned (states from
        which less than nine tenths of the horizon were recorded are left out; None where none is left).
    inside, outside: the claim for the policy's actions at logged states, where they are as likely under the
        behaviour as all but the rarest hundredth of logged actions, and where they are not.
    outside_share: how many of them are not.
    diverged: values left every bound that the rewards allow, by this checkpoint; None where a method's values
        hold what has no bound.
    discount: of the values; None where it was not recorded.
    values_hold: what the critic's values sum up. The truth sums up rewards, so that the claim of a method
        whose values hold anything else is no claim about it.
    reward_scale, reward_shift: what the rewards were multiplied by, and what was then added.
    """

    method: str
    step: int
    seed: int
    claim: float
    truth: float | None
    truth_is: Literal["played", "fitted"]
    logged_claim: float | None
    logged_return: float | None
    inside: float | None
    outside: float | None
    outside_share: float
    diverged: bool | None
    discount: float | None = None
    values_hold: str = "rewards"
    reward_scale: float = 1.0
    reward_shift: float = 0.0

    @property
    def excess(self) -> float | None:
        """How much is claimed beyond the truth; None where that is not known."""
        return None if self.truth is None else self.claim - self.truth

    def to_json(self) -> dict[str, Any]:
        """Every field and the excess. What is not finite is null, and `not_finite` says what it was."""
        told = {**dataclasses.asdict(self), "excess": self.excess}
        odd = {name: one for name, one in told.items() if isinstance(one, float) and not math.isfinite(one)}
        told |= dict.fromkeys(odd)
        return told | {"not_finite": {name: str(value) for name, value in odd.items()}} if odd else told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Claim":
        """What `to_json` said."""
        odd: dict[str, Any] = {name: float(value) for name, value in told.get("not_finite", {}).items()}
        return cls(**{name: odd.get(name, told[name]) for name in fields_of(cls) if name in told})


def moved(claims: Sequence[Claim], method: str) -> float | None:
    """By which share a method's claim, the mean over seeds, changed between its last two checkpoints.

    None where there is one checkpoint only; infinite where it was no number or grew from 0.
    """
    steps = sorted({one.step for one in claims if one.method == method})
    if len(steps) < 2:
        return None
    before, last = (
        math.fsum(values) / len(values)
        for values in (
            [one.claim for one in claims if one.method == method and one.step == step] for step in steps[-2:]
        )
    )
    if before == last:
        return 0.0
    change = (last - before) / abs(before) if before else math.inf
    return change if math.isfinite(change) else math.inf


def is_moving(change: float | None) -> bool:
    """Whether a claim that changed by this share had not settled."""
    return change is not None and abs(change) > MOVING
