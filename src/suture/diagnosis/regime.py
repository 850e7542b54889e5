"""Which of the lecture's regimes a log is of, as probabilities with reasons.

A multinomial logistic regression on bounded features. Its weights are the table `calibration.WEIGHTS`, fitted
by `benchmarks/regimes.py` to logs that were generated for the purpose; nothing else is learnt.
"""

import dataclasses
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from suture.diagnosis.calibration import WEIGHTS
from suture.diagnosis.statistics import Statistics
from suture.diagnosis.stitching import Stitching
from suture.spaces import Array

Name: TypeAlias = Literal["imitation", "mixed", "heterogeneous", "random", "insufficient"]
NAMES: tuple[Name, ...] = get_args(Name)
LEAST_GAIN = 0.05
MEANINGS: dict[Name, str] = {
    "imitation": "near the best that the log can give",
    "mixed": "good and bad episodes from the same starts, or all of them middling",
    "heterogeneous": "fragments that are worth more when joined",
    "random": "hardly better than chance, but wide",
    "insufficient": "too little to tell",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Regime:
    """label: the likeliest regime.   probabilities: of all five, they sum to 1.   reasons: in plain words."""

    label: Name
    probabilities: dict[Name, float]
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """label, probabilities, reasons."""
        return {
            "label": self.label, "probabilities": dict(self.probabilities), "reasons": list(self.reasons),
        }  # fmt: skip


def features_of(statistics: Statistics) -> dict[str, float]:
    """What the regression sees: name -> number in [0, 1]. What the log cannot tell is 0."""
    plan, shape, acts, support = (
        statistics.stitching, statistics.shape, statistics.behaviour, statistics.support,
    )  # fmt: skip

    def within(value: float) -> float:
        return float(np.clip(value, 0.0, 1.0))

    greatest, scale = (plan.greatest if plan is not None else None), statistics.scale
    achieved, best, deviation = (
        (plan.achieved, plan.best, plan.deviation) if plan is not None
        else (0.0, 0.0, 0.0) if scale is None
        else (scale.achieved, 1.0, scale.spread)
    )  # fmt: skip
    return {
        "bias": 1.0,
        "no plan": float(plan is None and scale is None),
        "entropy": within(acts.entropy),
        "entropy above 0.9": within(10 * (acts.entropy - 0.9)),
        "persistence": within(3 * acts.persistence),
        "achieved": within(achieved),
        "best": within(best),
        "sure gain": within(plan.sure_gain) if plan else 0.0,
        "held gain": within(2 * plan.held_gain) if plan else 0.0,
        "greatest held gain": within(2 * greatest.held_gain) if greatest and greatest.share >= 0.1 else 0.0,
        "deviation": within(2 * deviation),
        "plan error": within(2 * plan.plan_error) if plan else 0.0,
        "reach gain": within(statistics.reach.gain) if statistics.reach else 0.0,
        "return information": within(10 * (acts.return_information or 0.0)),
        "seen again": within(support.seen_again) if support else 1.0,
        "no junctions": within(1 - support.junction_rate) if support else 0.0,
        "few episodes": within(1 - (shape.episodes - 1) / 10),
        "few transitions": within(1 - shape.transitions / 500),
    }


def probabilities_of(
    features: dict[str, float], weights: dict[str, tuple[float, ...]] | None = None
) -> Array:
    """Softmax of the features' weighted sums, (5,) in the order of `NAMES`."""
    table = WEIGHTS if weights is None else weights
    score = np.sum([features[name] * np.array(row) for name, row in table.items()], axis=0)
    shifted = np.exp(score - score.max())
    return np.asarray(shifted / shifted.sum())


def regime_of(statistics: Statistics) -> Regime:
    """The regime of a log from its statistics."""
    probabilities = probabilities_of(features_of(statistics))
    label = NAMES[int(probabilities.argmax())]
    return Regime(
        label=label, reasons=tuple(_reasons(statistics)),
        probabilities={name: float(p) for name, p in zip(NAMES, probabilities, strict=True)},
    )  # fmt: skip


def _reasons(statistics: Statistics) -> list[str]:
    shape, plan, acts = statistics.shape, statistics.stitching, statistics.behaviour
    said = list[str]()
    if shape.episodes <= 10 or shape.transitions <= 500:
        said.append(f"Little was recorded: {shape.recorded}.")
    if plan is not None:
        said.append(
            f"Between the worst supported plan (0) and the best (1) the mean episode stands at "
            f"{plan.achieved:.2f} and the best one at {plan.best:.2f}."
        )
        said.append(_say_gain(plan))
        if plan.deviation < 0.05:
            said.append(f"Episodes from one start earn nearly the same (deviation {plan.deviation:.2f}).")
        elif plan.deviation > 0.15:
            said.append(
                f"Episodes from one start earn very different returns (deviation {plan.deviation:.2f})."
            )
    elif statistics.reach is not None:
        far = statistics.reach
        known = "Rewards are absent" if statistics.returns is None else "All episodes earn the same"
        said.append(
            f"{known}: of what can be reached from the starts ({far.joined:.0%} of the visits) "
            f"{far.gain:.0%} is reached by no single episode."
        )
    else:
        said.append("Seen through images: only actions, rewards and returns were judged.")
        if scale := statistics.scale:
            said.append(
                f"Between the worst episode (0) and the best (1) the mean stands at {scale.achieved:.2f}; "
                "whether by what is done, where it begins or chance is not known."
            )
    said.append(_say_entropy(acts.entropy))
    return said


def _say_gain(plan: Stitching) -> str:
    top = plan.greatest
    if max(plan.held_gain, top.held_gain) >= LEAST_GAIN:
        where = "" if top.share > 0.99 else f", {top.held_gain:.2f} from {top.share:.0%} of the starts"
        return (
            f"Joined pieces of episodes earn more than the best episode, on episodes left out too: "
            f"{plan.held_gain:.2f} of the scale{where}."
        )
    if plan.gain >= LEAST_GAIN:
        return (
            f"On paper, joining episodes gains {plan.gain:.2f} of the scale over the best one; on episodes "
            f"left out {plan.held_gain:.2f} remains."
        )
    return f"Joining episodes adds nothing to the best one (stitching gain {plan.gain:.2f})."


def _say_entropy(entropy: float) -> str:
    kind = "nearly decided" if entropy < 0.5 else "nearly uniform" if entropy > 0.9 else "varied"
    return f"In one state, actions are {kind} (entropy {entropy:.2f} of the uniform's)."
