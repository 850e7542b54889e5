"""A headless Chromium, driven over its DevTools pipe by the standard library alone."""

import base64
import contextlib
import fcntl
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-extensions", "--disable-background-networking", "--remote-debugging-pipe",
)  # fmt: skip

SAID = ("Log.entryAdded", "Runtime.consoleAPICalled", "Page.javascriptDialogOpening")
PLACE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Tab:
    """One page.   said: what it wrote to its console or its log, refusals of its own policy among it."""

    def __init__(self, write: int, read: int):
        self._write, self._read, self._buffer = write, read, b""
        self._numbers, self._session, self.said = itertools.count(1), "", list[str]()
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its answer."""
        number = next(self._numbers)
        told: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            told["sessionId"] = self._session
        os.write(self._write, json.dumps(told).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def wait(self, event: str) -> None:
        """Until the browser tells of an event."""
        while self._next().get("method") != event:
            pass

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            read = os.read(self._read, 1 << 16)
            assert read, "the browser has ended"
            self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(line)
        if message.get("method") in SAID:
            self.said.append(json.dumps(message["params"]))
        return message

    def show(self, file: Path, *, width: int, dark: bool = False, media: str = "screen") -> None:
        """Open a file on a screen of some width."""
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", **screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.ask("Page.navigate", url=file.as_uri())
        self.wait("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """The value of an expression in the page, beside its own policy."""
        told = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.ask("Page.printToPDF", preferCSSPageSize=True)["data"])


@contextmanager
def opened() -> Generator[Tab]:
    """A browser with one page, which ends with the block."""
    assert CHROMIUM is not None
    (its, write), (read, answers) = os.pipe(), os.pipe()
    high = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (its, answers)]  # clear of 3 and 4, where it looks
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [sys.executable, "-c", PLACE, *map(str, high), CHROMIUM, *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=high, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for one in (its, answers, *high):
            os.close(one)
        try:
            yield Tab(write, read)
        finally:
            process.kill()
            process.wait()
            os.close(write)
            os.close(read)


def text_of(pdf: bytes) -> list[str]:
    """What a PDF of Chromium's shows, run together without spaces: once by each of its fonts' tables."""
    parts = list[str]()
    for found in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        with contextlib.suppress(zlib.error):
            parts.append(zlib.decompress(found[1]).decode("latin-1"))
    shown = [hexes for part in parts if " Tf" in part for hexes in re.findall(r"<([0-9A-Fa-f]+)>", part)]
    glyphs = [int(text[at : at + 4], 16) for text in shown for at in range(0, len(text), 4)]
    return ["".join(table.get(one, "") for one in glyphs) for table in map(_table, parts) if table]


def _table(part: str) -> dict[int, str]:
    """Glyph -> letter, of a ToUnicode table; empty for anything else."""
    table = dict[int, str]()
    for block in re.findall(r"beginbfchar(.*?)endbfchar", part, re.DOTALL):
        for glyph, letter in re.findall(r"<(\w+)> <(\w+)>", block):
            table[int(glyph, 16)] = chr(int(letter, 16))
    for block in re.findall(r"beginbfrange(.*?)endbfrange", part, re.DOTALL):
        for first, last, letter in re.findall(r"<(\w+)> <(\w+)> <(\w+)>", block):
            for step in range(int(last, 16) - int(first, 16) + 1):
                table[int(first, 16) + step] = chr(int(letter, 16) + step)
    return table
