"""Pessimism where luck deceives: by counts, and by the disagreement of an ensemble."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.sets import dataset_of

from suture.algorithms.qlearning import DQN
from suture.data.build import build
from suture.data.counts import Counts
from suture.data.dataset import Dataset
from suture.data.log import Reading
from suture.data.normalise import Normaliser
from suture.data.stage import Stage
from suture.envs.tabular import TabularMDP, evaluate, optimal, sample_log
from suture.spaces import Discrete
from suture.training.train import train

ARMS = 50
SEEN = np.ones((1, 1), np.float32)


def pulls(arms: Any, rewards: Any) -> Dataset:
    """A log of single pulls."""
    count = len(arms)
    data = dataset_of((1,) * count, observation=np.ones((count, 1), np.float32))
    return dataclasses.replace(
        data, action=np.asarray(arms, np.int32), reward=np.asarray(rewards, np.float32),
        action_space=Discrete(ARMS),
    )  # fmt: skip


@pytest.fixture(scope="module")
def lucky() -> Dataset:
    """Arm 0 pays in 60 of 100 pulls. Each of 49 others was pulled once, pays in half of all cases, and did
    so here in every second."""
    return pulls(
        [0] * 100 + list(range(1, ARMS)), [1.0] * 60 + [0.0] * 40 + [float(arm % 2) for arm in range(1, ARMS)]
    )


def chosen(data: Dataset, out: Path, *, steps: int = 1_000, settings: Any = None, **fields: Any) -> int:
    algorithm = DQN(
        hidden=(), discount=0.0, loss="squared", critic_learning_rate=2e-2, batch_size=128, **fields
    )
    run = train(algorithm, data, steps=steps, out=out, normalise="none", **(settings or {}))
    return int(run.policy.act(SEEN)[0])


def worth(arm: int) -> float:
    return 0.6 if arm == 0 else 0.5


def test_a_lucky_arm_is_taken_unless_counts_are_minded(lucky: Dataset, tmp_path: Path) -> None:
    """Greedy 0.500, with the lower confidence bound 0.600."""
    greedy = chosen(lucky, tmp_path / "greedy")
    assert lucky.reward is not None
    assert lucky.reward[lucky.action == greedy].mean() == 1.0
    assert worth(greedy) == 0.5
    assert worth(chosen(lucky, tmp_path / "bound", settings={"count_penalty": 1.0})) == 0.6


def test_critics_that_saw_the_same_luck_agree_on_it(lucky: Dataset, tmp_path: Path) -> None:
    """What disagreement cannot do: trained to the end, all critics believe the one pull."""
    assert worth(chosen(lucky, tmp_path / "run", critics=10, spread=2.0)) == 0.5


def test_disagreement_finds_what_training_has_not_settled(tmp_path: Path) -> None:
    """Five arms pay -0.3 to -0.1; the others were never pulled, and fresh critics hold them for about 0.

    The mean of the critics takes one of those; two standard deviations below it lies the best known arm.
    """
    arms = np.arange(500) % 5
    data = pulls(arms, -0.3 + 0.05 * arms)
    fields: dict[str, Any] = {"critics": 10, "steps": 600}
    assert chosen(data, tmp_path / "mean", spread=0.0, **fields) >= 5
    assert chosen(data, tmp_path / "spread", spread=2.0, **fields) == 4


RARE = 9


def gambles() -> tuple[TabularMDP, Any]:
    """A ring of five states, where the usual action earns 0.5. Nine others are gambles that do not pay: 3 in
    three cases of ten, else a pit. The behaviour gambles once in ten steps."""
    transition, reward = np.zeros((7, 1 + RARE, 7)), np.zeros((7, 1 + RARE))
    for state in range(5):
        transition[state, 0, (state + 1) % 5], reward[state, 0] = 1.0, 0.5
        transition[state, 1:, 5], transition[state, 1:, 6] = 0.3, 0.7
    transition[5, :, 0], reward[5] = 1.0, 3.0
    transition[6, :, 0] = transition[6, :, 6] = 0.5
    behaviour = np.full((7, 1 + RARE), 0.1 / RARE)
    behaviour[:, 0] = 0.9
    return TabularMDP(transition, reward, 0.9, np.eye(7)[0]), behaviour


def planned(data: Dataset, strength: float, mdp: TabularMDP) -> float:
    """What the best policy of the log's own averages is worth, among logged pairs, by the rewards that
    training sees."""
    penalty = Counts.of(data, Normaliser()).penalty(strength) if strength else None
    stage = Stage(dataset=data, normaliser=Normaliser(), needs=frozenset({"reward"}),
                  rows=np.arange(len(data)), penalty=penalty)  # fmt: skip
    seen, after = (np.asarray(tree).argmax(1) for tree in (data.observation, data.next_observation))
    reward = np.asarray(stage.everything().take(np.arange(len(data)))["reward"], np.float64)
    count, total = np.zeros(mdp.reward.shape), np.zeros(mdp.reward.shape)
    through = np.zeros(mdp.transition.shape)
    np.add.at(count, (seen, data.action), 1)
    np.add.at(total, (seen, data.action), reward)
    np.add.at(through, (seen, data.action, after), 1)
    often = np.maximum(count, 1)
    model = TabularMDP(through / often[..., None], total / often, mdp.discount, mdp.start)
    allowed = (count > 0) | ~(count > 0).any(1, keepdims=True)
    return evaluate(mdp, np.eye(1 + RARE)[optimal(model, allowed, 1e-6)[1]])[2]


@pytest.mark.parametrize("transitions", [300, 1_000])
def test_in_support_is_not_enough_where_rare_gambles_were_lucky(transitions: int) -> None:
    """The best policy inside the log is worse than who made the log; with the bound it is nearly optimal."""
    mdp, behaviour = gambles()
    found: dict[float, list[float]] = {0.0: [], 4.0: []}
    for seed in range(5):
        log = sample_log(mdp, behaviour, episodes=transitions // 50, horizon=50, seed=seed)
        data = build(log, Reading())
        for strength, values in found.items():
            values.append(planned(data, strength, mdp))
    logged, best = evaluate(mdp, behaviour)[2], optimal(mdp)[2]
    assert np.mean(found[0.0]) < logged - 0.5
    assert np.mean(found[4.0]) > logged + 0.2
    assert np.mean(found[4.0]) == pytest.approx(best, abs=0.1)
