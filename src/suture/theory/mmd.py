"""Section 7.3: maximum mean discrepancy, random features, and what they say of a support."""

from collections.abc import Callable

import numpy as np

from suture.spaces import Array
from suture.theory.claim import Claim, Curve, Found, Plot, claim
from suture.theory.tabular import TabularMDP, divergence_of, soft_policy

Kernel = Callable[[Array], Array]
Measure = tuple[Array, Array]
"""Points (n,) and their weights (n,), which sum to 1: a sample or a quadrature."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)


def gaussian_kernel(width: float) -> Kernel:
    """`exp(-d^2 / (2 width))`, BEAR's convention: the width is a variance, not its root."""
    return lambda distance: np.exp(-(distance**2) / (2 * width))


def squared_mmd(one: Measure, two: Measure, kernel: Kernel) -> float:
    """MMD^2, exactly for measures on points."""

    def mean(a: Measure, b: Measure) -> float:
        return float(a[1] @ kernel(a[0][:, None] - b[0][None]) @ b[1])

    return max(0.0, mean(one, one) + mean(two, two) - 2 * mean(one, two))


def uniform(half: float) -> Measure:
    """The uniform distribution on [-half, half], as a quadrature."""
    return half * NODES, WEIGHTS / 2


def normal(deviation: float) -> Measure:
    """A normal distribution around 0, as a quadrature over 9 deviations."""
    density = np.exp(-((9 * NODES) ** 2) / 2) / np.sqrt(2 * np.pi)
    return 9 * deviation * NODES, 9 * density * WEIGHTS


def squared_mmd_of_normals(
    mean: float, deviation: float, other_mean: float, other: float, width: float
) -> float:
    """Of two normal distributions under `exp(-d^2 / (2 width))`, in closed form."""

    def expected(distance: float, variance: float) -> float:
        return float(np.sqrt(width / (width + variance)) * np.exp(-(distance**2) / 2 / (width + variance)))

    return (
        expected(0.0, 2 * deviation**2) + expected(0.0, 2 * other**2)
        - 2 * expected(mean - other_mean, deviation**2 + other**2)
    )  # fmt: skip


def frequencies(count: int, width: float, generator: np.random.Generator) -> Array:
    """Of random Fourier features of the Gaussian kernel, (count,)."""
    return generator.normal(0, 1 / np.sqrt(width), count)


def feature_mmd(one: Measure, two: Measure, wave: Array) -> float:
    """MMD^2 by features `[cos wa, sin wa] / sqrt(D)`, the lecture's formula."""
    means = [np.exp(1j * wave[:, None] * points) @ weight for points, weight in (one, two)]
    return float((np.abs(means[0] - means[1]) ** 2).mean())


def features_converge_and_are_blind() -> Found:
    """Random features.

    Statement: With D random Fourier features the formula estimates the kernel's MMD^2 with an error that
    falls like 1 / sqrt(D). For finite D it is no distance: some pairs of different distributions have MMD 0.
    BEAR itself uses the kernel, on 4 to 10 samples.
    Conditions: D large beside the number of distributions that must be told apart.
    Proof: The mean of D bounded independent terms. D features fix 2 D numbers; measures on more points than
    that have a null space.
    Source: Rahimi & Recht 2007; Kumar et al. 2019 (arXiv:1906.00949).
    """
    generator = np.random.default_rng(76)
    one, two = normal(1.0), (0.7 + 1.5 * normal(1.0)[0], normal(1.0)[1])
    exact, counts = squared_mmd(one, two, gaussian_kernel(1.0)), (16, 64, 256)
    errors = list[float]()
    for count in counts:
        waves = frequencies(300 * count, 1.0, generator).reshape(300, count)
        means = np.exp(-(waves**2) / 2), np.exp(0.7j * waves - (1.5 * waves) ** 2 / 2)
        found = (np.abs(means[0] - means[1]) ** 2).mean(axis=1)
        errors.append(float(np.sqrt(np.mean((found - exact) ** 2))))
    slope = float(np.polyfit(np.log(counts), np.log(errors), 1)[0])
    wave = frequencies(2, 1.0, generator)
    same = _blind_pair(wave)
    kernel = squared_mmd(same[0], same[1], gaussian_kernel(1.0))
    distance = float(np.abs(same[0][1] - same[1][1]).sum() / 2)
    blind = feature_mmd(*same, wave)
    closed = squared_mmd_of_normals(0.0, 1.0, 0.7, 1.5, 1.0)
    return Found(
        agrees=abs(slope + 0.5) < 0.08 and abs(closed - exact) < 1e-6 and distance > 0.1
        and blind < 1e-25 and kernel > 1e-3,
        figure=f"error ~ D^{slope:.2f}; total variation {distance:.2f} with feature MMD^2 {blind:.0e}, "
        f"kernel {kernel:.3f}",
        numbers={"slope": slope, "exact": exact, "closed form": closed, "total variation": distance,
                 "feature MMD^2": blind, "kernel MMD^2": kernel},
    )  # fmt: skip


def _blind_pair(wave: Array) -> tuple[Measure, Measure]:
    """Two distributions on a grid that these features cannot tell apart, and a kernel can."""
    grid = np.linspace(-3, 3, 40)
    features = np.concatenate([np.cos(wave[:, None] * grid), np.sin(wave[:, None] * grid), np.ones((1, 40))])
    unseen = np.linalg.svd(features)[2][len(features) :]
    seen_by_kernel = unseen @ gaussian_kernel(1.0)(grid[:, None] - grid) @ unseen.T
    change = np.linalg.eigh(seen_by_kernel)[1][:, -1] @ unseen
    even = np.full(40, 1 / 40)
    return (grid, even), (grid, even + change / np.abs(change).max() / 40)


def constrained_not_minimised() -> Found:
    """BEAR bounds the discrepancy, it does not minimise it.

    Statement: The minimum of MMD is at pi = beta, cloning. BEAR maximises E_{a ~ pi} min_j Q_j under MMD <=
    eps in each state. On n separate actions MMD = |pi - beta|_2 and the optimum gains eps |Q - mean Q|_2. The
    printed E_{d^beta} Q does not depend on pi (see 7.1.1).
    Conditions: Dual ascent on a multiplier; eps above the noise of the samples: 0.067 for two samples of 5
    from one distribution (width 20), more than the usual eps of 0.05.
    Proof: A linear objective on a ball around beta, inside the simplex.
    Source: Kumar et al. 2019 (arXiv:1906.00949), algorithm 1.
    """
    generator, worst = np.random.default_rng(78), 0.0
    behaviour, radius = np.full(4, 0.25), 0.05
    for _ in range(50):
        quality = generator.normal(size=4)
        centred = quality - quality.mean()
        best = behaviour + radius * centred / np.linalg.norm(centred)
        others = generator.normal(size=(200, 4))
        others -= others.mean(axis=1, keepdims=True)
        others = behaviour + radius * others / np.linalg.norm(others, axis=1, keepdims=True)
        worst = max(worst, float((others @ quality).max() - best @ quality))
    floor = noise_floor(5, gaussian_kernel(20.0))
    return Found(
        agrees=worst <= 1e-12 and abs(floor - 0.067) < 0.003,
        figure=f"gain eps |Q - mean Q|, not 0; noise of 5 samples {floor:.3f} > 0.05",
        numbers={"best other - optimum": worst, "noise floor, n = 5": floor},
    )


def noise_floor(count: int, kernel: Kernel, rounds: int = 2_000) -> float:
    """Mean MMD (V-statistic, root) of two samples of the uniform distribution on [-1, 1]."""
    samples = np.random.default_rng(79).uniform(-1, 1, (rounds, 2 * count))
    sign = np.repeat([1.0, -1.0], count) / count
    gram = kernel(samples[:, :, None] - samples[:, None])
    return float(np.sqrt(np.maximum(np.einsum("rij,i,j->r", gram, sign, sign), 0)).mean())


def discrepancy_admits_what_is_outside() -> Found:
    """MMD is not a constraint on the support.

    Statement: MMD = 0 only at pi = beta. Of a uniform beta on [-1, 1] it prefers the wider: U[-1.15, 1.15]
    is nearer (0.056 at width 1, 0.005 at 20) than the narrow policy N(0, 0.05^2) inside (0.227, 0.014). With
    BEAR's width 20 and eps = 0.05 it admits U[-2.17, 2.17], of which 54 % is outside.
    Conditions: Near to a support constraint only for a few samples, whose noise drowns the spread inside.
    Proof: By quadrature.
    """
    numbers: dict[str, float] = {}
    for width in (1.0, 20.0):
        kernel = gaussian_kernel(width)
        for name, measure in (("U 1.15", uniform(1.15)), ("N 0.05", normal(0.05)), ("U 2.17", uniform(2.17))):
            numbers[f"{name}, width {width:g}"] = np.sqrt(squared_mmd(uniform(1.0), measure, kernel))
    outside = 1 - 1 / 2.17
    prefers = all(numbers[f"U 1.15, width {w}"] < numbers[f"N 0.05, width {w}"] for w in (1, 20))
    return Found(
        agrees=prefers and numbers["U 2.17, width 20"] < 0.05,
        figure=f"MMD {numbers['U 2.17, width 20']:.4f} <= 0.05 with {outside:.0%} outside",
        numbers={**numbers, "share outside": outside}, plot=_plot(),
    )  # fmt: skip


def _plot() -> Plot:
    """MMD from U[-1, 1] of uniform policies over their half-width."""
    halves = np.linspace(0.05, 2.5, 60)
    curves = [
        Curve(
            name=f"width {width:g}", x=tuple(halves.tolist()),
            y=tuple(float(np.sqrt(squared_mmd(uniform(1.0), uniform(half), gaussian_kernel(width))))
                    for half in halves.tolist()),
        ) for width in (1.0, 20.0)
    ]  # fmt: skip
    bound = Curve(name="usual bound", x=(0.05, 2.5), y=(0.05, 0.05), what="truth")
    return Plot(title="MMD of U[-h, h] from U[-1, 1] (7.3)", curves=(*curves, bound),
                x="half-width h of the policy", y="MMD")  # fmt: skip


def less_overestimation_is_not_shown() -> Found:
    """MMD beside KL.

    Statement: Which of the two over-estimates less is a matter of experiment. What can be said: the KL to the
    behaviour is infinite for any mass outside, the MMD is not. With frozen answers outside that claim B more,
    one backup of a policy that MMD <= 0.05 admits over-claims gamma 0.54 B, and its evaluation in the end
    gamma 0.54 B / (1 - gamma 0.46); a policy of finite KL nothing, however far it leans to the border.
    Conditions: Neural policies and estimated densities blur both; BRAC found the differences small.
    Proof: The share outside, times B, enters each backup; here backups are run in one state of 400 actions.
    Source: Wu et al. 2019 (arXiv:1911.11361).
    """
    action = (np.arange(400) + 0.5) / 200 * 2.17 - 2.17
    behaviour = (np.abs(action) < 1) / (np.abs(action) < 1).sum()
    wide, leaning = np.full(400, 1 / 400), soft_policy(action, behaviour, 0.05)
    near = np.sqrt(squared_mmd((action, behaviour), (action, wide), gaussian_kernel(20.0)))
    far, finite = (float(divergence_of(policy, behaviour)) for policy in (wide, leaning))
    claims = {name: overclaimed(policy, behaviour) for name, policy in (("MMD", wide), ("KL", leaning))}
    first, last = claims["MMD"][1], claims["MMD"][-1]
    return Found(
        agrees=bool(np.isinf(far)) and 1 < finite < 3 and near <= 0.05 and not claims["KL"].any()
        and abs(first - 0.9 * 0.54) < 5e-3 and abs(last - 0.9 * 0.54 / (1 - 0.9 * 0.46)) < 1e-2,
        figure=f"claims {first:.2f} B after a backup, {last:.2f} B in the end under MMD <= 0.05; "
        f"{claims['KL'][-1]:.0f} under a KL of {finite:.1f}",
        numbers={"over-claim / B, MMD, once": float(first), "over-claim / B, MMD": float(last),
                 "over-claim / B, KL": float(claims["KL"][-1]), "MMD": float(near), "KL": finite},
    )  # fmt: skip


def overclaimed(policy: Array, behaviour: Array, backups: int = 200) -> Array:
    """Claims for 0 .. backups rounds of evaluation at gamma = 0.9: nothing is paid, answers outside say 1.

    One state, to which every action leads back.   policy, behaviour: (A,).
    """
    loop = TabularMDP(np.ones((1, len(policy), 1)), np.zeros((1, len(policy))), 0.9, np.ones(1))
    quality, claims = np.zeros((1, len(policy))), [0.0]
    for _ in range(backups):
        value = (policy * np.where(behaviour > 0, quality, 1.0)).sum(axis=1)
        quality = loop.backup(value)
        claims.append(float(quality[0, 0]))
    return np.array(claims)


CLAIMS: tuple[Claim, ...] = (
    claim("7.3", "MMD^2 by a random-Fourier feature map", "holds with conditions",
          features_converge_and_are_blind, "7.3-mmd"),
    claim("7.3", "BEAR minimises the MMD; max E_{d^beta} Q s.t. MMD <= delta", "holds with conditions",
          constrained_not_minimised, "7.3-minimises", "7.3-actor"),
    claim("7.3", "it keeps the policy in the support, where alone the critic is trusted", "false",
          discrepancy_admits_what_is_outside, "7.3-support"),
    claim("7.3", "less over-estimation than KL, more freedom than cloning", "only empirical",
          less_overestimation_is_not_shown, "7.3-empirical"),
)  # fmt: skip
