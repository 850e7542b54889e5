"""Weights of the regression that tells regimes apart: feature -> one for each of `NAMES`.

Written by `python benchmarks/regimes.py --fit` from 760 generated logs of 8 families of worlds.
On families left out it is right in 0.914 of the logs, with an expected calibration
error of 0.033.
"""

WEIGHTS: dict[str, tuple[float, ...]] = {
    "bias": (1.096, -1.389, 0.987, -0.409, -0.285),
    "no plan": (3.005, -2.784, 0.410, -0.687, 0.057),
    "entropy": (-3.878, 2.876, 1.151, 0.795, -0.944),
    "entropy above 0.9": (-3.315, -1.682, -2.723, 8.072, -0.352),
    "persistence": (-0.158, 0.253, -0.173, -0.083, 0.162),
    "achieved": (3.970, -1.290, -0.582, -2.035, -0.063),
    "best": (0.955, -0.364, 0.361, -0.826, -0.127),
    "sure gain": (-2.373, 1.209, 0.490, 0.919, -0.245),
    "held gain": (-1.196, -1.299, 0.716, 0.277, 1.502),
    "greatest held gain": (-2.486, -2.059, 3.734, -0.325, 1.135),
    "deviation": (-2.648, 5.649, -2.478, -0.171, -0.353),
    "plan error": (-0.393, -1.283, -0.169, 0.119, 1.727),
    "reach gain": (-1.576, -0.469, 2.328, -0.045, -0.238),
    "return information": (-2.270, 3.476, -0.568, -1.618, 0.981),
    "seen again": (1.354, 1.044, -0.284, -1.309, -0.804),
    "no junctions": (-0.382, -1.459, -0.676, 0.945, 1.573),
    "few episodes": (-0.158, -2.018, -1.327, -1.229, 4.732),
    "few transitions": (-1.723, -1.263, -2.275, -0.924, 6.185),
}
