"""Searches for the best action, on values whose best action is known."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from suture.keys import key_for
from suture.nets.critics import critic_for
from suture.nets.distributions import Categorical, Gaussian
from suture.nets.policies import Policy
from suture.nets.search import SearchPolicy, value_of
from suture.objectives.maximise import Choice, CrossEntropy, Enumerate, Interval, PolicySamples
from suture.spaces import Box, Discrete

KEY = key_for(0, "act")


def hill(top: Any) -> Any:
    """A value whose best action is `top`, wherever the observation has it."""
    return lambda observation, action: -jnp.square(action - top - observation).sum(-1)


def search(dimensions: int = 1, **fields: Any) -> CrossEntropy:
    return CrossEntropy((Interval(dimensions),), **fields)


def found(maximise: Any, value: Any, observation: Any) -> Any:
    """What a search finds, compiled."""
    return jax.jit(lambda observation: maximise(value, observation, KEY))(observation)


def test_enumeration_finds_the_best_choice_of_each_row() -> None:
    table = jnp.array([[1.0, 5.0, 2.0], [7.0, 0.0, 7.5], [3.0, -1.0, -2.0]])
    best = Enumerate(3)(lambda rows, action: table[rows, action], jnp.array([0, 1, 2, 0]), KEY)
    assert best.tolist() == [1, 2, 0, 1]


def test_two_rounds_of_64_find_the_top_of_a_parabola() -> None:
    """To 0.01; near the edge, where few first samples fall, in nine of ten searches, and to 0.1 in all."""
    find = jax.jit(jax.vmap(lambda key, top: search()(hill(top), jnp.zeros((1, 1)), key), (0, None)))
    keys = jax.random.split(KEY, 50)
    for top in (-0.5, 0.0, 0.4):
        np.testing.assert_allclose(find(keys, top), top, atol=1e-2)
    for top in (-0.93, 0.99):
        error = np.abs(np.asarray(find(keys, top)) - top)
        assert np.quantile(error, 0.9) < 1e-2
        assert error.max() < 0.1


def test_more_rounds_find_the_top_in_six_dimensions() -> None:
    top = jnp.array([0.9, -0.9, 0.1, 0.0, -0.4, 0.6])
    once, often = (found(search(6, iterations=n), hill(top), jnp.zeros((1, 1)))[0] for n in (2, 8))
    assert float(jnp.abs(often - top).max()) < 0.1 < float(jnp.abs(once - top).max())


def test_actions_are_clipped_before_they_are_valued() -> None:
    """Beyond the bounds lies a lure, and nobody asks there; a top beyond them is met at the edge."""
    asked = list[Any]()

    def lure(observation: Any, action: Any) -> Any:
        asked.append(action)
        return jnp.where(jnp.abs(action) > 1, 1e9, hill(0.9)(observation, action)[..., None]).sum(-1)

    action = search()(lure, jnp.zeros((1, 1)), KEY)
    assert abs(float(action[0, 0]) - 0.9) < 0.02
    assert max(float(jnp.abs(actions).max()) for actions in asked) == 1.0
    assert float(found(search(), hill(1.7), jnp.zeros((1, 1)))[0, 0]) == 1.0


def test_the_answer_is_the_best_sample_of_the_last_round() -> None:
    rounds = list[tuple[Any, Any]]()

    def value(observation: Any, action: Any) -> Any:
        values = -jnp.abs(action[..., 0] - 0.7)
        rounds.append((np.asarray(action[:, 0, 0]), np.asarray(values[:, 0])))
        return values

    action = search()(value, jnp.zeros((1, 1)), KEY)
    assert [len(actions) for actions, _ in rounds] == [64, 64]
    assert float(action[0, 0]) == rounds[1][0][rounds[1][1].argmax()]
    elites = np.sort(np.abs(rounds[0][0] - 0.7))[:6]
    best = rounds[0][0][np.abs(rounds[0][0] - 0.7) <= elites[-1]]
    # the second round lies around the six best of the first, as widely as they do
    assert abs(rounds[1][0].mean() - best.mean()) < 3 * best.std() / 8 + 0.02
    assert abs(rounds[1][0].std() - max(best.std(), 0.05)) < 0.3 * max(best.std(), 0.05)


def test_a_choice_and_numbers_are_searched_together() -> None:
    """Three choices, of which the second is best, and then only near 0.5."""

    def value(observation: Any, action: Any) -> Any:
        worth = action[..., 1:] @ jnp.array([0.2, 0.3, 0.0])
        return worth - 0.1 * jnp.square(action[..., 0] - 0.5) * (1 + action[..., 2])

    mixed = CrossEntropy((Interval(1), Choice(3)), iterations=4)
    actions = np.asarray(found(mixed, value, jnp.zeros((5, 2))))
    np.testing.assert_array_equal(actions[:, 1:], [[-1, 1, -1]] * 5)
    np.testing.assert_allclose(actions[:, 0], 0.5, atol=0.05)


def test_none_of_the_choices_is_one_of_them() -> None:
    """Where each costs something, none is chosen; where the second pays, it is; all four are drawn alike."""
    block = Choice(3, none=True)
    for worth, best in (([-0.1, -0.2, -0.3], [-1, -1, -1]), ([-0.1, 0.2, -0.3], [-1, 1, -1])):
        mixed = CrossEntropy((Interval(1), block), iterations=4)
        actions = np.asarray(found(mixed, lambda _, a, w=worth: a[..., 1:] @ jnp.array(w), jnp.zeros((2, 2))))
        np.testing.assert_array_equal(actions[:, 1:], [best] * 2)
    drawn = np.asarray(block.draw(block.start(1), KEY, 20_000))
    np.testing.assert_allclose([(drawn.max(-1) < 0).mean(), *((drawn + 1) / 2).mean((0, 1))], 0.25, atol=0.01)
    elites = jnp.array([[[-1.0, -1, -1]], [[-1, 1, -1]]])
    np.testing.assert_allclose(block.fit(elites)[0], [[0.0375, 0.4625, 0.0375, 0.4625]], rtol=1e-6)


def test_no_choice_is_lost_by_smoothing() -> None:
    """All elites chose the first of four: it has probability 0.85 + 0.15 / 4, the others 0.15 / 4."""
    block = Choice(4)
    elites = jnp.tile(jnp.array([1.0, -1, -1, -1]), (6, 2, 1))
    np.testing.assert_allclose(block.fit(elites)[0], [[0.8875, 0.0375, 0.0375, 0.0375]] * 2, rtol=1e-6)
    drawn = block.draw(block.fit(elites), KEY, 20_000)
    np.testing.assert_allclose((drawn.mean(0) + 1) / 2, [[0.8875, 0.0375, 0.0375, 0.0375]] * 2, atol=0.01)


def test_a_search_around_equal_elites_stays_as_wide_as_its_floor() -> None:
    mean, deviation = Interval(2, floor=0.07).fit(jnp.full((6, 3, 2), 0.4))
    np.testing.assert_allclose(mean, np.full((3, 2), 0.4), rtol=1e-6)
    np.testing.assert_allclose(deviation, np.full((3, 2), 0.07), rtol=1e-6)


def test_an_action_does_not_depend_on_where_its_row_stands() -> None:
    observation = jnp.array([[0.3], [-0.5], [0.3], [0.0]])
    four, one = found(search(), hill(0.1), observation), found(search(), hill(0.1), observation[:1])
    assert float(four[0, 0]) == float(four[2, 0]) == float(one[0, 0])


class Spread(Policy):
    """Gaussian actions around the observation."""

    def __call__(self, observation: Any, key: Any = None) -> Gaussian:
        return Gaussian(observation, jnp.log(jnp.full_like(observation, 0.3)))


def test_the_best_of_32_lies_2_07_deviations_up() -> None:
    """E max of 32 standard normals is 2.0697; of 4, 1.0294. The sample's standard error here is 0.005."""
    for samples, expected in ((32, 2.0697), (4, 1.0294)):
        maximise = PolicySamples(Spread(), samples)
        draw = jax.vmap(lambda key, m=maximise: m(lambda o, a: a[..., 0], jnp.array([[0.5]]), key)[0, 0])
        best = jax.jit(draw)(jax.random.split(KEY, 10_000))
        assert abs(float(best.mean() - 0.5) / 0.3 - expected) < 0.02


def test_samples_of_rows_are_their_own() -> None:
    observation = jnp.array([[0.5, 0.0], [-0.5, 1.0]])
    actions = PolicySamples(Spread(), 4_000).draw(observation, KEY)
    assert actions.shape == (4_000, 2, 2)
    np.testing.assert_allclose(actions.mean(0), observation, atol=0.03)
    np.testing.assert_allclose(actions.std(0), 0.3, atol=0.02)


def test_samples_of_choices() -> None:
    class Fair(Policy):
        def __call__(self, observation: Any, key: Any = None) -> Any:
            return Categorical(jnp.zeros((*observation.shape, 3)))

    best = PolicySamples(Fair(), 50)(lambda o, a: jnp.asarray(a == o, jnp.float32), jnp.arange(3), KEY)
    assert best.tolist() == [0, 1, 2]


def test_an_observation_is_encoded_once() -> None:
    """However often the critic is asked about it: one convolution in all."""
    space = Box((8, 8, 1), "uint8")

    def make() -> SearchPolicy:
        critic = critic_for(space, Box((2,), low=(-1.0,) * 2, high=(1.0,) * 2), (16,), 2, KEY)
        return SearchPolicy(critic, search(2, iterations=3))

    observation = jax.ShapeDtypeStruct((5, *space.shape), space.dtype)
    act = jax.jit(lambda policy, observation: policy(observation).mode())
    compiled = act.lower(jax.eval_shape(make), observation).compile().as_text()
    assert compiled is not None
    convolutions = sum(" convolution(" in line for line in compiled.splitlines())
    assert convolutions == 1


def test_a_search_policy_acts_as_its_value_says() -> None:
    """Where two critics differ, by their minimum, or by their mean less deviations."""
    critic = critic_for(Discrete(4), Box((1,), low=(-1.0,), high=(1.0,)), (32, 32), 2, key_for(1, "init"))
    states, grid = jnp.arange(4), jnp.broadcast_to(jnp.linspace(-1, 1, 401)[:, None, None], (401, 4, 1))

    @jax.jit
    def regret(spread: Any) -> Any:
        policy, value = SearchPolicy(critic, search(), spread), value_of(critic, spread)
        return (value(states, grid).max(0) - value(states, policy(states).mode()[None])[0]).max()

    assert float(regret(None)) < 0.02
    assert float(regret(2.0)) < 0.02
