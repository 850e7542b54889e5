"""SIGTERM and Ctrl-C in `suture train`, `finetune` and `loop`, from the command's first moment to its last.

Before there is a run they end the process where it stands: nothing was begun. While a run is under way they
are noted, and the loop ends at its next chunk with a checkpoint. After that they have nothing left to stop.
"""

import os
import signal
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import FrameType

NUMBERS = (signal.SIGTERM, signal.SIGINT)
PREEMPTED = 75
AFTERWARDS = {signal.SIGTERM: signal.SIG_IGN, signal.SIGINT: signal.SIG_DFL}
"""Once the work is done SIGTERM has nothing to stop, and Ctrl-C cuts short what is left without a word."""


def heed(arguments: Sequence[str]) -> None:
    """From now on SIGTERM and Ctrl-C end what trains at once with exit code 75, until there is a run.

    arguments: of the command line; other commands keep Python's ways. Does nothing outside the main thread.
    """
    if arguments[:1] in (["train"], ["finetune"], ["loop"]) and _in_main_thread():
        for number in NUMBERS:
            signal.signal(number, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    """Nothing is unwound: an exception in the midst of JAX's own code can be lost, or crash the process."""
    shown = "\r\x1b[?25h" if os.isatty(2) else ""  # a progress bar may have hidden the cursor
    said = (
        f"{shown}suture: {signal.Signals(number).name} came before the first step: nothing was begun or "
        "changed. Give the command again (with --resume it continues a run that there is).\n"
    )
    os.write(2, said.encode())
    os._exit(PREEMPTED)


@contextmanager
def noted() -> Generator[list[int]]:
    """While inside, SIGTERM and Ctrl-C go into the list instead of ending the process.

    A second Ctrl-C raises KeyboardInterrupt, for those who cannot wait for the checkpoint.
    """
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)

    if not _in_main_thread():
        yield asked
        return
    before = {number: signal.signal(number, note) for number in NUMBERS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, AFTERWARDS[number] if handler is _leave else handler)


def let_go() -> None:
    """The command is over: what `heed` made of the signals no longer holds."""
    for number in NUMBERS if _in_main_thread() else ():
        if signal.getsignal(number) is _leave:
            signal.signal(number, AFTERWARDS[number])


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
