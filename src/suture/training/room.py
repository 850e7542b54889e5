"""Whether an update fits into memory, before it is tried: out of memory, a system may end the process."""

import dataclasses
import math

import jax

from suture.data.stage import Stage
from suture.errors import OutOfBudget
from suture.training.device import memory_left
from suture.training.program import Program
from suture.training.run import Recipe

DOUBT = 2.0
"""The rule of thumb says 1.5 (cql) to 3.1 times (iql) what the compiler counts, for networks of matrices."""


def require_room(recipe: Recipe, stage: Stage) -> None:
    """Refuse (`OutOfBudget`) updates that need more memory than is left, with both numbers.

    The compiler is asked, which takes seconds, only where a rule of thumb says that the room may be short.
    """
    left = memory_left()
    if DOUBT * _roughly(recipe, stage) <= left:
        return
    program = Program(
        recipe.algorithm, recipe.spec, stage.eligible, streamed=False, continue_diverged=True,
        crop=recipe.settings.random_crop,
    )  # fmt: skip
    some = dataclasses.replace(stage, rows=stage.rows[:1]).everything()
    needed = program.workspace(recipe.sweep.members, some)
    if needed > left:
        raise OutOfBudget(
            f"One update needs {needed:,} bytes beside the data and the networks; {left:,} are left. "
            f"Lower --batch-size (now {recipe.algorithm.batch_size:,}), --hidden or --seeds. Checkpoints are "
            "intact."
        )


def _roughly(recipe: Recipe, stage: Stage) -> int:
    """Bytes of a batch and of what every array of the state makes of it, its last axis being the outputs."""
    shapes = [leaf.shape[1:] for leaf in jax.tree.leaves(recipe.template())]
    outputs = sum(math.prod(shape[:-2]) * shape[-1] for shape in shapes if shape)
    row = stage.batch_bytes + 4 * outputs
    return len(recipe.sweep.members) * recipe.algorithm.batch_size * stage.window * row
