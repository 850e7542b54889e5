"""Every exception that Suture raises on purpose.

    SutureError                      exit code 1
    ├── RefusedInput                 exit code 2: what was given cannot be used as it is
    │   ├── ConfigError              a field, option or name that does not exist or is out of bounds
    │   ├── FormatError              a file that cannot be read as what it claims to be
    │   │   └── HostileFile          a file that asks for something no log needs (links, pickles, bombs)
    │   ├── SchemaNeeded             a table whose columns have no agreed meaning; carries a proposal
    │   ├── DataRefused              the gate found what makes training wrong; carries the findings
    │   └── RunMismatch              a run folder that does not fit what was asked of it
    ├── StorageError                 the disk refused; what was there before is intact
    │   ├── CheckpointCorrupt        no whole checkpoint is left; each reason is listed
    │   └── RunLocked                another process writes to this run folder
    └── OutOfBudget                  the data or the program needs more memory than allowed

Every message says what is wrong, where, what was expected, what was found, and what to do.
"""

import json
from typing import Any


class SutureError(Exception):
    """Base class of every error raised on purpose."""

    exit_code = 1


class RefusedInput(SutureError):
    """The input cannot be used as it is."""

    exit_code = 2


class ConfigError(RefusedInput):
    """A field, option or name does not exist or is out of bounds."""


class FormatError(RefusedInput):
    """A file cannot be read as what it claims to be."""


class HostileFile(FormatError):
    """A file asks for something that no log needs: a link, a pickle, an impossible size."""


class SchemaNeeded(RefusedInput):
    """A table has no schema. `proposal` is one that fits what the columns look like (JSON-able).

    `advice`: what was guessed and what to do, without the proposal, which the message shows too.
    """

    def __init__(self, advice: str, proposal: dict[str, Any]):
        super().__init__(f"{advice}\n{json.dumps(proposal, indent=2)}")
        self.advice, self.proposal = advice, proposal


class DataRefused(RefusedInput):
    """The gate found what makes training wrong. `findings` lists all that was found."""

    def __init__(self, message: str, findings: tuple[Any, ...] = ()):
        super().__init__(message)
        self.findings = findings


class RunMismatch(RefusedInput):
    """A run folder does not fit what was asked of it (other algorithm, data, format or device)."""


class StorageError(SutureError):
    """The disk refused. What was stored before is intact."""


class CheckpointCorrupt(StorageError):
    """No whole checkpoint is left; the message lists why each was rejected."""

    exit_code = 2


class RunLocked(StorageError):
    """Another process writes to this run folder."""

    exit_code = 2


class OutOfBudget(SutureError):
    """The data or the program needs more memory than allowed."""

    exit_code = 2
