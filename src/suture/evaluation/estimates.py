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
    supported: share of its actions that the log vouches for, 1 for a policy like the behaviour.
    earned: what the log's behaviour earned, discounted, and its standard error; None where episodes were cut
    too early to tell.   checked: what the same procedure says of the behaviour's clone; None where it broke
    off, or where there was no policy to fit.
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
    checked: float | None
    refused: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
