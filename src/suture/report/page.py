"""A report as one HTML file, without scripts, fonts or network: what it shows was there when it was made."""

import base64
import re
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import jinja2

from suture import __version__
from suture.report.story import Figure, Picture, Story

TEMPLATE = Path(__file__).with_name("page.html")
TAG = r"""<[a-zA-Z/](?:[^<>"']|"[^"]*"|'[^']*')*>"""
LEAST = 0.7
INK = {
    "#333": 1.0,
    "#555": 0.85,
    "#888": 0.6,
    "#e6e6e6": 0.15,
    "#000": 1.0,
    "#000000": 1.0,
    "black": 1.0,
    "#ddd": 0.2,
}
"""Greys of the drawings -> how much of the page's ink they are, in the light as in the dark."""


def page(title: str, stories: Sequence[Story]) -> str:
    """The page as text. All text of the stories is escaped; drawings are ours and are taken as they are."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    numbers = count(1)

    def drawn(figure: Figure) -> Any:
        return jinja2.utils.markupsafe.Markup(themed(figure.svg, f"f{next(numbers)}-"))

    def embedded(picture: Picture) -> str:
        return f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"

    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        title=title, stories=list(stories), version=__version__, drawn=drawn,
        embedded=embedded, made=time.strftime("%Y-%m-%d %H:%M"),
    )  # fmt: skip


def themed(svg: str, prefix: str) -> str:
    """A drawing for a page: greys follow its ink, the ground is clear, and ids are its own.

    Its own roles and labels are taken away: the figure around it says what it shows. It is never drawn at
    less than `LEAST` of its size: where a screen is narrower, the figure scrolls. Only tags are rewritten:
    what it says is left as it is.
    """
    svg = re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>", "", svg)
    svg = re.sub(TAG, lambda tag: _themed_tag(tag[0], prefix), svg)
    width = re.search(r'<svg [^>]*?\bwidth="(\d+(?:\.\d+)?)"', svg)
    least = f' style="min-width: {LEAST * float(width[1]):.0f}px"' if width else ""
    return svg.replace("<svg ", f'<svg aria-hidden="true" focusable="false"{least} ', 1)


def _themed_tag(tag: str, prefix: str) -> str:
    tag = re.sub(r'\s(?:aria-[a-z]+|role)="[^"]*"', "", tag)
    tag = re.sub(r'\sid="([^"]+)"', rf' id="{prefix}\1"', tag)
    tag = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", tag)
    tag = re.sub(
        r'^(<rect width="\d+(?:\.\d+)?" height="\d+(?:\.\d+)?") fill="white"', r'\1 fill="none"', tag
    )
    for grey, share in INK.items():
        for what in ("fill", "stroke"):
            tag = tag.replace(f' {what}="{grey}"', f' {what}="currentColor" {what}-opacity="{share}"')
    return tag
