"""Every claim bears its verdict out, every equation of the lecture has one, and they are quick."""

import json
import re
import time
from pathlib import Path

import pytest

from suture.errors import ConfigError
from suture.theory import amplification
from suture.theory.claim import parts_of
from suture.theory.lecture import EQUATIONS
from suture.theory.table import CLAIMS, SECTIONS, Examined, claims_of, examine, plots_of

# A piece of each display equation of the lecture -> its key.
DISPLAYED = {
    r"\mathcal{D} = \{(s_i, a_i, r_i, s_i')\}": "3.1-data",
    r"J(\pi) = \mathbb{E}_{s_0 \sim \rho_0}": "3.1-return",
    r"\operatorname{supp}(\mathcal{D}) = \{": "3.2-support",
    r"(\mathcal{T}Q)(s,a) = r(s,a)": "6.2-operator",
    r"\frac{\gamma}{1 - \gamma} \,\delta": "6.2-bound",
    r"\mathcal{L}_{\mathsf{actor}}": "7.1.1-actor",
    r"r_{\lambda}(s, a) = r(s, a)": "7.1.2-reward",
    r"\mathcal{L}(\pi,\eta) = J(\pi)": "7.2-lagrangian",
    r"\alpha = \frac{1}{\eta}": "7.2-optimum",
    r"w(s,a) = \exp": "7.2-weights",
    r"\mathrm{MMD}^{2}(\pi,\beta)": "7.3-mmd",
    r"\text{MMD}(\pi, \beta) \leq \delta": "7.3-actor",
    r"V_{\phi}(s') = \text{Expectile}": "7.4-value",
    r"\mathcal{L}_Q = ": "7.4-loss",
    r"\max J(\pi) \text{ s.t. } \mathbb{E}_{d^{\beta}}": "8.1-primal",
    r"\max_{\pi} \min_{\eta \ge 0}": "8.1-lagrangian",
    r"|\Delta_1(s,a)| \le \gamma": "8.2-bound",
    r"\mathcal{L}_{\text{expectile}}(v)": "8.3-loss",
}
# Of statements that stand in the running text.
IN_TEXT = {
    r"s.t.} \quad D_{\mathrm{KL}}\big(\pi(\cdot \mid s)": "7.1-constraint",
    r"\kappa = \Pr_{a \sim \beta}": "8.2-kappa",
    r"minimises $||Q_{\theta} - TQ_{\bar{\theta}}||_2$": "6.2-dqn",
    r"$|\Delta_0| \leq \delta$ and for every OOD pair $|Q_\theta| \leq B$": "8.2-assumption",
    "geometric growth whenever": "8.2-growth",
    "dense coverage of the input space": "2-coverage",
    "reuses old experience but still **collects more data**": "3-policies",
    r"\pi^{\diamond} \approx \arg \max_{\sigma} J(\pi)": "3.1-sigma",
    r"\max_{\sigma} \mathbb{E}_{d^{\beta}} Q_{\theta}(s, a)": "7.3-sigma",
    "Bellman updaters that compute target Q-values": "9.2-system",
    "580 k previously recorded grasp episodes": "5.3-table",
    "five-step composite plan": "9.1-five",
    r"$(s, a) \notin \operatorname{supp}(\mathcal{D})$": "3.2-ood",
}


@pytest.fixture(scope="module")
def timed() -> tuple[tuple[Examined, ...], float]:
    """Every claim, and the processor time that they took."""
    began = time.process_time()
    return examine(), time.process_time() - began


@pytest.fixture(scope="module")
def examined(timed: tuple[tuple[Examined, ...], float]) -> tuple[Examined, ...]:
    return timed[0]


@pytest.fixture(scope="module")
def lecture(data_folder: Path) -> str:
    path = data_folder.parent / "spec" / "lecture.txt"
    if not path.is_file():
        pytest.skip(f"the lecture's text is absent: {path}")
    return path.read_text(encoding="utf-8")


def test_the_numbers_bear_every_verdict_out(examined: tuple[Examined, ...]) -> None:
    odd = [(one.claim.section, one.claim.claim, one.found.figure) for one in examined if not one.found.agrees]
    assert not odd


def test_every_claim_is_json_with_finite_numbers(examined: tuple[Examined, ...]) -> None:
    for one in examined:
        told = json.loads(json.dumps(one.to_json(), allow_nan=False))
        assert told["agrees"] is True
        assert told["numbers"]


def test_every_equation_of_the_list_is_covered_by_a_claim_and_no_claim_covers_another() -> None:
    covered = {key for one in CLAIMS for key in one.covers}
    assert covered == set(EQUATIONS)
    for one in CLAIMS:
        assert one.covers or one.claim.startswith("beside the lecture")


def test_every_displayed_equation_of_the_lecture_is_in_the_list(lecture: str) -> None:
    displayed = [line for line in lecture.splitlines() if line.startswith("$$")]
    assert len(displayed) == len(DISPLAYED)
    for line in displayed:
        assert sum(piece in line for piece in DISPLAYED) == 1, line
    for piece, key in {**DISPLAYED, **IN_TEXT}.items():
        assert piece in lecture, piece
        assert key in EQUATIONS, key


def test_every_section_of_the_lecture_that_claims_something_has_a_claim(lecture: str) -> None:
    numbers = set(re.findall(r"^(\d(?:\.\d)*) [A-Z]", lecture, flags=re.MULTILINE))
    numbers |= {"7.1.1", "7.1.2"}
    covered = {key.split("-")[0] for key in EQUATIONS}
    silent = {"5", "6", "8", "9"}  # headings alone
    assert numbers - silent <= covered
    assert numbers - silent <= set(SECTIONS), "and it stands under its own number"


def test_statements_conditions_and_proofs_are_given() -> None:
    for one in CLAIMS:
        for text in (one.statement, one.conditions, one.proof):
            assert len(text) > 3, one.claim
        assert one.verdict in ("holds", "holds with conditions", "false", "only empirical")


def test_a_docstring_is_taken_apart() -> None:
    def check() -> None:
        """Title.

        Statement: One
        two.
        Proof: Three: four.
        """

    found = parts_of(check)  # type: ignore[arg-type]
    assert found == {"Statement": "One two.", "Conditions": "", "Proof": "Three: four.", "Source": ""}


def test_a_verdict_that_the_numbers_contradict_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = amplification.Counterexample(discount=0.9, inside=1.0, outside=0.5)
    monkeypatch.setattr(amplification, "COUNTEREXAMPLES", (wrong, wrong))
    assert not amplification.lecture_bound_is_exceeded().agrees


def test_sections_hold_their_parts_and_unknown_ones_name_the_nearest() -> None:
    assert {one.section for one in claims_of("7.1")} == {"7.1", "7.1.1", "7.1.2"}
    assert {one.section for one in claims_of("§8.2")} == {"8.2"}
    assert claims_of(None) == CLAIMS
    assert list(SECTIONS) == sorted(SECTIONS)
    for unknown, near in (
        ("8.9", "8.1, 8.2, 8.3"),
        ("6.22", "6.1, 6.2"),
        ("x", "Known: 1, 2"),
        ("", "Known"),
    ):
        with pytest.raises(ConfigError, match=re.escape(near)):
            claims_of(unknown)


def test_plots_are_of_one_section(examined: tuple[Examined, ...]) -> None:
    with pytest.raises(ConfigError, match=r"8\.1, 8\.2, 8\.3"):
        plots_of(tuple(one for one in examined if one.claim.section.startswith("8")))
    for section, count in (("6.2", 2), ("8.2", 1)):
        plots = plots_of(tuple(one for one in examined if one.claim.section == section))
        assert len(plots) == count
        for plot in plots:
            assert (plot.x, plot.y) == ("backups", "discounted value")
            assert {curve.what for curve in plot.curves} == {"claim", "truth"}


def test_all_claims_take_a_few_seconds(timed: tuple[tuple[Examined, ...], float]) -> None:
    """Of processor time, of which a machine busy with other things takes twice as much for the same."""
    assert timed[1] < 30
