"""TD(lambda) returns against numbers by hand, their definition as a sum of n-step returns, and their ends."""

import jax.numpy as jnp
import numpy as np
import pytest

from suture.objectives.returns import lambda_return

ONES = jnp.ones(3)


def test_by_hand() -> None:
    """Rewards (1, 1, 1), no discount, V = 0, lambda 0.95: 2.8525, 1.95 and 1 from the three steps on."""
    found = [float(lambda_return(ONES[k:], ONES[k:], 0 * ONES[k:], ONES[k:], 0.95)) for k in range(3)]
    np.testing.assert_allclose(found, [2.8525, 1.95, 1.0], rtol=1e-6)


def mixture(reward: np.ndarray, discount: np.ndarray, value: np.ndarray, mixing: float) -> float:
    """The definition: n-step returns weighted by (1 - lambda) lambda^(n - 1), the last takes the rest."""
    total, factor, returns = 0.0, 1.0, []
    for k in range(len(reward)):
        total += factor * reward[k]
        factor *= discount[k]
        returns.append(total + factor * value[k])
    weights = (1 - mixing) * mixing ** np.arange(len(reward))
    weights[-1] = mixing ** (len(reward) - 1)
    return float(weights @ np.array(returns))


@pytest.mark.parametrize("mixing", [0.0, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("ended", [None, 1, 3])
def test_it_is_the_mixture_of_n_step_returns(mixing: float, ended: int | None) -> None:
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=4), rng.normal(size=4)
    discount = np.full(4, 0.9)
    if ended is not None:
        discount[ended] = 0.0
    found = lambda_return(jnp.asarray(reward), jnp.asarray(discount), jnp.asarray(value), jnp.ones(4), mixing)
    assert float(found) == pytest.approx(mixture(reward, discount, value, mixing), rel=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_is_not_known_does_not_count(count: int) -> None:
    """A window of `count` known steps is the return of those alone, whatever stands behind them."""
    rng = np.random.default_rng(1)
    reward, value = rng.normal(size=(2, 4)), rng.normal(size=(2, 4))
    known = np.tile(np.arange(4) < count, (2, 1)).astype(np.float32)
    short = [jnp.asarray(x[:, :count]) for x in (reward, np.full((2, 4), 0.9), value, known)]
    whole = [jnp.asarray(x) for x in (reward, np.full((2, 4), 0.9), value, known)]
    np.testing.assert_allclose(lambda_return(*whole, 0.95), lambda_return(*short, 0.95), rtol=1e-6)
