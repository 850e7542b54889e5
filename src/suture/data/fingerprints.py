"""64-bit fingerprints of transitions and episodes, vectorised: to find what occurs twice.

A row's bytes are read as 64-bit words; each word is folded, multiplied by an odd weight of its own, and
summed; the sum is scrambled. Two different rows of a log agree by chance about once in 2**64.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from suture import spaces
from suture.data.dataset import Dataset
from suture.data.frames import Frames
from suture.spaces import Array

CHUNK_BYTES = 1 << 20
Hashes = NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


def scramble(values: Hashes) -> Hashes:
    """A bijection of 64-bit words in which every input bit moves every output bit.

    Source: the finaliser of SplitMix64, Steele, Lea & Flood 2014 (constants of Stafford's mix 13).
    """
    values = (values ^ (values >> _SHIFTS[0])) * _FACTORS[0]
    values = (values ^ (values >> _SHIFTS[1])) * _FACTORS[1]
    return values ^ (values >> _SHIFTS[2])


def _words(rows: Array) -> Hashes:
    """The bytes of each row as 64-bit words, padded with zeros, (n, words)."""
    plain = np.ascontiguousarray(rows).reshape(len(rows), -1).view(np.uint8)
    padded = np.zeros((len(rows), -(-plain.shape[1] // 8) * 8), np.uint8)
    padded[:, : plain.shape[1]] = plain
    return padded.view(np.uint64)


def hash_array(array: Array, salt: int = 0) -> Hashes:
    """One hash per row of an array of numbers, (N,). `salt` tells columns apart.

    Images that are still in their files keep the hashes that were stored with them.
    """
    if isinstance(array, Frames):
        return scramble(array.hashes ^ scramble(np.array([salt], np.uint64)))
    row_bytes = max(1, array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=np.int64)))
    words = np.arange(1, -(-row_bytes // 8) + 1, dtype=np.uint64) + np.uint64(salt << 32)
    weights = scramble(words * _GOLDEN) | np.uint64(1)
    step = max(1, CHUNK_BYTES // row_bytes)
    hashes = np.zeros(len(array), np.uint64)
    for start in range(0, len(array), step):
        chunk = _words(array[start : start + step])
        hashes[start : start + step] = (chunk ^ (chunk >> np.uint64(32))) @ weights
    return scramble(hashes + weights[0])


def hash_rows(*trees: Any) -> Hashes:
    """One hash per row over all arrays of the given trees; None stands for a missing column, (N,)."""
    arrays = [array for tree in trees if tree is not None for array in spaces.arrays_of(tree).values()]
    total = np.zeros(len(arrays[0]), np.uint64)
    for salt, array in enumerate(arrays):
        total += hash_array(array, salt)
    return scramble(total)


def hash_transitions(dataset: Dataset) -> Hashes:
    """One hash per transition over observation, action and reward, (N,)."""
    return hash_rows(dataset.observation, dataset.action, dataset.reward)


def hash_episodes(dataset: Dataset, transitions: Hashes | None = None) -> Hashes:
    """One hash per episode over its transitions in their order, (E,)."""
    if not dataset.episodes:
        return np.zeros(0, np.uint64)
    rows = hash_transitions(dataset) if transitions is None else transitions
    position = np.arange(len(rows)) - np.repeat(dataset.episode_start[:-1], dataset.lengths)
    placed = scramble(rows + position.astype(np.uint64) * _GOLDEN)
    return scramble(np.add.reduceat(placed, dataset.episode_start[:-1]))


def repeats(hashes: Hashes) -> NDArray[np.bool_]:
    """True where a hash occurred before: all copies but the first, (N,)."""
    order = np.argsort(hashes, kind="stable")
    again = np.zeros(len(hashes), np.bool_)
    again[order[1:]] = hashes[order[1:]] == hashes[order[:-1]]
    return again
