"""How a training run ends. The value of each outcome is what people are told."""

import enum


class Outcome(enum.Enum):
    """Why the loop returned."""

    COMPLETED = "All steps are done."
    STOPPED = "The loop was asked to stop and did so at the end of a chunk."
    PREEMPTED = "A signal ended the run; its last step is in a checkpoint. Continue with --resume."
    NON_FINITE = "A value became NaN or infinite; the last good state is in a checkpoint."
    DIVERGED = "Values left every bound that the rewards allow; the last good state is in a checkpoint."
    STORAGE = (
        "The last checkpoints could not be written; the older ones are intact. Make room, then use --resume."
    )

    UNSAFE = "The mean return of the last episodes fell below its bound; the policy is in a checkpoint."

    @property
    def exit_code(self) -> int:
        """What the command line returns."""
        return {"NON_FINITE": 3, "DIVERGED": 3, "PREEMPTED": 75, "STORAGE": 1, "UNSAFE": 4}.get(self.name, 0)
