"""Weights of the regression that tells regimes apart: feature -> one number for each of `regime.NAMES`.

Written by `python benchmarks/regimes.py --fit` from 232 generated logs of 6 families of worlds.
On families left out it is right in 0.905 of the logs, with an expected calibration
error of 0.052.
"""

WEIGHTS: dict[str, tuple[float, ...]] = {
    "bias": (1.760, -0.969, 0.008, -0.359, -0.440),
    "no plan": (0.788, -1.184, 0.738, -0.433, 0.091),
    "entropy": (-2.501, 1.133, 0.619, 1.154, -0.405),
    "entropy above 0.9": (-3.231, -0.262, -2.122, 5.811, -0.196),
    "persistence": (-0.785, 0.739, -0.076, -0.155, 0.277),
    "achieved": (1.342, -1.601, 1.531, -1.033, -0.238),
    "best": (0.839, 0.998, -0.925, -0.610, -0.302),
    "sure gain": (0.129, -0.497, 0.350, 0.192, -0.175),
    "greatest gain": (-2.040, -1.058, 3.490, -0.219, -0.173),
    "deviation": (-1.592, 4.437, -2.119, -1.308, 0.582),
    "plan error": (-0.786, -1.352, 0.044, 0.945, 1.149),
    "reach gain": (-1.859, -0.153, 2.268, -0.069, -0.187),
    "return information": (-0.481, 2.478, -1.258, -0.854, 0.116),
    "seen again": (1.283, -0.146, 0.105, -0.591, -0.651),
    "few episodes": (-0.928, -0.945, -0.732, -1.199, 3.804),
    "few transitions": (-0.914, -1.465, -0.889, -0.887, 4.154),
}
