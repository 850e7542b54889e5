"""What is claimed, what is true, and the numbers that show it."""

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

Verdict = Literal["holds", "holds with conditions", "false", "only empirical"]
PARTS = ("Statement", "Conditions", "Proof", "Source")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """A line of a plot, in the terms of the curve of over-estimation.

    name: whose values.   x: backups (or what `Plot.x` says).   y: discounted values (or what `Plot.y` says).
    what: "claim" what is computed, "truth" what is right.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    what: Literal["claim", "truth"] = "claim"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """As `report.figures.Panel` takes them, like the points of a measured curve."""
        return [
            {"name": self.name, "x": x, "mean": y, "low": y, "high": y, "what": self.what, "crossed": False}
            for x, y in zip(self.x, self.y, strict=True)
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plot:
    """Curves over one axis; the axes are those of `suture overestimation` unless said otherwise."""

    title: str
    curves: tuple[Curve, ...]
    x: str = "backups"
    y: str = "discounted value"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """What a check computed.

    agrees: whether the numbers bear the verdict out.   figure: they in one line.   numbers: each by name.
    """

    agrees: bool
    figure: str
    numbers: Mapping[str, float]
    plot: Plot | None = None


Check = Callable[[], Found]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """One equation or statement of the lecture.

    section: of the lecture, such as "7.1.2".   claim: what the lecture says, in short.
    verdict: on the sentence as the lecture has it.   covers: keys of `lecture.EQUATIONS`.
    statement, conditions, proof, source: the precise version, from the docstring of the check.
    """

    section: str
    claim: str
    verdict: Verdict
    covers: tuple[str, ...]
    statement: str
    conditions: str
    proof: str
    source: str
    check: Check


def claim(section: str, text: str, verdict: Verdict, check: Check, *covers: str) -> Claim:
    """A claim whose statement, conditions and proof stand in the docstring of its check."""
    parts = parts_of(check)
    return Claim(
        section=section, claim=text, verdict=verdict, covers=covers, check=check,
        statement=parts["Statement"], conditions=parts["Conditions"], proof=parts["Proof"],
        source=parts["Source"],
    )  # fmt: skip


def parts_of(check: Check) -> dict[str, str]:
    """The paragraphs of a docstring that begin with a name of `PARTS` and a colon; absent ones are empty."""
    text = inspect.getdoc(check) or ""
    found = re.split(rf"^({'|'.join(PARTS)}): ", text, flags=re.MULTILINE)[1:]
    given = {name: " ".join(body.split()) for name, body in zip(found[::2], found[1::2], strict=True)}
    return {name: given.get(name, "") for name in PARTS}
