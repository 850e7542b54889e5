"""Fitted Q iteration in small: a weight that feeds itself, and the curve of over-estimation (section 6.2)."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from suture.data.returns import effective_horizon
from suture.spaces import Array
from suture.theory.claim import Claim, Curve, Found, Plot, claim
from suture.theory.tabular import Backup, expectile, greedy, implicit_policy, soft_policy, soft_value


def fitted_iteration(
    features: Array, reward: Array, discount: float, ahead: Callable[[Array], Array | float], backups: int,
    first: Array | float = 0.0,
) -> Array:  # fmt: skip
    """Weights (backups + 1, d) of `Q = features @ w`, refitted to `reward + discount * ahead(w)` in rounds.

    Least squares over a log's rows.   features: (n, d).   reward: (n,).   first: the weights of round 0.
    ahead: from weights (d,) to the values of what follows each row, (n,), or one for all.
    """
    solver, weights = np.linalg.pinv(features), [np.full(features.shape[1], first)]
    for _ in range(backups):
        weights.append(solver @ (reward + discount * ahead(weights[-1])))
    return np.array(weights)


def fed_back(first: float, discount: float, gain: float, backups: int) -> Array:
    """Errors for k = 0 .. backups where the answer outside is `gain` times the value inside.

    One weight, with feature 1 at the logged pair and `gain` at the pair that follows and that is asked for.
    """
    logged, asked = np.ones((1, 1)), np.full((1, 1), gain)
    return fitted_iteration(logged, np.zeros(1), discount, lambda w: asked @ w, backups, first)[:, 0]


DISCOUNT, BEST, REACH, NOISE, DEGREE, ROWS = 0.95, 0.1, 0.35, 0.03, 5, 200
ANYWHERE = np.linspace(-1, 1, 201)


def basis(action: Array) -> Array:
    """Powers 0 to 5 of an action, (n, 6)."""
    return np.vander((action - BEST) / REACH, DEGREE + 1)


def worth(action: Array) -> Array:
    """The true value of taking an action for ever: 0 for the best one, -24.2 at the border -1."""
    return -((action - BEST) ** 2) * effective_horizon(DISCOUNT)


@dataclasses.dataclass(frozen=True)
class Method:
    """How a method makes a value and a policy of action values (k, m), over all actions or logged ones."""

    name: str
    value: Backup
    policy: Callable[[Array], Array]
    everywhere: bool = False


def _even(quality: Array) -> Array:
    return np.full(quality.shape, 1 / quality.shape[1])


def _expectile(level: float) -> Method:
    return Method(
        f"expectile {level:g} (IQL)", lambda q: expectile(q, _even(q), level),
        lambda q: implicit_policy(q, _even(q), level),
    )  # fmt: skip


def _soft(temperature: float) -> Method:
    return Method(
        f"soft maximum {temperature:g} (BRAC-v)", lambda q: soft_value(q, _even(q), temperature),
        lambda q: soft_policy(q, _even(q), temperature),
    )  # fmt: skip


NAIVE = Method("maximum over all actions (naive)", lambda q: q.max(axis=1), greedy, everywhere=True)
CONSTRAINED = (
    Method("maximum over logged actions", lambda q: q.max(axis=1), greedy),
    *(_expectile(level) for level in (0.7, 0.9, 0.99)), *(_soft(temperature) for temperature in (0.01, 0.1)),
    Method("mean over logged actions (SARSA)", lambda q: q.mean(axis=1), _even),
)  # fmt: skip


@functools.cache
def log_of(seed: int) -> tuple[Array, Array]:
    """200 logged actions within 0.35 of the best one; their rewards `-(a - 0.1)^2`, with noise of 0.03."""
    generator = np.random.default_rng(seed)
    action = generator.uniform(BEST - REACH, BEST + REACH, ROWS)
    return action, worth(action) / effective_horizon(DISCOUNT) + NOISE * generator.normal(size=ROWS)


def over_backups(method: Method, seed: int, backups: int = 200) -> tuple[Array, Array]:
    """What a method claims for the state after 1 .. backups rounds, and what its policy then is worth."""
    action, reward = log_of(seed)
    points = ANYWHERE if method.everywhere else action
    seen = basis(points)
    weights = fitted_iteration(
        basis(action), reward, DISCOUNT, lambda w: float(method.value((seen @ w)[None])[0]), backups
    )
    quality = weights[1:] @ seen.T
    return method.value(quality), method.policy(quality) @ worth(points)


def curve_on_one_log() -> Found:
    """The curve of over-estimation, where everything about it is known.

    Statement: Fitted Q iteration with a polynomial of degree 5, on 200 noisy rewards of one state whose best
    action is worth 0; no logged action is further than 0.35 from it. The maximum over all actions claims 26
    after one backup and 519 after 200, for the border a = -1, which is worth -24.2. The maximum over logged
    actions, expectiles, soft maxima and the mean of SARSA stay below 0. The naive claim is bounded, by 20
    times its first error. Where one weight feeds itself by a gain c nothing is: at gamma = 0.9, 200 backups
    from 1e-3 come to 4.8e3 for c = 1.2 and 1e48 for 2, and to 7e-13 inside the log (c = 1).
    Conditions: Where the extrapolation points up, in 17 of twenty such logs; in the others the naive maximum
    happens to lie inside. In none do the constrained ones claim more than 0.3.
    Proof: By running it: what is asked of the polynomial lies inside of its rows, or far outside.
    Source: Our own rows; the reference gives the answers of such a problem (523; -24.2; at most -0.03).
    """
    claims = {method.name: over_backups(method, 7) for method in (NAIVE, *CONSTRAINED)}
    naive, earned = claims[NAIVE.name]
    inside = {one.name: float(claims[one.name][0][-1]) for one in CONSTRAINED}
    others = [[float(over_backups(one, seed, 1)[0][0]) * effective_horizon(DISCOUNT)
               for one in (NAIVE, *CONSTRAINED)] for seed in range(20)]  # fmt: skip
    misled, most = sum(row[0] > 1 for row in others), max(max(row[1:]) for row in others)
    gains = {gain: float(fed_back(1e-3, 0.9, gain, 200)[-1]) for gain in (1.0, 1.2, 2.0)}
    numbers = {f"naive, k = {k}": float(naive[k - 1]) for k in (1, 10, 50, 200)}
    return Found(
        agrees=naive[-1] > 500 and earned[-1] < -24 and max(inside.values()) <= 0 and most < 0.3
        and misled > 10 and gains[2.0] > 1e47 and gains[1.2] > 1e3 and gains[1.0] < 1e-12,
        figure=f"naive {naive[0]:.0f} to {naive[-1]:.0f}, worth {earned[-1]:.1f}; constrained at most "
        f"{max(inside.values()):.2f}",
        numbers={**numbers, "naive, worth": float(earned[-1]), **inside, "logs misled, of 20": float(misled),
                 "constrained, most in 20 logs": most, **{f"gain {c:g}": end for c, end in gains.items()}},
        plot=_plot(claims),
    )  # fmt: skip


def _plot(claims: dict[str, tuple[Array, Array]]) -> Plot:
    """Four methods, which have a colour each beside the four lines of the section's other plot."""
    rounds = tuple(float(k) for k in range(1, 201))
    shown = (NAIVE, CONSTRAINED[0], CONSTRAINED[2], CONSTRAINED[-1])
    return Plot(title="Fitted Q iteration on one log, gamma = 0.95", curves=tuple(
        Curve(name=one.name, x=rounds, y=tuple(map(float, values)), what=what)
        for one in shown for what, values in zip(("claim", "truth"), claims[one.name], strict=True)
    ))  # fmt: skip


CLAIMS: tuple[Claim, ...] = (
    claim("6.2", "beside the lecture: the curve on one log, by naive and constrained methods", "holds",
          curve_on_one_log, "6.2-curve"),
)  # fmt: skip
