"""Weights of the regression that tells regimes apart: feature -> one for each of `NAMES`.

Written by `python benchmarks/regimes.py --fit` from 261 generated logs of 6 families of worlds.
On families left out it is right in 0.931 of the logs, with an expected calibration
error of 0.048.
"""

WEIGHTS: dict[str, tuple[float, ...]] = {
    "bias": (1.533, -0.853, 0.266, -0.509, -0.437),
    "no plan": (1.071, -1.362, 0.714, -0.275, -0.148),
    "entropy": (-2.938, 1.908, 0.535, 1.033, -0.539),
    "entropy above 0.9": (-3.090, -0.178, -2.335, 5.700, -0.097),
    "persistence": (-0.402, 0.356, -0.091, -0.136, 0.273),
    "achieved": (1.816, -1.107, 0.402, -1.108, -0.003),
    "best": (0.988, 1.097, -0.412, -1.078, -0.595),
    "sure gain": (-0.576, -0.053, 0.515, 0.274, -0.159),
    "held gain": (-1.732, -0.988, 2.086, 0.021, 0.613),
    "greatest held gain": (-1.582, -0.987, 2.209, -0.079, 0.439),
    "deviation": (-1.737, 3.309, -0.158, -1.212, -0.202),
    "plan error": (-0.299, -0.992, -0.413, 0.155, 1.549),
    "reach gain": (-1.528, -0.087, 1.788, -0.071, -0.102),
    "return information": (-1.387, 3.482, -1.436, -1.252, 0.593),
    "seen again": (1.574, -0.781, 0.001, -0.221, -0.573),
    "no junctions": (-0.699, -0.554, -0.558, 0.645, 1.166),
    "few episodes": (-1.150, -0.702, -0.557, -1.461, 3.870),
    "few transitions": (-0.960, -0.801, -1.196, -0.968, 3.925),
}
