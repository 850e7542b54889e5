"""Our Adam is optax's, with its divisions folded."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from suture.nets.optimiser import adam

START = {"weight": jnp.linspace(-1.0, 2.0, 12).reshape(3, 4), "bias": jnp.array([0.3, -5.0, 1e-4])}
STEPS = 50
COSINE = optax.cosine_decay_schedule(1.0, STEPS)


def descend(optimiser: optax.GradientTransformation) -> Any:
    """Parameters after each of 50 steps down a stretched quadratic with a gradient that changes sign."""

    def step(carry: Any, count: Any) -> Any:
        parameters, state = carry
        gradient = jax.tree.map(
            lambda p: 10 * (p - jnp.sin(count)) * jnp.arange(1.0, 1 + p.size).reshape(p.shape), parameters
        )
        updates, state = optimiser.update(gradient, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
        return (parameters, state), parameters

    return jax.jit(lambda: jax.lax.scan(step, (START, optimiser.init(START)), jnp.arange(STEPS))[1])()


@pytest.mark.parametrize("scheduled", [False, True])
def test_adam_is_optax_s(scheduled: bool) -> None:
    ours = descend(adam(3e-2, COSINE if scheduled else None))
    theirs = descend(optax.adam(lambda count: 3e-2 * COSINE(count)) if scheduled else optax.adam(3e-2))
    for name in START:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-6)


def test_a_schedule_ends_the_movement() -> None:
    path = descend(adam(3e-2, optax.cosine_decay_schedule(1.0, 20)))["weight"]
    assert np.abs(path[19] - path[18]).max() > 0
    np.testing.assert_array_equal(path[-1], path[20])


def test_tiny_gradients_are_not_lost_in_epsilon() -> None:
    """The folded epsilon shrinks with the bias correction: the first step is the rate, whatever the scale."""
    optimiser = adam(1e-3)
    gradient = {"a": jnp.array([1e-4, 1.0, -1e4])}
    updates, _ = optimiser.update(gradient, optimiser.init(gradient))
    np.testing.assert_allclose(updates["a"], [-1e-3, -1e-3, 1e-3], rtol=2e-4)
