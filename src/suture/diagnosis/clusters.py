"""k-means in NumPy: the cells on which the log's model stands where observations are continuous."""

import numpy as np

from suture.spaces import Array

CHUNK, SAMPLE, ROUNDS, CLIP = 4096, 20_000, 8, 5.0


def scaled(rows: Array, reference: Array) -> Array:
    """Columns of `rows` (N, d) in standard deviations of `reference` (M, d), constant ones left out, float32.

    What lies further than 5 deviations from the mean is brought there: one outlier must not own a cell.
    """
    shift, scale = reference.mean(0, dtype=np.float64), reference.std(0, dtype=np.float64)
    varies = scale > 1e-6 * (1e-6 + np.abs(shift))
    standard = (rows[:, varies] - shift[varies]) / scale[varies]
    return np.clip(standard, -CLIP, CLIP).astype(np.float32)


def nearest_centre(points: Array, centres: Array) -> tuple[Array, Array]:
    """The nearest centre of each point and the squared distance to it.   points (N, d), centres (K, d)."""
    found, distance = np.empty(len(points), np.int64), np.empty(len(points), np.float64)
    half = 0.5 * np.square(centres).sum(1)
    for start in range(0, len(points), CHUNK):
        part = points[start : start + CHUNK]
        score = part @ centres.T - half
        best = score.argmax(1)
        found[start : start + CHUNK] = best
        gap = np.square(part).sum(1) - 2 * score[np.arange(len(part)), best]
        distance[start : start + CHUNK] = np.maximum(gap, 0.0)
    return found, distance


def k_means(points: Array, count: int, seed: int = 0) -> Array:
    """At most `count` centres of points (N, d): Lloyd's rounds on a sample of 20,000 of them, (K, d) float32.

    The first centres are rows drawn at random without regard to their order in `points`, so that the order
    of the episodes does not matter. Source: Lloyd 1982; sampled as in Sculley 2010 (mini-batches).
    """
    generator = np.random.default_rng(seed)
    distinct = canonical_order(points)
    sample = distinct[np.sort(generator.choice(len(distinct), min(SAMPLE, len(distinct)), replace=False))]
    centres = sample[generator.choice(len(sample), min(count, len(sample)), replace=False)]
    for _ in range(ROUNDS):
        owner, _ = nearest_centre(sample, centres)
        size = np.bincount(owner, minlength=len(centres))
        total = np.zeros_like(centres)
        np.add.at(total, owner, sample)
        kept = size > 0
        moved = total[kept] / size[kept, None]
        if kept.all() and np.allclose(moved, centres, atol=1e-4):
            break
        centres = moved.astype(np.float32)
    return centres


def canonical_order(points: Array) -> Array:
    """The distinct rows of points (N, d), in an order that does not depend on how they were given."""
    if not points.shape[1]:
        return points[:1]
    weight = np.random.default_rng(points.shape[1]).standard_normal(points.shape[1])
    score = points.astype(np.float64) @ weight
    _, first = np.unique(score, return_index=True)
    return points[first]
