"""Weights of the regression that tells regimes apart: feature -> one for each of `NAMES`.

Written by `python benchmarks/regimes.py --fit` from 261 generated logs of 6 families of worlds.
On families left out it is right in 0.931 of the logs, with an expected calibration
error of 0.048.
"""

WEIGHTS: dict[str, tuple[float, ...]] = {
    "bias": (1.555, -0.899, 0.248, -0.494, -0.410),
    "no plan": (1.057, -1.345, 0.761, -0.296, -0.177),
    "entropy": (-2.973, 1.910, 0.522, 1.047, -0.505),
    "entropy above 0.9": (-3.049, -0.139, -2.404, 5.703, -0.111),
    "persistence": (-0.401, 0.410, -0.097, -0.134, 0.222),
    "achieved": (1.797, -1.145, 0.426, -1.113, 0.035),
    "best": (0.986, 1.149, -0.422, -1.096, -0.617),
    "sure gain": (-0.322, -0.062, 0.473, 0.129, -0.217),
    "held gain": (-1.814, -1.014, 2.063, 0.095, 0.670),
    "greatest held gain": (-1.623, -0.997, 2.160, -0.059, 0.518),
    "deviation": (-1.691, 3.302, -0.179, -1.235, -0.197),
    "plan error": (-0.901, -1.006, 0.156, 0.236, 1.514),
    "reach gain": (-1.528, -0.086, 1.786, -0.075, -0.098),
    "return information": (-1.364, 3.525, -1.403, -1.244, 0.486),
    "seen again": (1.602, -0.762, -0.003, -0.213, -0.624),
    "no junctions": (-0.688, -0.538, -0.537, 0.598, 1.166),
    "few episodes": (-1.089, -0.731, -0.654, -1.449, 3.924),
    "few transitions": (-0.910, -0.835, -1.310, -0.939, 3.995),
}
