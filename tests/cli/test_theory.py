"""`suture theory`: the table, a section, the plot, and what it refuses."""

import json
from pathlib import Path

import pytest

import suture.cli as cli
from suture.theory import amplification
from suture.theory.table import CLAIMS


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of the few claims that are checked at once."""
    few = tuple(one for one in CLAIMS if one.section in ("3.1", "5.3", "8.2"))
    monkeypatch.setattr("suture.theory.table.CLAIMS", few)


def test_every_claim_is_a_row_of_json_alone_on_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["theory", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["section"] for row in rows] == [one.section for one in CLAIMS]
    for row in rows:
        assert set(row) == {"section", "claim", "verdict", "figure"}
        assert all(isinstance(value, str) and value for value in row.values())
    verdicts = {(row["section"], row["claim"]): row["verdict"] for row in rows}
    assert verdicts["8.2", "|Delta_1| <= gamma (delta + (1 - kappa) B)"] == "false"
    assert verdicts["7.2", "alpha = 1 / eta"] == "false"


def test_a_section_is_explained_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "8.2.svg"
    assert cli.run(["theory", "8.2", "--plot", str(plot)]) == 0
    said = capsys.readouterr().out
    for text in ("statement", "conditions", "proof", "exceeded 100 and 500 times", "▁", "E_{s'}"):
        assert text in said, text
    drawn = plot.read_text()
    assert drawn.startswith("<svg")
    for text in ("backups", "discounted value", "feedback, kappa 0.9, gain 3"):
        assert text in drawn


def test_curves_of_other_lengths_stand_over_the_same_x_and_far_ones_are_drawn_as_measured_ones_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["theory", "6.2", "--plot", str(tmp_path / "6.2.svg")]) == 0
    said = capsys.readouterr().out.splitlines()
    lines = {name: next(line for line in said if name in line and "▁" in line)
             for name in ("error 1, once", "feedback, gain 2")}  # fmt: skip
    whole, half = (sum(line.count(bar) for bar in "▁▂▃▄▅▆▇█") for line in lines.values())
    assert whole == 40
    assert half == 20, "it is given for 30 of 60 backups"
    assert lines["error 1, once"].index("error 1") == lines["feedback, gain 2"].index("feedback")
    drawn = (tmp_path / "6.2.svg").read_text()
    assert drawn.count(">logarithmic in size<") == 2, "two panels, by the code of suture overestimation"


def test_a_section_in_json_has_its_proof_and_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["theory", "8.3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"statement", "conditions", "proof", "numbers", "agrees"} <= set(rows[0])
    assert rows[0]["numbers"]["normal, 0.9"] == pytest.approx(0.86159, abs=1e-5)


@pytest.mark.usefixtures("short")
def test_the_table_fits_and_names_the_command_that_explains(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["theory"]) == 0
    said = capsys.readouterr().out
    assert "NOT CONFIRMED" not in said
    assert "suture theory SECTION explains" in said
    assert all(len(line) <= 200 for line in said.splitlines())


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("arguments", "message"), [
    (["8.9"], "no section '8.9'"), (["x"], "Known: 1, 2"), (["5.3", "--plot", "x.svg"], "has no plot"),
])  # fmt: skip
def test_refusals_end_with_2_and_say_what_there_is(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["suture", "theory", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert ended.value.code == 2
    assert not out
    assert message in err
    assert not (tmp_path / "x.svg").exists()


def test_a_verdict_that_fails_is_marked_and_ends_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = amplification.Counterexample(discount=0.9, inside=1.0, outside=0.5)
    monkeypatch.setattr(amplification, "COUNTEREXAMPLES", (wrong, wrong))
    assert cli.run(["theory", "8.2"]) == 1
    assert "NOT CONFIRMED" in capsys.readouterr().out
