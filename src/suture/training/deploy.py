"""A trained policy with its scales: observations of the data in, actions of the data out."""

from typing import Any

import equinox as eqx
import jax
import numpy as np

from suture import spaces
from suture.data.normalise import Normaliser
from suture.data.places import Names
from suture.errors import RefusedInput
from suture.keys import key_for
from suture.nets.policies import Policy
from suture.spaces import Array as HostArray
from suture.spaces import Space
from suture.training.accept import as_stored, is_single


@eqx.filter_jit
def _mode(policies: Policy, observation: Any) -> Any:
    return jax.vmap(lambda policy, seen: policy(seen).mode())(policies, observation)


@eqx.filter_jit
def _sample(policies: Policy, observation: Any, seed: Any) -> Any:
    def one(policy: Policy, seen: Any) -> Any:
        return policy(seen).sample(key_for(seed, "act"))

    return jax.vmap(one)(policies, observation)


class TrainedPolicies:
    """The policies of all members of a run, acting together.

    policies: a Policy whose arrays have a leading member dimension.
    """

    def __init__(self, policies: Policy, normaliser: Normaliser, observation: Space, action: Space,
                 *, chunk: int = 1, names: Names | None = None):  # fmt: skip
        self.policies, self.normaliser, self.chunk, self.names = policies, normaliser, chunk, names or {}
        self.observation_space, self.action_space = observation, action

    def __len__(self) -> int:
        return len(jax.tree.leaves(self.policies)[0])

    def act(self, observation: Any, *, sample: bool = False, seed: int = 0) -> HostArray:
        """Actions (members, batch, ...) for observations (members, batch, ...), in the data's units.

        sample: draw from the policy instead of taking its mode; `seed` decides the draw.
        Where a decision is a chunk of actions, they are (members, batch, chunk, ...).
        """
        normal = self.normaliser.normalise(as_stored(observation, self.observation_space))
        unit = _sample(self.policies, normal, np.uint32(seed)) if sample else _mode(self.policies, normal)
        unit = np.asarray(unit)
        if self.chunk > 1:
            unit = unit.reshape(*unit.shape[:-1], self.chunk, -1)
        return np.asarray(self.normaliser.from_unit(unit))


class TrainedPolicy:
    """One member's policy."""

    def __init__(self, all_members: TrainedPolicies, member: int):
        if not 0 <= member < len(all_members):
            raise RefusedInput(f"The run has members 0 to {len(all_members) - 1}, not {member}.")
        one = jax.tree.map(lambda leaf: leaf[member : member + 1], all_members.policies)
        space, action = all_members.observation_space, all_members.action_space
        self._one = TrainedPolicies(
            one, all_members.normaliser, space, action, chunk=all_members.chunk, names=all_members.names
        )

    @property
    def observation_space(self) -> Space:
        """What `act` takes."""
        return self._one.observation_space

    @property
    def action_space(self) -> Space:
        """What `act` returns."""
        return self._one.action_space

    @property
    def observation_names(self) -> tuple[str, ...] | None:
        """The log's names of what `act` takes, in its order; None where the log had none."""
        return self._one.names.get("observation")

    @property
    def action_names(self) -> tuple[str, ...] | None:
        """The log's names of what `act` returns, in its order; None where the log had none."""
        return self._one.names.get("action")

    def act(self, observation: Any, *, sample: bool = False, seed: int = 0) -> HostArray:
        """The action for one observation, or a batch of actions for a batch of observations.

        observation: an array, or a dictionary of arrays, in the units and with the names of the log. Of a run
            with frame_stack = k an image is the last k of its episode in the channels, the oldest first; an
            episode's first one is repeated until there are k.
        Returns an array in the log's units, clipped to its bounds; choices are integers. Where a decision is
        a chunk of actions, they have a dimension of their own in front, to be played in this order.
        """
        single = is_single(observation, self.observation_space)
        add = (
            (lambda array: np.asarray(array)[None, None])
            if single
            else (lambda array: np.asarray(array)[None])
        )
        actions = self._one.act(spaces.map_arrays(add, observation), sample=sample, seed=seed)
        return actions[0, 0] if single else actions[0]
