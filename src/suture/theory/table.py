"""The table of all claims, and looking one up by its section."""

import dataclasses
from typing import Any

from suture.config import nearest
from suture.errors import ConfigError
from suture.theory import (
    amplification,
    bounds,
    collection,
    constraints,
    counterfactual,
    curve,
    duality,
    expectiles,
    foundations,
    mmd,
    pessimism,
    stitching,
    weights,
)
from suture.theory.claim import Claim, Found, Plot

MODULES = (
    foundations, duality, counterfactual, stitching, collection, bounds, curve, pessimism, constraints,
    weights, mmd, expectiles, amplification,
)  # fmt: skip


def _order(section: str) -> tuple[int, ...]:
    return tuple(int(part) for part in section.split("."))


CLAIMS: tuple[Claim, ...] = tuple(
    sorted((one for module in MODULES for one in module.CLAIMS), key=lambda one: _order(one.section))
)
SECTIONS: tuple[str, ...] = tuple(dict.fromkeys(one.section for one in CLAIMS))


@dataclasses.dataclass(frozen=True)
class Examined:
    """A claim with what its check found."""

    claim: Claim
    found: Found

    def row(self) -> dict[str, str]:
        """The line of the table."""
        return {
            "section": self.claim.section, "claim": self.claim.claim, "verdict": self.claim.verdict,
            "figure": self.found.figure,
        }  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The line with everything that explains it."""
        names = ("statement", "conditions", "proof", "source")
        numbers = {name: float(value) for name, value in self.found.numbers.items()}
        explained = {name: getattr(self.claim, name) for name in names}
        return {**self.row(), **explained, "agrees": bool(self.found.agrees), "numbers": numbers}


def claims_of(section: str | None) -> tuple[Claim, ...]:
    """The claims of a section and its parts ("7" has 7, 7.1, 7.1.1 ...); all where None.

    Raises ConfigError, with the nearest sections, where there are none.
    """
    if section is None:
        return CLAIMS
    asked = section.strip().lstrip("§").strip().rstrip(".")
    chosen = tuple(one for one in CLAIMS if f"{one.section}.".startswith(f"{asked}."))
    if not asked or not chosen:
        chapter = [known for known in SECTIONS if known.split(".")[0] == asked.split(".")[0]]
        near = f" The nearest: {', '.join(chapter)}." if chapter else nearest(asked, SECTIONS)
        raise ConfigError(f"The lecture has no section {section!r} with a claim to check.{near}")
    return chosen


def examine(section: str | None = None) -> tuple[Examined, ...]:
    """Run the checks of a section, or all of them (a few seconds)."""
    return tuple(Examined(one, one.check()) for one in claims_of(section))


def plots_of(examined: tuple[Examined, ...]) -> tuple[Plot, ...]:
    """The plots of one section; ConfigError where there is none, or where they are of several sections."""
    plots = [(one.claim.section, one.found.plot) for one in examined if one.found.plot is not None]
    sections = list(dict.fromkeys(section for section, _ in plots))
    if len(sections) == 1:
        return tuple(plot for _, plot in plots)
    if sections:
        raise ConfigError(f"These sections have a plot each: {', '.join(sections)}. Name one of them.")
    drawn = [one.claim.section for one in examine() if one.found.plot is not None]
    raise ConfigError(f"Section {examined[0].claim.section} has no plot. These have: {', '.join(drawn)}.")
