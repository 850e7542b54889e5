"""`suture theory`: the lecture's claims, checked while one waits."""

import json as text
from pathlib import Path
from typing import Annotated

import tyro

from suture.cli.options import Flag, arg


def theory(
    section: Annotated[
        tyro.conf.Positional[str | None], arg("explain one section, such as 8.2", metavar="SECTION")
    ] = None,
    plot: Annotated[Path | None, arg("with a section: draw its curves into this SVG file")] = None,
    json: Annotated[Flag, arg("print one JSON list of rows")] = False,
) -> int:
    """Check what the lecture claims: a verdict with numbers for each, or one section with its proof."""
    from rich.console import Console

    from suture.report.theory import draw_plots, render_section, render_table
    from suture.storage.atomic import write_file
    from suture.theory.table import examine, plots_of

    examined = examine(section)
    if plot is not None:
        write_file(plot, draw_plots(plots_of(examined)).encode(), point="plot")
    if json:
        rows = [one.row() if section is None else one.to_json() for one in examined]
        print(text.dumps(rows, allow_nan=False))
    else:
        Console(highlight=False).print((render_table if section is None else render_section)(examined))
    return 0 if all(one.found.agrees for one in examined) else 1
