"""What an algorithm is: its hyper-parameters, and three pure functions of a state.

    @dataclass(frozen=True)
    class Mine(Algorithm):
        name = "mine"
        rate: float = bounded(3e-4, above=0.0, help="step size")

        def init(self, spec, key): ...            # -> an immutable pytree, the state
        def update(self, state, batch, key): ...  # -> (state, metrics), pure: the loop compiles it
        def policy(self, state): ...              # -> the policy that the state holds

`suture.testing.check_algorithm` tests the contract, for ours and for yours.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from suture import config
from suture.config import bounded
from suture.data.dataset import Dataset
from suture.errors import ConfigError, DataRefused, RefusedInput
from suture.keys import Key
from suture.nets.encoder import Observation
from suture.nets.policies import Policy
from suture.spaces import Array as HostArray
from suture.spaces import Discrete, Space

Metrics: TypeAlias = dict[str, Float[Array, ""]]
Net = TypeVar("Net")
Aux = TypeVar("Aux")
S = TypeVar("S")


class Batch(eqx.Module):
    """Transitions, rows first. A column that the algorithm does not list in `needs` is None.

    action: continuous in [-1, 1], (batch, dimensions); or choices, (batch,).
    discount: 1, or 0 where the environment truly ended; the algorithm multiplies by its own discount.
        After n steps: their discounted rewards are `reward`, and `discount` holds the other n - 1 factors.
    next_observation: known wherever discount is not 0.
    next_action: what the log did next, where next_action_known is 1; anything where it is 0. Of chunks of
        actions it is (batch, chunk * dimensions), and known is (batch, chunk).
    return_to_go: discounted sum of the recorded rewards from this row on; an episode that was cut and paid
        the same all along is taken to go on like that.
    known: (batch, window) of an algorithm that keeps the window dimension: 1 where a row was recorded.
    """

    observation: Observation
    action: Array
    reward: Float[Array, " batch"] | None = None
    discount: Float[Array, " batch"] | None = None
    next_observation: Observation | None = None
    next_action: Array | None = None
    next_action_known: Float[Array, " batch *chunk"] | None = None
    return_to_go: Float[Array, " batch"] | None = None
    known: Float[Array, " batch window"] | None = None

    def with_known_next(self) -> "Batch":
        """Where an episode truly ended, the observation stands for the next one too.

        For methods that ask a policy there as well: what is recorded after a true end must not matter.
        """
        assert self.discount is not None
        goes_on = self.discount > 0

        def pick(after: Array, now: Array) -> Array:
            return jnp.where(goes_on.reshape(-1, *(1,) * (now.ndim - 1)), after, now)

        known = jax.tree.map(pick, self.next_observation, self.observation)
        return eqx.tree_at(lambda batch: batch.next_observation, self, known)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """The problem as the networks see it.

    action: a Box in [-1, 1] or Discrete.   steps: the length of the whole run, for learning-rate schedules.
    reward_limit: the largest absolute reward after scaling, or None without rewards.
    """

    observation: Space
    action: Space
    steps: int = 1_000_000
    reward_limit: float | None = None


class Trainable(eqx.Module, Generic[Net]):
    """A network and the state of its optimiser."""

    net: Net
    optimiser: Any

    @staticmethod
    def of(net: Net, optimiser: optax.GradientTransformation) -> "Trainable[Net]":
        return Trainable(net, optimiser.init(eqx.filter(net, eqx.is_inexact_array)))

    def descend(
        self, loss: Callable[[Net], tuple[Array, Aux]], optimiser: optax.GradientTransformation
    ) -> tuple["Trainable[Net]", Aux]:
        """One optimiser step down `loss(net) -> (scalar, metrics or whatever else was computed)`."""
        gradients, computed = eqx.filter_grad(loss, has_aux=True)(self.net)
        updates, state = optimiser.update(gradients, self.optimiser)
        return Trainable(eqx.apply_updates(self.net, updates), state), computed


def follow(target: Net, source: Net, rate: float | Array) -> Net:
    """Polyak averaging: the target moves by `rate` of the way to the source (Lillicrap et al. 2015)."""

    def move(old: Any, new: Any) -> Any:
        return old + rate * (new - old) if eqx.is_inexact_array(new) else new

    return jax.tree.map(move, target, source)


@dataclasses.dataclass(frozen=True)
class Algorithm(abc.ABC, Generic[S]):
    """A frozen dataclass of hyper-parameters with `init`, `update` and `policy`.

    name: as on the command line.   needs: the columns of `Batch` that `update` reads.
    actions: the kinds of action spaces that the method is defined for.
    preparation: fields that count first updates in which no value moves the policy, in their order, and
        whether meanwhile only a model of the behaviour learns (none does where a finished one is given).
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset(
        {"observation", "action", "reward", "discount", "next_observation"}
    )
    actions: ClassVar[frozenset[str]] = frozenset({"continuous", "discrete"})
    preparation: ClassVar[dict[str, bool]] = {}

    batch_size: int = bounded(
        256,
        at_least=1,
        unit="transitions",
        source="Haarnoja et al. 2018 (arXiv:1812.05905)",
        help="transitions per update",
    )

    def __post_init__(self) -> None:
        config.check(self)

    @abc.abstractmethod
    def init(self, spec: Spec, key: Key) -> S:
        """The state before the first update."""
        raise NotImplementedError

    @abc.abstractmethod
    def update(self, state: S, batch: Batch, key: Key) -> tuple[S, Metrics]:
        """One update: a pure function, compiled by the loop. Metrics are scalars."""
        raise NotImplementedError

    @abc.abstractmethod
    def policy(self, state: S) -> Policy:
        """The policy that the state holds."""
        raise NotImplementedError

    def adopt(self, state: S, behaviour: Policy) -> S:
        """The state with a finished model of the behaviour in the place of its own.

        behaviour: the policy of a run of behavioural cloning.   Raises ConfigError where it does not fit.
        """
        from suture.algorithms.table import ALGORITHMS

        takers = [name for name, kind in ALGORITHMS.items() if kind.adopt is not Algorithm.adopt]
        raise ConfigError(
            f"{self.name} takes no model of the behaviour. Those that do: {', '.join(sorted(takers))}."
        )

    @property
    def window(self) -> int:
        """How many rows of the log, one after the other, one element of a batch spans."""
        return 1

    @property
    def decision_steps(self) -> int:
        """How many actions one decision of the policy spans."""
        return 1

    def batch(self, columns: dict[str, Any]) -> Batch:
        """What `update` sees of the drawn rows.   columns: (batch, ...), or (batch, window, ...)."""
        return Batch(**columns)

    def value_limit(self, spec: Spec) -> float | None:
        """The largest absolute value that any policy can have, or None where no values are learned.

        The loop stops a run as DIVERGED when the metric `value/max_abs` exceeds it by far.
        """
        return None

    def rows(self, dataset: Dataset) -> HostArray:
        """Which rows may be sampled, (N,) bool: all, or those fit for bootstrapping where that is needed."""
        if "next_observation" in self.needs:
            return dataset.bootstrappable
        return np.ones(len(dataset), bool)

    def require(self, dataset: Dataset) -> None:
        """Refuse a dataset that this method cannot learn from."""
        kind = "discrete" if isinstance(dataset.action_space, Discrete) else "continuous"
        if kind not in self.actions:
            raise RefusedInput(
                f"{self.name} is defined for {' and '.join(sorted(self.actions))} actions; "
                f"{dataset.source} has {dataset.action_space}. Choose another algorithm."
            )
        if "reward" in self.needs and dataset.reward is None:
            raise DataRefused(
                f"{self.name} learns from rewards and {dataset.source} has none. "
                "Add a reward column, relabel the log, or clone it with bc."
            )
        if self.decision_steps > 1 and kind == "discrete":
            raise RefusedInput(
                f"{self.name}: chunks of actions are for continuous actions; {dataset.source} has "
                f"{dataset.action_space}. Leave out --chunk."
            )
        if not self.rows(dataset).any():
            raise DataRefused(
                f"{self.name} needs rows whose next observation is known; {dataset.source} has none."
            )


def scalars(**metrics: Array) -> Metrics:
    """Metrics as float32 scalars; `critic_loss` becomes `critic/loss`."""
    return {name.replace("_", "/", 1): jnp.asarray(value, jnp.float32) for name, value in metrics.items()}
