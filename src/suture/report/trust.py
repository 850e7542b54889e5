"""How sure a report is of a policy, and what it advises: from what evaluations found, in plain words."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from suture.report.scores import setting_name
from suture.report.story import Answer, number, plural, span

TONES = ("good", "plain", "care", "bad")
WIDE = 0.5
"""Half of an interval, as a share of the size of what is compared, above which it is called wide."""
MOST = 6
"""Values that the first screen lists."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Logged:
    """What episodes of the log earned, to put a policy's return beside.

    what: which episodes, in words.   low, high: the 95 % interval of their mean, where it is known.
    alike: whether they begin where the policy was played; only then does one of the two beat the other.
    note, remedy: where they began, and what to do, where that is not so.
    """

    mean: float
    what: str
    low: float | None = None
    high: float | None = None
    alike: bool = False
    note: str = ""
    remedy: str = ""

    @property
    def told(self) -> str:
        """'the log's episodes from like starts (12.3)'."""
        return f"{self.what} ({number(self.mean)})"

    @property
    def noted(self) -> str:
        """The same, and where they began."""
        return f"{self.told}, {self.note}" if self.note else self.told


@dataclasses.dataclass(frozen=True, kw_only=True)
class Value:
    """What one setting is worth.   name: of the setting; empty where there is one.   refused: why none."""

    name: str
    mean: float | None
    low: float | None
    high: float | None
    refused: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """'expectile 0.7: 12.3 (10 to 14.6)'."""
        ends = "interval not known" if self.low is None else span(self.low, self.high)
        said = f"{number(self.mean)} ({ends})"
        return f"{self.name}: {said}" if self.name else said

    def against(self, logged: Logged | None) -> str:
        """Where its interval lies: above, below or across what the log earned; '' where that is not known."""
        if logged is None or self.low is None or self.high is None:
            return ""
        top = logged.mean if logged.high is None else logged.high
        bottom = logged.mean if logged.low is None else logged.low
        return "above" if self.low > top else "below" if self.high < bottom else "across"

    def is_wide(self, logged: Logged | None) -> bool:
        """Whether its interval leaves open how large it is."""
        if self.mean is None or self.low is None or self.high is None:
            return False
        size = max(abs(self.mean), abs(logged.mean) if logged else 0.0)
        return (self.high - self.low) / 2 > WIDE * size


def latest(evaluations: Sequence[Mapping[str, Any]], *kinds: str) -> Mapping[str, Any] | None:
    """The evaluation of some kinds that is of the newest checkpoint; of several, the last."""
    found = [one for one in evaluations if one["kind"] in kinds]
    return max(found, key=lambda one: (one["step"], one.get("time", "")), default=None)


def values_of(one: Mapping[str, Any]) -> list[Value]:
    """What an evaluation that played says of each setting; of a comparison, at the last checkpoint."""
    if one["kind"] == "compared":
        rows = [standing for standing in one["standings"] if standing["checkpoint"] == "last"]
        told = [(row["setting"], row["mean"], row["mean_interval"]) for row in rows]
    else:
        rows = one.get("settings") or [one]
        told = [(row.get("setting", {}), row["mean"], row["interval"]) for row in rows]
    several = len(told) > 1
    return [
        Value(name=setting_name(setting) if several else "", mean=mean, low=low, high=high)
        for setting, mean, (low, high) in told
    ]


def estimates_of(one: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> list[Value]:
    """What an estimate says of each member.   members: seed and swept values of each."""
    told = list[Value]()
    for each in one["estimates"]:
        low, high = each["interval"] or (None, None)
        name = setting_name(members[each["member"]]) if len(members) > 1 else ""
        told.append(Value(name=name, mean=each["value"], low=low, high=high, refused=tuple(each["refused"])))
    return told


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trust:
    """What is known of a run's policies.   step: of its newest checkpoint.   members: as the run names them.

    logged: what the log earned, where that is known.   failed: whether training ended in no usable policy.
    """

    evaluations: Sequence[Mapping[str, Any]]
    members: Sequence[Mapping[str, Any]]
    step: int
    logged: Logged | None = None
    failed: bool = False

    @property
    def played(self) -> Mapping[str, Any] | None:
        """The evaluation that played it."""
        return latest(self.evaluations, "played", "compared")

    @property
    def estimated(self) -> Mapping[str, Any] | None:
        """The evaluation that estimated it from a log."""
        return latest(self.evaluations, "estimated")

    def sure(self) -> Answer:
        """How sure are we?"""
        tones, said = list[str](), list[str]()
        for one, told in ((self.played, self._sure_played), (self.estimated, self._sure_estimated)):
            if one is None:
                continue
            tone, text = told(one)
            tones.append(tone)
            said.append(text)
            if one["step"] < self.step:
                tones.append("care")
                said.append(
                    f"That is of an older checkpoint, step {one['step']:,}; the newest is step {self.step:,}."
                )
        if not said:
            tones, said = (
                ["care"],
                ["Not at all yet: the policy was neither played nor estimated from a log."],
            )
        return Answer(question="How sure are we?", tone=_worst(tones or ["care"]), answer=" ".join(said))

    def next(self) -> Answer:
        """What to do next?"""
        tone, text = self._advice()
        return Answer(question="What to do next?", tone=tone, answer=text)

    def _sure_played(self, one: Mapping[str, Any]) -> tuple[str, str]:
        values, logged = values_of(one), self.logged
        if len(values) == 1:
            return _sure_of(values[0], one, logged)
        told = (
            f"Played in {one['of']}, mean return of an episode{_sample(one, len(values))}: {_listed(values)}."
        )
        if all(value.is_wide(logged) for value in values):
            told += " All of these intervals are wide: they leave open how large the values are."
        return "care", told if logged is None else f"{told} For comparison: {logged.noted}."

    def _sure_estimated(self, one: Mapping[str, Any]) -> tuple[str, str]:
        values, log = estimates_of(one, self.members), Path(one["of"]).name
        refused, known = [v for v in values if v.refused], [v for v in values if not v.refused]
        if not known:
            tone = "care" if self.played else "bad"
            return tone, f"No number can be given from {log} alone. {refused[0].refused[0]}"
        told = "" if self.played else "Never played. "
        told += f"Estimated from {log}, discounted, with 95 % interval: {_listed(known)}."
        if (earned := _earned(one)) is not None:
            told += f" By the same measure the log's own behaviour earned {number(earned)}."
        if refused:
            which = "; ".join(value.name for value in refused[:MOST])
            told += f" No number for {len(refused)} of {len(values)} ({which}): {refused[0].refused[0]}"
        return "care", told

    def _advice(self) -> tuple[str, str]:
        if self.failed:
            return "bad", (
                "Do not use this policy. Train nearer to the log, with a smaller learning rate, or by iql or "
                "td3_bc."
            )
        played, estimated = self.played, self.estimated
        steps = [one["step"] for one in (played, estimated) if one is not None]
        if not steps:
            return "care", (
                "Evaluate it: suture evaluate RUN --env ID where there is a simulator, or --data LOG, best "
                "on episodes that it has not seen."
            )
        if max(steps) < self.step:
            return "care", (
                f"Evaluate the newest checkpoint (step {self.step:,}) before you decide: suture evaluate RUN "
                "takes that one."
            )
        found = [self._after_playing(played)] if played else []
        found += [self._after_estimating(estimated)] if estimated else []
        return _worst([tone for tone, _ in found]), " ".join(text for _, text in found)

    def _after_playing(self, played: Mapping[str, Any]) -> tuple[str, str]:
        values, logged = values_of(played), self.logged
        places = {value.against(logged) for value in values}
        if logged is not None and places == {"below"}:
            which = "it" if len(values) == 1 else "any of its settings"
            return _below(which, logged)
        if len(values) == 1:
            return _placed(places.pop(), logged)
        if played["kind"] == "played":
            return "care", (
                "Its settings differ: choose one by suture evaluate RUN --env ID --compare, and train it "
                "with several seeds of its own."
            )
        best = max(values, key=lambda value: -np.inf if value.mean is None else value.mean)
        return "care", (
            f"Its settings were compared: {best.name} earned most. Chosen by these returns, that flatters "
            "it: train it with several seeds of its own, and play those."
        )

    def _after_estimating(self, estimated: Mapping[str, Any]) -> tuple[str, str]:
        values, earned = estimates_of(estimated, self.members), _earned(estimated)
        refused, known = [v.name for v in values if v.refused], [v for v in values if not v.refused]
        if not known and self.played:
            return "care", "The log does not vouch for it: what was played says nothing of other conditions."
        if not known:
            return "bad", "Do not deploy it on this evidence: do what the refusal says, and evaluate again."
        but = f" Leave out what was refused ({'; '.join(refused[:MOST])})." if refused else ""
        if earned is not None and all(v.high is not None and v.high < earned for v in known):
            return "bad", f"Do not deploy it: the log's own behaviour is worth more ({number(earned)}).{but}"
        return "care", (
            "Treat the estimate as a reason to try it with care, not as proof: begin where mistakes are "
            f"cheap, and record what happens.{but}"
        )


def _sure_of(value: Value, one: Mapping[str, Any], logged: Logged | None) -> tuple[str, str]:
    """Of a single setting that was played: how wide its interval is, and where it lies."""
    told = f"Played in {one['of']}: {number(value.mean)} an episode"
    if value.low is None:
        return "care", f"{told}. How far off that may be is not known."
    told += f"{_sample(one, 1)}: {span(value.low, value.high)}."
    if wide := value.is_wide(logged):
        told += " That is wide: it leaves open how large the value is."
    where = value.against(logged)
    if logged is None or not where:
        return ("care" if wide else "plain"), told
    told += f" {PLACES[where]} {logged.noted}."
    if where == "across" or wide or not logged.alike:
        return "care", told
    return ("good" if where == "above" else "bad"), told


PLACES = {"above": "All of it is above", "below": "All of it is below", "across": "It includes"}


def _placed(where: str, logged: Logged | None) -> tuple[str, str]:
    """Advice on a single setting whose interval lies above what the log earned, or across it."""
    if logged is None or not where:
        return (
            "care",
            "Compare it with what the log's behaviour earns in the same place, then try it with care.",
        )
    if where == "across":
        return "care", f"It is not shown to differ from {logged.told}: more seeds or episodes would tell."
    said = "Try it under supervision, record what it does, and train again with that."
    if logged.alike:
        return "good", f"It beats {logged.told}. {said}"
    return "care", f"It earned more than {logged.noted}. {logged.remedy} {said}"


def _below(which: str, logged: Logged) -> tuple[str, str]:
    """Advice where all of it earned less than the log."""
    if logged.alike:
        return "bad", (
            f"Do not deploy {which}: {logged.told} earned more. Compare methods, or ask suture inspect "
            "--deep what the log allows."
        )
    return "care", f"Do not deploy {which} yet: it earned less than {logged.noted}. {logged.remedy}"


def _sample(one: Mapping[str, Any], settings: int) -> str:
    """Of what an interval is: ', 95 % interval over 3 training seeds'."""
    if one["kind"] == "compared":
        seeds, left_out = one["standings"][0]["seeds"], one["standings"][0]["left_out"]
        return "" if left_out else f", 95 % interval over {plural(seeds, 'training seed')}"
    seeds = one["members"] // settings
    if seeds > 1:
        return f", 95 % interval over {plural(seeds, 'training seed')}"
    return f", 95 % interval over {plural(one['episodes'], 'episode')} of one training seed"


def _listed(values: Sequence[Value]) -> str:
    """Each with its name; where there are many, how many are left to the table."""
    more = f"; and {len(values) - MOST} more, in the table below" if len(values) > MOST else ""
    return "; ".join(value.told for value in values[:MOST]) + more


def _earned(estimated: Mapping[str, Any]) -> float | None:
    """What the log's behaviour earned, discounted, where an estimate says it."""
    known = [one["earned"][0] for one in estimated["estimates"] if one.get("earned")]
    return known[0] if known else None


def _worst(tones: Sequence[str]) -> str:
    return max(tones, key=TONES.index)
