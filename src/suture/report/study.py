"""What critics claim beside what is true (`suture overestimation`): a page of its own, or part of a run's."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from suture.evaluation.claims import Claim
from suture.report.story import Answer, Figure, Listing, Section, Story, number, plural
from suture.storage import manifest

CLAIMS = "overestimation.json"
FAIR = "claims no more than is true"
ABOVE = 0.1
"""Share of the truth by which a claim may exceed it and count as fair."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """Of one method, means over seeds at its last checkpoint.   truth: None where it was not looked for."""

    name: str
    step: int
    seeds: int
    claim: float
    truth: float | None
    truth_is: str
    plain: bool
    diverged: bool

    @property
    def verdict(self) -> str:
        """What to make of it, in words."""
        if self.diverged or not np.isfinite(self.claim):
            return "left every bound that the rewards allow"
        if self.truth is None or not np.isfinite(self.truth):
            return "truth not known"
        if not self.plain:
            return "cannot be judged: its values hold more than rewards"
        return (
            "claims too much"
            if self.claim - self.truth > ABOVE * abs(self.truth)
            else "claims no more than is true"
        )

    @property
    def told(self) -> str:
        """'sac claims 30, truth 12'."""
        return f"{self.name} claims {number(self.claim)}, truth {number(self.truth)}"


@dataclasses.dataclass(frozen=True)
class Study:
    """A folder of `suture overestimation`."""

    path: Path

    @functools.cached_property
    def claims(self) -> list[Claim]:
        """Every claim that it kept."""
        return [Claim.from_json(row) for row in manifest.read_json(self.path / CLAIMS)]

    @functools.cached_property
    def fingerprints(self) -> set[str]:
        """Of the logs that its runs, in folders of its own, learned from."""
        from suture.training.run import read_recipe

        return {read_recipe(config.parent).fingerprint for config in self.path.glob("*/config.json")}

    def belongs_to(self, run: Path) -> bool:
        """Whether it tried a run's method on a run's log."""
        from suture.training.run import read_recipe

        recipe = read_recipe(run)
        tried = {claim.method.partition(":")[0] for claim in self.claims}
        return recipe.fingerprint in self.fingerprints and recipe.algorithm.name in tried

    @functools.cached_property
    def found(self) -> list[Found]:
        """What it found, method by method."""
        found = list[Found]()
        for name in dict.fromkeys(claim.method for claim in self.claims):
            own = [claim for claim in self.claims if claim.method == name]
            last = [claim for claim in own if claim.step == max(one.step for one in own)]
            truths = [claim.truth for claim in last if claim.truth is not None]
            found.append(Found(
                name=name, step=last[0].step, seeds=len(last), claim=float(np.mean([c.claim for c in last])),
                truth=float(np.mean(truths)) if truths else None, truth_is=last[0].truth_is,
                plain=last[0].values_hold == "rewards", diverged=any(claim.diverged for claim in last),
            ))  # fmt: skip
        return found

    def section(self) -> Section:
        """The claims and the truths, as a table and drawn."""
        from suture.report.claims import draw

        alt = "; ".join(one.told for one in self.found)
        drawing = draw(self.claims, "What critics claim, and what is true")
        rows = [
            (one.name, number(one.claim), number(one.truth), one.truth_is, one.verdict,
             f"{plural(one.seeds, 'seed')}, step {one.step:,}")
            for one in self.found
        ]  # fmt: skip
        return Section(
            title="Over-estimation",
            text=[
                "A critic says what a policy will earn. One that claims more than its policy is worth has "
                "learned from its own errors; the policy that trusts it is drawn to them."
            ],
            listings=[Listing(
                caption="Claims at the last checkpoint, means over seeds, discounted",
                header=("method", "claim", "truth", "truth is", "verdict", "of what"), rows=rows,
            )],
            figures=[Figure(svg=drawing, alt=alt, caption=f"{alt}.")],
        )  # fmt: skip

    def story(self) -> Story:
        """The study by itself."""
        name = self.path.resolve().name
        if not self.claims:
            said = Answer(
                question="What was compared?", tone="care", answer="Nothing: it holds no claims yet."
            )
            return Story(title=f"Over-estimation in {name}", answers=[said])
        seeds, played = max(one.seeds for one in self.found), self.found[0].truth_is == "played"
        how = (
            "played in a simulator"
            if played
            else "estimated from the log by another critic, which can be wrong"
        )
        bad = [one for one in self.found if one.verdict.startswith(("claims too", "left"))]
        fair = [one.name for one in self.found if one.verdict == FAIR]
        told: list[tuple[str, str, str]] = [
            ("What was compared?", "plain", "What methods say that their policies will earn, with what these "
             f"do earn: {', '.join(one.name for one in self.found)}."),
            ("What was found?", "bad" if bad else "good" if fair else "care",
             " ".join(f"{one.told}: it {one.verdict}." for one in bad)
             or f"None that could be judged claims more than {ABOVE:.0%} above the truth."),
            ("How sure are we?", "care" if seeds < 3 or not played else "plain",
             f"Each method was trained {plural(seeds, 'time')}, from different random numbers; the truth was "
             f"{how}."),
            ("What to do next?", "plain", _advice([one.name for one in bad], fair)),
        ]  # fmt: skip
        answers = [Answer(question=question, tone=tone, answer=text) for question, tone, text in told]
        return Story(
            title=f"Over-estimation in {name}", answers=answers, sections=[self.section(), self._provenance()]
        )

    def _provenance(self) -> Section:
        discounts = {f"{claim.discount:g}" for claim in self.claims if claim.discount is not None}
        facts: list[tuple[str, Any]] = [
            ("folder", str(self.path)),
            ("fingerprint of the log", ", ".join(sorted(self.fingerprints)) or "its runs are not at hand"),
            ("seeds", ", ".join(str(seed) for seed in sorted({claim.seed for claim in self.claims}))),
            (
                "discounts",
                ", ".join(sorted(discounts)),
            ),
        ]
        return Section(
            title="Provenance",
            listings=[Listing(caption="Where it comes from", header=("what", "value"), rows=facts)],
        )


def _advice(bad: Sequence[str], fair: Sequence[str]) -> str:
    said = (
        f"Do not trust what {', '.join(bad)} promise: play or estimate their policies first. " if bad else ""
    )
    said += f"Begin with {', '.join(fair)}, and play what it learns." if fair else "Compare more methods."
    return said
