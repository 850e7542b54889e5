"""What to train first, with which published settings, why, and what to watch.

The base is the decision rule of the specification's section E. Methods are named, not imported: their package
needs JAX, and this one answers without it (a test holds the names to `algorithms.table`).
"""

import dataclasses
from typing import Any

from suture.diagnosis.regime import Regime
from suture.diagnosis.statistics import Statistics
from suture.diagnosis.stitching import Stitching

PUBLISHED = {
    "locomotion": ("iql", "cql", "td3_bc", "rebrac"),
    "sparse": ("iql", "cql", "rebrac", "fql", "ifql"),
    "dexterous": ("iql", "bc", "cql", "rebrac", "fql"),
}
NEAR, SPARSE, DEXTEROUS, NOISY, UNSURE, MODES, PROMISING = 0.85, 0.95, 20, 0.3, 0.9, 0.25, 0.1
UNEQUAL, FILTERED, TELLING = 0.15, 5, 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recommendation:
    """method: a name of `suture train`.   preset: one of its presets.   evidence: why, and what to watch."""

    method: str
    preset: str
    evidence: str

    def to_json(self) -> dict[str, Any]:
        """method, preset, evidence."""
        return dataclasses.asdict(self)


def recommend(statistics: Statistics, regime: Regime, action_dimensions: int) -> tuple[Recommendation, ...]:
    """Methods in the order in which to try them.   action_dimensions: 1 for choices."""
    domain = domain_of(statistics, action_dimensions)
    rules = {
        "imitation": _imitation, "mixed": _mixed, "heterogeneous": _heterogeneous, "random": _random,
        "insufficient": _insufficient,
    }  # fmt: skip
    chosen = list(rules[regime.label](statistics))
    support = statistics.support
    if support is not None and support.start_coverage < 0.5 and regime.label != "insufficient":
        chosen.insert(0, ("cql", _not_covered(support.start_coverage)))
    told = statistics.returns
    silent = told is None or (statistics.stitching is None and not told.spread)
    if silent and regime.label not in ("imitation", "insufficient"):
        lack = "The log has no rewards" if told is None else "All episodes earn the same"
        before = f"{lack}: reward what is wanted (a goal, a relabelling) before any method but imitation. "
        chosen = [(method, before + why) for method, why in chosen]
    return tuple(
        Recommendation(method=method, preset=preset_of(method, domain), evidence=why)
        for method, why in chosen
    )


def domain_of(statistics: Statistics, action_dimensions: int) -> str:
    """The domain of `algorithms.presets` that is likest: sparse, dexterous, locomotion or generic."""
    if statistics.discrete:
        return "generic"
    if action_dimensions >= DEXTEROUS:
        return "dexterous"
    if statistics.returns is None or statistics.returns.reward_sparsity >= SPARSE:
        return "sparse"
    return "locomotion" if action_dimensions > 1 else "generic"


def preset_of(method: str, domain: str) -> str:
    """The domain where something was published for the method there, otherwise generic."""
    return domain if method in PUBLISHED.get(domain, ()) else "generic"


def _imitation(statistics: Statistics) -> list[tuple[str, str]]:
    plan, value = statistics.stitching, "iql" if statistics.discrete else "td3_bc"
    if statistics.support is not None and not statistics.support.junction_rate:
        why = "No two actions were tried in one state: there is nothing to choose between but to imitate."
        plan = None
    elif scale := statistics.scale:
        why = (
            f"The mean episode stands at {scale.achieved:.2f} between the worst and the best, and of states "
            "seen through images nothing else is known. Imitate first."
        )
    elif plan is None:
        why = "Nothing in this log tells good from bad: there is nothing to gain by more than imitation."
    elif plan.achieved >= NEAR:
        why = (
            f"Nothing to gain by more than imitation: the mean episode reaches {plan.achieved:.2f} of "
            "the best supported plan."
        )
    else:
        why = (
            f"{_alike(plan)}, so that filtering gains little; on paper the best supported plan stands "
            f"{1 - plan.best:.2f} above the best of them. Imitate first."
        )
    said = [("bc", f"{why} Watch the held-out loss: updates beyond its minimum only overfit.")]
    told = statistics.shape.episodes >= 10 * FILTERED
    if plan is not None and told and plan.achieved < NEAR and plan.one_step_gap >= PROMISING:
        value = "iql"
        better = (
            f"{_alike(plan)}; the best one stands at {plan.best:.2f} of the best supported plan, and on "
            f"paper one step of improvement gains {plan.one_step_gap:.2f} over the behaviour. It weighs the "
            "actions within episodes. Watch that it beats bc."
        )
        return [(value, better), ("bc", "The baseline to beat: it is what the behaviour is worth.")]
    if statistics.behaviour.multimodality > MODES and not statistics.discrete:
        said.append(("ifql", _modes(statistics) + " Its flow keeps them apart. Watch that it beats bc."))
    if plan is not None:
        aim = "To see whether rewards help at all" if plan.achieved >= NEAR else "For what the plan promises"
        close = "close to the data" + (": pass --alpha 0.1 as well" if value == "td3_bc" else "")
        said.append((value, f"{aim}, {close}. Watch that its return does not fall below that of bc."))
    return said


def _alike(plan: Stitching) -> str:
    """How episodes of one behaviour differ."""
    if plan.deviation < UNEQUAL:
        return f"Episodes earn alike ({plan.deviation:.2f} of the scale)"
    return (
        f"Episodes differ ({plan.deviation:.2f} of the scale), but act alike in like states: by where they "
        "begin or by chance"
    )


def _mixed(statistics: Statistics) -> list[tuple[str, str]]:
    plan = statistics.stitching
    gap = (
        "" if plan is None else f" One step of improvement gains {plan.one_step_gap:.2f} over the behaviour."
    )
    said = [
        _baseline(statistics),
        ("iql", f"Weighs actions by advantage, so that no episode is thrown away.{gap} Watch the share of "
                "weights at their limit."),
    ]  # fmt: skip
    if plan is not None and plan.deviation < UNEQUAL and plan.one_step_gap >= PROMISING:
        said.reverse()
    if statistics.discrete:
        return [
            *said,
            (
                "cql",
                f"Improves on choices that the log shows, and values others low.{_pessimism(statistics)}",
            ),
        ]
    strong = "rebrac" if statistics.behaviour.multimodality <= MODES else "ifql"
    extra = "Usually the strongest on dense rewards" if strong == "rebrac" else _modes(statistics).rstrip(".")
    return [*said, (strong, f"{extra}. Watch critic claims (suture overestimation).{_pessimism(statistics)}")]


def _baseline(statistics: Statistics) -> tuple[str, str]:
    """What methods that weigh actions have to beat: imitation, of the best tenth where that is enough."""
    plan, told = statistics.stitching, statistics.returns
    if plan is not None and plan.deviation < UNEQUAL:
        alike = f"Episodes from one start earn alike ({plan.deviation:.2f} of the scale)"
        return "bc", f"{alike}: filtering them gains little. The baseline to beat."
    why = "Good and bad episodes" + (" from the same starts" if plan is not None else "")
    if told is not None:
        why += f": the best tenth lies {told.decile_lift:.2f} of the range of returns above the mean"
    if (tenth := statistics.shape.episodes // 10) < FILTERED:
        few = f"The best tenth is {tenth} episodes: too few to imitate them alone"
        return "bc", f"{why}. {few}. The baseline to beat."
    noise, tells = statistics.shape.noise or 0, statistics.behaviour.return_information
    luck = ""
    if noise > NOISY:
        luck = f" Transitions are noisy ({noise:.2f}), so that it may pick lucky episodes."
    elif tells is not None and tells < TELLING:
        luck = f" Actions tell little of returns ({tells:.1g} nats), so that it may pick lucky episodes."
    return "filtered_bc", f"{why}. The baseline to beat: imitate the best tenth.{luck}"


def _heterogeneous(statistics: Statistics) -> list[tuple[str, str]]:
    plan, far = statistics.stitching, statistics.reach
    why = "Pieces of episodes have to be joined"
    if plan is not None:
        top = plan.greatest
        error = top.plan_error if top.plan_error > 1e-6 * abs(top.plan) else 0.0
        why += (
            f": from {top.share:.0%} of the starts the best episode earns {top.best:.4g} and the supported "
            f"plan {top.plan:.4g} (± {error:.2g}; {top.held:.4g} on episodes left out)"
        )
    elif far is not None:
        why += f": {far.gain:.0%} of what can be reached from the starts is reached by no single episode"
    several = ""
    if plan is not None and plan.multi_step_gap > 0.05:
        several = f" One step of improvement is not enough: further steps gain {plan.multi_step_gap:.2f}."
    said = [
        ("iql", f"{why}. Pass --expectile 0.9 or more as well (of the presets, only sparse has it).{several} "
                "Filtering by return would keep the wrong fragments. Watch the value at the starts: it must "
                "exceed every logged return there."),
    ]  # fmt: skip
    if statistics.discrete:
        return [
            *said,
            ("bcq", f"In-support Q-learning backs values up across episodes.{_pessimism(statistics)}"),
        ]
    if statistics.behaviour.multimodality > MODES:
        said.append(
            ("fql", _modes(statistics) + " Watch its weight of imitation: too large, and nothing is joined.")
        )
    said.append(
        ("rebrac", "Backs values up over long horizons (discount 0.999 where rewards are sparse). Watch "
                   f"critic claims (suture overestimation).{_pessimism(statistics)}")
    )  # fmt: skip
    return said


def _random(statistics: Statistics) -> list[tuple[str, str]]:
    plan = statistics.stitching
    why = (
        f"Actions are nearly uniform (entropy {statistics.behaviour.entropy:.2f}): imitation is worth nothing"
    )
    if plan is not None:
        why += (
            f", but the supported plan promises {1 - plan.achieved:.2f} of the scale above the mean episode"
        )
    watch = " Value methods may work where rewards are dense and the images cover the task: look at them."
    if statistics.support is not None:
        watch = " Coverage is wide, so value methods may work where rewards are dense."
    watch += " Watch the start's value."
    said = [("cql", f"{why}.{watch}{_pessimism(statistics)}")]
    if statistics.discrete:
        return [*said, ("dqn", "Wide coverage of few choices is the one case where plain Q-learning may do.")]
    return [
        *said,
        ("rebrac", "Strong on dense rewards with little weight on imitation (lower its penalties)."),
    ]


def _insufficient(statistics: Statistics) -> list[tuple[str, str]]:
    shape = statistics.shape
    why = (
        f"Not enough data: {shape.recorded}. Record more before choosing a method; imitation is the only "
        "baseline that such a log can feed, and no estimate of its value can be trusted."
    )
    return [("bc", why)]


def _not_covered(coverage: float) -> str:
    return (
        f"The start states are not covered: only {coverage:.0%} of them lie where at least 3 episodes pass. "
        "What a policy does first would be guessed; record more from there, or take a pessimistic method."
    )


def _modes(statistics: Statistics) -> str:
    share = statistics.behaviour.multimodality
    return (
        f"In {share:.0%} of the visited states actions form separate clouds, which a Gaussian would average."
    )


def _pessimism(statistics: Statistics) -> str:
    support = statistics.support
    if support is None or support.seen_again >= UNSURE:
        return ""
    return (
        f" {1 - support.seen_again:.0%} of the logged pairs occur once: raise the pessimism "
        "(--count-penalty) and trust no point estimate."
    )
