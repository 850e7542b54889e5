"""TensorBoard event files: the only door to tensorboardX (extra: tensorboard).

Its writer works in a thread of its own, which a full disk kills and then training waits for ever: here each
call appends whole records, as every other file of a run is written.
"""

import importlib.util
import struct
import time
from pathlib import Path
from typing import Any

from suture.errors import ConfigError
from suture.storage import atomic


def require() -> None:
    """`ConfigError` where the extra is not installed; asked before anything is begun."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise ConfigError(
            "TensorBoard event files need the module tensorboardX, which is not installed. Try: pip install "
            "tensorboardX, or leave out --tensorboard."
        )


class EventFiles:
    """One event file a member, in folder/member-00, ...

    first: the step at which the run starts or goes on. Of what an interrupted run wrote after that step,
    TensorBoard shows only what is written again.
    """

    def __init__(self, folder: Path, members: int, first: int):
        from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore

        start = SessionLog(status=SessionLog.START)
        name = f"events.out.tfevents.{time.time():.6f}"
        self._paths = [folder / f"member-{member:02d}" / name for member in range(members)]
        for path in self._paths:
            atomic.make_folder(path.parent)
            head = Event(wall_time=time.time(), file_version="brain.Event:2")
            atomic.append(path, _record(head) + _record(Event(step=first + 1, session_log=start)))

    def write(self, member: int, step: int, values: dict[str, float]) -> None:
        """The values of one member at one step. Raises `StorageError`; then none of them was written."""
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore
        from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore

        shown = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        event = Event(wall_time=time.time(), step=step, summary=Summary(value=shown))
        atomic.append(self._paths[member], _record(event))


def _record(event: Any) -> bytes:
    """An event as a record of the file: length, its checksum, content, its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    content: bytes = event.SerializeToString()
    length = struct.pack("<Q", len(content))
    return b"".join(
        (length, struct.pack("<I", masked_crc32c(length)), content, struct.pack("<I", masked_crc32c(content)))
    )
