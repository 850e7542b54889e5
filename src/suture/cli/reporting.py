"""`suture report`: one self-contained page for runs and logs."""

from pathlib import Path
from typing import Annotated

import tyro

from suture.cli.options import ReadingOptions, Reads, arg
from suture.errors import ConfigError

Sources = Annotated[
    tyro.conf.Positional[tuple[Path, ...]],
    arg("run folders, logs, and folders of suture overestimation", metavar="RUN|DATA"),
]


def report(
    sources: Sources,
    out: Annotated[Path, arg("the page")] = Path("report.html"),
    reading: Reads = ReadingOptions(),  # noqa: B008
    title: Annotated[str | None, arg("its title; default: what it is about")] = None,
) -> int:
    """Make one HTML page, without scripts or network: data audit, learning, trust, provenance."""
    from suture.report.make import make
    from suture.storage.atomic import write_file

    if not sources:
        raise ConfigError("report needs at least one run folder or log: suture report RUN --out report.html")
    page = make(sources, schema=reading.schema, reading=reading.reading, title=title)
    write_file(out, page.encode(), point="report")
    print(out)
    return 0
