"""How a policy acts where it is to learn from what follows: sampled, or with noise where it has none."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from suture import spaces
from suture.keys import Key, key_for
from suture.nets.distributions import Greedy, Point
from suture.nets.policies import Policy
from suture.nets.search import SearchPolicy
from suture.objectives.maximise import CrossEntropy
from suture.spaces import Array as HostArray
from suture.spaces import Discrete
from suture.training.accept import as_stored
from suture.training.program import State
from suture.training.run import Recipe

Act: TypeAlias = Callable[[Any], HostArray]
GREEDY = 0.05
"""Share of random choices of a policy that otherwise always takes its best one."""


class Explorer:
    """Acts for the one member of a run.

    noise: of deterministic policies.   random: share of random decisions; None: as the policy needs it.
    seed: with the number of the first episode that is played it decides every draw.
    """

    def __init__(self, recipe: Recipe, *, noise: float, random: float | None, seed: int):
        self.recipe, self.noise, self.random, self.seed = recipe, noise, random, seed
        self._form: Any = None
        self._drawn = jax.jit(self._draw)

    def act(self, state: State, first: int) -> Act:
        """A function from observations (1, n, ...) to actions, for episodes from number `first` on.

        state: of the one member. It must not be given to a program before the last of the actions.
        """
        scale, space, chunk = (
            self.recipe.normaliser,
            self.recipe.seen,
            self.recipe.algorithm.decision_steps,
        )
        leaves, self._form = jax.tree.flatten(state)  # once: it takes as long as an action
        calls = 0

        def act(observation: Any) -> HostArray:
            nonlocal calls
            seen = as_stored(spaces.map_arrays(lambda array: array[0], observation), space)
            unit = np.asarray(self._drawn(leaves, scale.normalise(seen), np.uint32(first), np.uint32(calls)))
            calls += 1
            if chunk > 1:
                unit = unit.reshape(len(unit), chunk, -1)
            return np.asarray(scale.from_unit(unit))[None]

        return act

    def _draw(self, leaves: Any, seen: Any, first: Any, call: Any) -> Any:
        own = jax.tree.unflatten(self._form, [leaf[0] for leaf in leaves])
        policy = self.recipe.algorithm.policy(own)
        key = jax.random.fold_in(key_for(self.seed, "act", first), call)
        key_own, key_noise, key_which, key_any = jax.random.split(key, 4)
        found = policy(seen)
        action = found.sample(key_own)
        if isinstance(found, Point):
            action = jnp.clip(action + self.noise * jax.random.normal(key_noise, action.shape), -1.0, 1.0)
        share = self.random if self.random is not None else GREEDY * isinstance(found, Greedy)
        if not share:
            return action
        which = jax.random.uniform(key_which, (len(action),)) < share
        other = self._anything(policy, action, key_any)
        return jnp.where(which.reshape(-1, *(1,) * (action.ndim - 1)), other, action)

    def _anything(self, policy: Policy, action: Any, key: Key) -> Any:
        """Decisions drawn from all that there are, of the shape of `action`."""
        if isinstance(self.recipe.action, Discrete):
            return jax.random.randint(key, action.shape, 0, self.recipe.action.n).astype(action.dtype)
        if isinstance(policy, SearchPolicy) and isinstance(policy.maximise, CrossEntropy):
            return policy.maximise.anything(len(action), key)
        return jax.random.uniform(key, action.shape, minval=-1.0, maxval=1.0)
