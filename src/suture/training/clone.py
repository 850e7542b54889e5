"""A finished clone of the behaviour, for methods that compare their policy with one (`Algorithm.adopt`)."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from suture.algorithms.bc import BC
from suture.errors import RunMismatch
from suture.training import checkpoint
from suture.training.outcome import Outcome
from suture.training.program import State
from suture.training.run import Recipe, Run


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Clone:
    """A run of behavioural cloning that ended well."""

    run: Run

    @staticmethod
    def of(source: Run | Path | str) -> "Clone":
        """Raises RunMismatch where it is another run, or none that is finished."""
        run = source if isinstance(source, Run) else Run(source)
        if not isinstance(run.algorithm, BC):
            raise RunMismatch(
                f"{run.path} is a run of {run.algorithm.name}. A behaviour comes from bc (or filtered_bc)."
            )
        if run.outcome is not Outcome.COMPLETED:
            ended = "has not ended" if run.outcome is None else f"ended {run.outcome.name}"
            raise RunMismatch(f"{run.path} {ended}. Resume it to its end before its policy is a behaviour.")
        return Clone(run=run)

    def identity(self) -> dict[str, Any]:
        """What `config.json` keeps: where it came from, and which weights they were."""
        weights = checkpoint.weights(self.run.path / "checkpoints", self.run.newest.step)
        return {"path": str(self.run.path), **weights}

    def require_fit(self, recipe: Recipe) -> None:
        """Refuse a clone that sees or does something else than the run it is for, before that begins."""
        ours, theirs = recipe, self.run.recipe
        for what, one, other in (
            ("observations", ours.seen, theirs.seen),
            ("actions", ours.action, theirs.action),
        ):
            if one != other:
                raise RunMismatch(
                    f"{self.run.path} knows {what} {other}; this run has {one}. "
                    "Clone the log that you train on."
                )
        if _scales(ours) != _scales(theirs):
            raise RunMismatch(
                f"{self.run.path} was trained with other scales of observations or actions. Clone the log "
                "that you train on, with the same normalise, validation, split_by and seed."
            )
        if len(self.run) not in (1, len(recipe.sweep.members)):
            raise RunMismatch(
                f"{self.run.path} has {len(self.run)} members; this run has {len(recipe.sweep.members)}. "
                "Clone with one, which all will share, or with as many."
            )
        adopt, policies = jax.vmap(recipe.algorithm.adopt), self._policies(recipe)
        jax.eval_shape(adopt, recipe.template(), policies)

    def adopted(self, state: State, recipe: Recipe) -> State:
        """The state of all members with this behaviour.   ConfigError where the method takes none such."""
        return jax.vmap(recipe.algorithm.adopt)(state, self._policies(recipe))

    def _policies(self, recipe: Recipe) -> Any:
        """One for each member of the run that it is for: copies, for the loop consumes its state."""
        count = len(recipe.sweep.members)

        def spread(leaf: Any) -> Any:
            return jnp.array(jnp.broadcast_to(leaf, (count, *leaf.shape[1:])), copy=True)

        return jax.tree.map(spread, self.run.policies.policies)


def _scales(recipe: Recipe) -> dict[str, Any]:
    scales = recipe.normaliser.to_json()
    return {name: scales[name] for name in ("observation", "action")}
