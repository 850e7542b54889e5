"""Weights of the regression that tells regimes apart: feature -> one for each of `NAMES`.

Written by `python benchmarks/regimes.py --fit` from 680 generated logs of 7 families of worlds.
On families left out it is right in 0.913 of the logs, with an expected calibration
error of 0.029.
"""

WEIGHTS: dict[str, tuple[float, ...]] = {
    "bias": (1.270, -1.195, 0.881, -0.603, -0.352),
    "no plan": (2.477, -2.926, 0.795, -0.594, 0.248),
    "entropy": (-4.741, 3.275, 1.740, 0.641, -0.916),
    "entropy above 0.9": (-2.563, -1.573, -3.163, 8.068, -0.769),
    "persistence": (-0.199, 0.067, 0.097, -0.170, 0.206),
    "achieved": (4.066, -1.320, -0.365, -2.354, -0.026),
    "best": (0.730, -0.252, 0.234, -0.626, -0.086),
    "sure gain": (-1.495, 1.097, 0.261, 0.452, -0.315),
    "held gain": (-1.169, -1.379, 0.687, 0.398, 1.463),
    "greatest held gain": (-2.274, -2.472, 3.960, -0.321, 1.107),
    "deviation": (-3.762, 4.420, -0.854, -0.514, 0.710),
    "plan error": (-1.092, -1.103, 0.154, 0.151, 1.890),
    "reach gain": (-1.924, -0.420, 2.615, -0.042, -0.228),
    "return information": (-1.792, 3.997, -0.835, -1.865, 0.494),
    "seen again": (1.916, 0.790, -0.825, -1.009, -0.873),
    "no junctions": (-0.148, -1.397, -0.889, 0.869, 1.565),
    "few episodes": (0.083, -2.007, -1.325, -1.277, 4.526),
    "few transitions": (-1.625, -1.822, -2.191, -0.954, 6.592),
}
