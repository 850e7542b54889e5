"""What a settled dataset shows beyond its flags: repeated rows, dead or drifting columns, odd scales."""

import numpy as np

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.findings import DONE, Finding, at, option, share, share_of
from suture.data.fingerprints import hash_episodes, hash_transitions, repeats
from suture.data.places import Names, column_name
from suture.spaces import Array, Box, Discrete

MANY = 0.01
SCALES_APART = 1e3
MOST_CHANNELS = 4
DRIFT = 0.97
DRIFT_STEPS = 20
PROBABILITY_SLACK = 1e-3


def find_repeats(data: Dataset, *, drop: bool, found: list[Finding]) -> Dataset:
    """Report repeated transitions and episodes (D13); leave repeated episodes out where asked."""
    hashes = hash_transitions(data)
    again = repeats(hashes)
    if not again.any():
        return data
    count = int(again.sum())
    message = (
        f"{share(count, len(data))} transitions occur before, equal in observation, action and reward. Where "
        "few things are seen and done that is so by nature; otherwise see whether rows were recorded twice."
    )
    alone = data.episodes == len(data)  # of one-step episodes, equal rows are equal decisions
    severity = "warning" if count >= MANY * len(data) and not alone else "info"
    found.append(at("duplicate-transitions", severity, again, message))
    twice = repeats(hash_episodes(data, hashes))
    if not twice.any() or data.episodes == len(data):
        return data
    copies = np.flatnonzero(twice)
    rows = data.episode_start[copies]
    message = f"{share(len(copies), data.episodes)} episodes repeat another one entirely"
    if drop:
        found.append(
            at("duplicates-dropped", "info", rows, f"{message}; they were left out, as asked. {DONE}")
        )
        return data.take_episodes(np.flatnonzero(~twice))
    message += f", as when logs are joined. Pass {option('drop_duplicates', True)} to keep one of each."
    found.append(at("duplicate-episodes", "warning", rows, message))
    return data


def find_columns(data: Dataset, found: list[Finding]) -> None:
    """Columns of observations and actions that are constant, drift, or differ much in scale (D15, D16)."""
    leaves = spaces.leaves_of(data.observation_space)
    vectors = dict[str, Array]()
    for path, array in spaces.arrays_of(data.observation).items():
        leaf = leaves[path]
        if isinstance(leaf, Box) and not leaf.is_image:
            vectors[f"observation/{path}" if path else "observation"] = array.reshape(len(array), -1)
            _find_bytes(path, array, found)
        elif isinstance(leaf, Box) and leaf.shape[0] <= MOST_CHANNELS < min(leaf.shape[1:]):
            _find_layout(path, leaf, len(data), found)
    if data.action.ndim == 2:
        _find_constant({**vectors, "action": data.action}, data.names, found)
    else:
        _find_constant(vectors, data.names, found)
    for name, array in vectors.items():
        _find_drift(name, array, data, found)
    _find_scales(vectors, data.names, found)


def find_rewards(data: Dataset, found: list[Finding]) -> None:
    """Rewards that are absent, constant or rare."""
    if data.reward is None:
        message = (
            "The log has no rewards: imitation works as it is. Add a column of rewards for other methods."
        )
        found.append(Finding(id="no-rewards", severity="info", count=len(data), message=message))
        return
    low, high = float(data.reward.min()), float(data.reward.max())
    given = np.asarray(data.reward != 0)
    if low == high:
        message = (
            f"Every reward is {low:g}: only the lengths of episodes tell them apart. Check that it is the "
            "reward; where length is all that counts, nothing need be done."
        )
        found.append(Finding(id="constant-reward", severity="info", count=len(data), message=message))
    elif given.mean() < 2 * MANY:
        message = (
            f"Rewards are rare: {share_of(given)} are not 0. Begin with methods that carry them far back, "
            "such as iql with --preset sparse."
        )
        found.append(at("rare-rewards", "info", given, message))


def find_propensities(data: Dataset, found: list[Finding]) -> None:
    """Behaviour probabilities that are none, or contradict each other (D25)."""
    if data.propensity is None:
        return
    propensity, discrete = data.propensity, isinstance(data.action_space, Discrete)
    wrong = ~(propensity > 0) | (
        ~(propensity <= 1 + PROBABILITY_SLACK) if discrete else ~np.isfinite(propensity)
    )
    if wrong.any():
        message = (
            f"{share_of(wrong)} behaviour propensities are no probabilities of an action that was taken "
            "(they must be > 0 and at most 1). Off-policy evaluation will refuse them; training does not "
            "use them. Log the probability that the action had when it was taken, or leave the column out."
        )
        found.append(at("propensities", "warning", wrong, message))
    elif discrete:
        low, high = float(propensity.min()), float(propensity.max())
        message = f"The behaviour policy's probabilities are logged, from {low:.3g} to {high:.3g}. {DONE}"
        found.append(Finding(id="propensities-logged", severity="info", count=len(data), message=message))
    if data.action_probabilities is not None:
        _find_probabilities(data.action_probabilities, data.action, propensity, found)


def _find_probabilities(table: Array, action: Array, propensity: Array, found: list[Finding]) -> None:
    negative = (~(table >= 0)).any(1)
    wrong = negative | ~(np.abs(table.sum(1, dtype=np.float64) - 1) <= PROBABILITY_SLACK)
    if wrong.any():
        message = (
            f"{share_of(wrong)} rows of action probabilities are negative or do not sum to 1. "
            "Log them in full precision; off-policy evaluation will refuse these rows."
        )
        found.append(at("action-probabilities", "warning", wrong, message))
    taken = np.take_along_axis(table, action[:, None].astype(np.int64), 1)[:, 0]
    with np.errstate(invalid="ignore"):
        apart = ~(np.abs(taken - propensity) <= PROBABILITY_SLACK)
    if apart.any():
        message = (
            f"{share_of(apart)} propensities differ from the logged probability of the action "
            "that was taken. One of the two columns is of another policy or row: correct it, or leave it out."
        )
        found.append(at("propensity-disagrees", "warning", apart, message))


def _find_constant(vectors: dict[str, Array], names: Names, found: list[Finding]) -> None:
    dead = [
        column_name(names, name, int(column))
        for name, array in vectors.items()
        for column in np.flatnonzero((array == array[:1]).all(0))
    ]
    if dead and len(next(iter(vectors.values()))) > 1:
        listed = ", ".join(dead[:8]) + (" …" if len(dead) > 8 else "")
        message = (
            f"{'One column never changes' if len(dead) == 1 else f'{len(dead):,} columns never change'}: "
            f"{listed}. {'It is' if len(dead) == 1 else 'They are'} kept, not scaled; nothing need be done "
            "unless a sensor was dead."
        )
        found.append(Finding(id="constant-columns", severity="info", count=len(dead), message=message))


def _find_bytes(path: str, array: Array, found: list[Finding]) -> None:
    """Images in floats from 0 to 255: whole numbers, many columns."""
    if array.ndim < 3 and array[0].size < 64:
        return
    sample = array[:: max(1, len(array) // 256)]
    if sample.min() >= 0 and 2 < sample.max() <= 255 and bool((sample == np.trunc(sample)).all()):
        message = (
            f"Observation {path or 'array'} looks like an image of bytes stored as {array.dtype}, 0 to "
            f"{sample.max():g}. Store it as unsigned bytes of shape (height, width, channels), which are "
            "scaled by the network, or divide by 255."
        )
        found.append(Finding(id="image-scale", severity="warning", count=len(array), message=message))


def _find_layout(path: str, leaf: Box, rows: int, found: list[Finding]) -> None:
    message = (
        f"Observation {path or 'array'} is read as an image of height {leaf.shape[0]}, width {leaf.shape[1]} "
        f"and {leaf.shape[2]} channels; it looks like one of {leaf.shape[0]} channels that come first. Write "
        "it as (height, width, channels): numpy.moveaxis(images, 1, -1)."
    )
    found.append(Finding(id="image-layout", severity="warning", count=rows, message=message))


def _find_drift(name: str, array: Array, data: Dataset, found: list[Finding]) -> None:
    """Columns that grow with the step: a clock, or a position that is never left again.

    The test: |correlation| of the column with the step, within episodes, of one sign, has a median >= 0.97.
    """
    chosen = np.flatnonzero(data.lengths >= DRIFT_STEPS)[:64]
    correlations = list[Array]()
    for episode in chosen:
        block = array[data.episode_start[episode] : data.episode_start[episode + 1]].astype(np.float64)
        step = np.arange(len(block)) - (len(block) - 1) / 2
        centred = block - block.mean(0)
        size = np.sqrt(np.square(centred).sum(0) * np.square(step).sum())
        correlations.append((step @ centred) / np.where(size > 0, size, np.inf))
    if not correlations:
        return
    drift = np.flatnonzero(np.abs(np.median(correlations, 0)) >= DRIFT)
    if len(drift):
        ranges = ", ".join(
            f"{column_name(data.names, name, int(c))} ({array[:, c].min():.4g} to {array[:, c].max():.4g})"
            for c in drift[:5]
        )
        which = "One column grows or falls" if len(drift) == 1 else f"{len(drift):,} columns grow or fall"
        message = (
            f"{which} with the step throughout episodes: {ranges}. A clock or an "
            "absolute position leaves the logged range when an episode runs on; leave it out unless the task "
            "needs it."
        )
        found.append(Finding(id="drifting-columns", severity="warning", count=len(drift), message=message))


def _find_scales(vectors: dict[str, Array], names: Names, found: list[Finding]) -> None:
    spread = {
        column_name(names, name, column): float(value)
        for name, array in vectors.items()
        for column, value in enumerate(array.std(0, dtype=np.float64))
        if value > 0
    }
    if not spread:
        return
    small, large = min(spread, key=spread.__getitem__), max(spread, key=spread.__getitem__)
    if spread[large] > SCALES_APART * spread[small]:
        message = (
            f"Columns differ in scale by {spread[large] / spread[small]:.1e}: {small} has deviation "
            f"{spread[small]:.2g}, {large} {spread[large]:.2g}. Standardise observations (the default)."
        )
        found.append(Finding(id="column-scales", severity="info", count=2, message=message))
