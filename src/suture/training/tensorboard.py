"""TensorBoard event files: the only door to tensorboardX (extra: tensorboard)."""

import contextlib
from collections.abc import Callable, Generator
from pathlib import Path

from suture.errors import ConfigError


@contextlib.contextmanager
def event_files(folder: Path, members: int) -> Generator[Callable[[int, int, dict[str, float]], None]]:
    """A function `write(member, step, values)` into one event file a member."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "TensorBoard files need an extra. Install it: pip install 'suture[tensorboard]'"
        ) from error
    writers = [SummaryWriter(str(folder / f"member-{member:02d}")) for member in range(members)]

    def write(member: int, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            writers[member].add_scalar(name, value, step)

    try:
        yield write
    finally:
        for writer in writers:
            writer.close()
