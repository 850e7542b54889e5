"""What is known of a policy's worth from a log alone."""

import dataclasses
from typing import Any

SUPPORTED = 0.9
"""Share of the policy's actions that the log must vouch for."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """What one member's policy is worth: its discounted value at the log's first states, in rewards.

    value, standard_error, interval (95 %): None where refused.   fits: the answers of the resamples, those
    left out whose fit became non-finite; none where the log does not vouch for the policy.
    supported: share of its actions that the log vouches for, 1 for a policy like the behaviour. One action of
    the policy at each logged state (of some thousands) counts where it is no rarer under a clone of the
    behaviour than the rarest hundredth of all logged actions: one threshold for all states. States that the
    policy would reach and the log lacks are not looked at.
    earned: what the log's behaviour earned, discounted, and its standard error.   cut: the share of that
    which lies behind the cuts of episodes and is the fit's own answer.   checked: what the same procedure
    says of the behaviour's clone. Both None where that broke off, or where there was no policy to fit.
    refused: why no number is given; empty where one is.
    """

    member: int
    discount: float
    value: float | None
    standard_error: float | None
    interval: tuple[float, float] | None
    fits: tuple[float, ...]
    supported: float
    earned: tuple[float, float] | None
    cut: float
    checked: float | None
    refused: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
