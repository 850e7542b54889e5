"""What `suture inspect` prints: the numbers of a log, then what was found in it, gravest first."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from suture import spaces

STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}
COUNTS = {
    "transitions": "transitions",
    "episodes": "episodes",
    "terminated": "  terminated",
    "truncated": "  truncated",
    "unfinished": "  unfinished",
    "missing_next_observations": "missing next observations",
}


def render(summary: Mapping[str, Any], source: str) -> RenderableType:
    """A summary (`data.summary.summarise`) as a table and a list of findings for a terminal."""
    return Group(
        _table(summary, source), Text(), *_findings(summary["findings"]), _verdict(summary["findings"])
    )


def brief(summary: Mapping[str, Any], source: str) -> list[str]:
    """A summary in one line, and a line for each warning: what a person should know before training."""
    counts = ", ".join(f"{summary[key]:,} {key}" for key in ("terminated", "truncated", "unfinished"))
    lines = [
        f"{source}: {summary['transitions']:,} transitions in {summary['episodes']:,} episodes ({counts})."
    ]
    lines += [
        f"warning {finding['id']}: {' '.join(finding['message'].split())}"
        for finding in summary["findings"]
        if finding["severity"] == "warning"
    ]
    return [plain(line).plain for line in lines]


def plain(text: str) -> Text:
    """Text of a file's making: neither markup nor control characters reach the terminal."""
    return Text("".join(character if character.isprintable() else "\ufffd" for character in text))


def _table(summary: Mapping[str, Any], source: str) -> Table:
    table = Table(
        title=plain(source), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_header=False
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for key, label in COUNTS.items():
        table.add_row(label, f"{summary[key]:,}")
    table.add_section()
    for name in ("observation", "action"):
        for path, leaf in spaces.leaves_of(spaces.from_json(summary[f"{name}_space"])).items():
            table.add_row(plain(f"{name} {path}".rstrip()), plain(str(leaf)))
    table.add_section()
    returns = summary["returns"]
    if returns["mean"] is None:
        table.add_row("return", "no rewards")
    else:
        table.add_row("return", "  ".join(f"{key} {returns[key]:,.6g}" for key in ("min", "mean", "max")))
    return table


def _findings(findings: list[dict[str, Any]]) -> Iterator[RenderableType]:
    for finding in findings:
        style = STYLES[finding["severity"]]
        heading = Text.assemble((f"{finding['severity']:>7} ", style), (finding["id"], "bold"))
        if finding["rows"]:
            rows = ", ".join(f"{row:,}" for row in finding["rows"])
            more = " …" if finding["count"] > len(finding["rows"]) else ""
            heading.append(f"  rows {rows}{more}", "dim")
        yield heading
        yield Padding(plain(finding["message"]), (0, 0, 0, 8))


def _verdict(findings: list[dict[str, Any]]) -> Text:
    errors = sum(finding["severity"] == "error" for finding in findings)
    if errors:
        things = "one thing makes" if errors == 1 else f"{errors} things make"
        return Text(f"\nNot fit for training: {things} it wrong (see above).", STYLES["error"])
    return Text("\nFit for training.", "green")
