"""Scales of observations, actions and rewards, fitted to the training part and carried by the policy.

Everything is affine, in operators that NumPy and JAX arrays share, so the same object serves the gate,
the compiled update and the served policy.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.split import TrainPart
from suture.errors import ConfigError, FormatError
from suture.spaces import Array, Box

ObservationRule: TypeAlias = Literal["standardise", "none"]
RewardRule: TypeAlias = Literal["none", "return-range", "standardise"]
CHUNK_BYTES = 1 << 24
RETURN_RANGE = 1000.0


@dataclasses.dataclass(frozen=True, eq=False)
class Affine:
    """`(x - shift) / scale` per element; both float32 of the shape of one row, scale > 0."""

    shift: Array
    scale: Array

    def __post_init__(self) -> None:
        fits = self.shift.shape == self.scale.shape and bool(np.isfinite(self.shift).all())
        if not (fits and bool(np.isfinite(self.scale).all()) and bool((self.scale > 0).all())):
            raise FormatError("A normaliser needs finite shifts and finite scales above 0, of one shape.")

    def apply(self, array: Any) -> Any:
        return (array - self.shift) / self.scale

    def invert(self, array: Any) -> Any:
        return array * self.scale + self.shift

    def to_json(self) -> dict[str, Any]:
        return {"shift": self.shift.tolist(), "scale": self.scale.tolist()}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Affine":
        return Affine(np.array(values["shift"], np.float32), np.array(values["scale"], np.float32))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Normaliser:
    """Affine maps of a policy's inputs and outputs. Every method takes one value or a batch.

    observation: leaf path -> map; leaves without one (images, choices) pass unchanged.
    action: from the data's bounds to [-1, 1]; None where actions are choices.
    reward_scale, reward_shift: reward * reward_scale + reward_shift.
    """

    observation: dict[str, Affine] = dataclasses.field(default_factory=dict[str, Affine])
    action: Affine | None = None
    reward_scale: float = 1.0
    reward_shift: float = 0.0

    @staticmethod
    def fit(
        train: TrainPart,
        *,
        observation: ObservationRule = "standardise",
        epsilon: float = 1e-3,
        reward: RewardRule = "none",
        reward_scale: float = 1.0,
        reward_shift: float = 0.0,
    ) -> "Normaliser":
        """Fit to the training part alone.

        observation: "standardise" is (x - mean) / (standard deviation + epsilon); constant columns are
            only centred.   reward: "return-range" multiplies by 1000 / (largest - smallest return);
            "standardise" gives rewards mean 0 and deviation 1, which changes what is optimal where
            episodes terminate.   reward_scale, reward_shift: applied after the rule.
        Source: Kostrikov et al. 2021 (arXiv:2110.06169), section 5, for the range of returns.
        """
        if not isinstance(cast(object, train), TrainPart):
            found = type(train).__name__
            raise ConfigError(
                f"A normaliser sees the training part only: pass split(data).train, not {found}."
            )
        data = train.dataset
        scale, shift = _reward_map(data, reward)
        return Normaliser(
            observation=_standardise(data, epsilon) if observation == "standardise" else {},
            action=_to_unit(data.action_space) if isinstance(data.action_space, Box) else None,
            reward_scale=scale * reward_scale,
            reward_shift=shift * reward_scale + reward_shift,
        )

    def normalise(self, observation: Any) -> Any:
        """An observation (tree) in the scale that networks see."""
        return self._walk(observation, "", "apply")

    def denormalise(self, observation: Any) -> Any:
        """An observation (tree) back in the data's units."""
        return self._walk(observation, "", "invert")

    def to_unit(self, action: Any) -> Any:
        """An action of the data in [-1, 1] per dimension; choices pass unchanged."""
        return action if self.action is None else self.action.apply(action)

    def from_unit(self, action: Any) -> Any:
        """An action in the data's units from [-1, 1], beyond which it is clipped; choices pass unchanged."""
        return action if self.action is None else self.action.invert(action.clip(-1.0, 1.0))

    def scale_reward(self, reward: Any) -> Any:
        """A reward in the scale that critics see."""
        return reward * np.float32(self.reward_scale) + np.float32(self.reward_shift)

    def reward_limit(self, train: TrainPart, penalty: float = 0.0) -> float | None:
        """The largest absolute reward of a part, scaled and then lowered by a penalty; None without rewards.

        Raises ConfigError where it leaves float32.
        """
        reward = train.dataset.reward
        if reward is None:
            return None
        extremes = np.array([reward.min(), reward.max()])
        with np.errstate(over="ignore"):
            limit = float(np.abs(self.scale_reward(extremes)).max()) + penalty
        if not np.isfinite(limit):
            raise ConfigError(
                f"Rewards of {extremes[0]:g} to {extremes[1]:g} leave float32 (3.4e38) when they are scaled "
                "and shifted. Lower reward_scale or reward_shift."
            )
        return limit

    def to_json(self) -> dict[str, Any]:
        """JSON-able values; floats survive the round trip exactly."""
        return {
            "observation": {path: affine.to_json() for path, affine in self.observation.items()},
            "action": None if self.action is None else self.action.to_json(),
            "reward_scale": self.reward_scale,
            "reward_shift": self.reward_shift,
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Normaliser":
        """The normaliser that `to_json` wrote; `FormatError` for anything else."""
        try:
            action = values["action"]
            return Normaliser(
                observation={str(p): Affine.from_json(leaf) for p, leaf in values["observation"].items()},
                action=None if action is None else Affine.from_json(action),
                reward_scale=float(values["reward_scale"]),
                reward_shift=float(values["reward_shift"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"A normaliser is not readable: {error!r}.") from error

    def _walk(self, tree: Any, path: str, direction: Literal["apply", "invert"]) -> Any:
        if isinstance(tree, dict):
            return {
                name: self._walk(inner, f"{path}/{name}" if path else name, direction)
                for name, inner in cast("dict[str, Any]", tree).items()
            }
        affine = self.observation.get(path)
        return tree if affine is None else getattr(affine, direction)(tree)


def _chunks(array: Array) -> Iterator[NDArray[np.float64]]:
    """Blocks of rows in float64: a memory-mapped array is never copied whole."""
    row_bytes = 8 * max(1, int(np.prod(array.shape[1:], dtype=np.int64)))
    step = max(1, CHUNK_BYTES // row_bytes)
    for start in range(0, len(array), step):
        yield np.asarray(array[start : start + step], np.float64)


def _moments(array: Array) -> tuple[Array, Array]:
    """Mean and standard deviation per element, in one pass; of a constant float32 it is exactly 0.

    Source: Chan, Golub & LeVeque 1979, pairwise merging of means and squared deviations.
    """
    count, mean = 0, np.zeros(array.shape[1:])
    squares = np.zeros_like(mean)
    for chunk in _chunks(array):
        centre, total = chunk.mean(0), count + len(chunk)
        step = centre - mean
        squares += np.square(chunk - centre).sum(0) + np.square(step) * (count * len(chunk) / total)
        mean += step * (len(chunk) / total)
        count = total
    return mean, np.sqrt(squares / max(count, 1))


def _standardise(data: Dataset, epsilon: float) -> dict[str, Affine]:
    leaves, found = spaces.leaves_of(data.observation_space), dict[str, Affine]()
    for path, array in spaces.arrays_of(data.observation).items():
        leaf = leaves[path]
        if isinstance(leaf, Box) and not leaf.is_image:
            mean, deviation = _moments(array)
            scale = np.where(deviation > 0, deviation + epsilon, 1.0)
            found[path] = Affine(mean.astype(np.float32), scale.astype(np.float32))
    return found


def _to_unit(space: Box) -> Affine | None:
    """From the bounds of a space to [-1, 1]; a dimension without width is only centred."""
    if space.low is None or space.high is None:
        return None
    low, high = (np.reshape(bound, space.shape) for bound in (space.low, space.high))
    half = np.where(high > low, (high - low) / 2, 1.0)
    return Affine(((high + low) / 2).astype(np.float32), half.astype(np.float32))


def _reward_map(data: Dataset, rule: RewardRule) -> tuple[float, float]:
    """Scale and shift of a rule; 1 and 0 where there is nothing to scale."""
    if rule == "none":
        return 1.0, 0.0
    returns = data.returns
    if data.reward is None or returns is None:
        raise ConfigError(f"reward={rule!r} needs rewards, and {data.source or 'the log'} has none.")
    if rule == "return-range":
        spread = float(returns.max() - returns.min())
        return (RETURN_RANGE / spread, 0.0) if spread > 0 else (1.0, 0.0)
    mean, deviation = (float(value) for value in _moments(data.reward))
    return (1.0 / deviation, -mean / deviation) if deviation > 0 else (1.0, 0.0)
