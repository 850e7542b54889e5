"""Weights of the regression that tells regimes apart: feature -> one for each of `NAMES`.

Written by `python benchmarks/regimes.py --fit` from 261 generated logs of 6 families of worlds.
On families left out it is right in 0.916 of the logs, with an expected calibration
error of 0.044.
"""

WEIGHTS: dict[str, tuple[float, ...]] = {
    "bias": (1.692, -1.325, 0.378, -0.383, -0.362),
    "no plan": (0.999, -0.978, 0.566, -0.387, -0.200),
    "entropy": (-2.780, 1.385, 0.755, 1.135, -0.495),
    "entropy above 0.9": (-3.192, 0.253, -2.593, 5.649, -0.117),
    "persistence": (-0.643, 0.604, -0.365, 0.133, 0.270),
    "achieved": (1.839, -1.292, 0.463, -1.038, 0.028),
    "best": (0.982, 1.334, -0.406, -1.264, -0.646),
    "sure gain": (-0.090, -0.647, 0.705, 0.214, -0.182),
    "held gain": (-1.813, -0.865, 1.901, 0.066, 0.711),
    "greatest held gain": (-1.743, -0.796, 2.144, -0.128, 0.523),
    "deviation": (-1.880, 3.612, -0.242, -1.320, -0.170),
    "plan error": (-0.920, -1.020, 0.171, 0.290, 1.478),
    "reach gain": (-1.532, -0.064, 1.770, -0.080, -0.093),
    "return information": (-0.904, 2.992, -1.510, -0.609, 0.031),
    "seen again": (1.471, -0.617, 0.003, -0.225, -0.632),
    "no junctions": (-0.692, -0.397, -0.598, 0.541, 1.146),
    "few episodes": (-1.097, -0.760, -0.629, -1.484, 3.970),
    "few transitions": (-0.885, -0.866, -1.322, -0.937, 4.011),
}
