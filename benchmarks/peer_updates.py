"""d3rlpy's side of `updates.py`: answers each line "METHOD UPDATES" with its updates a second.

Runs in the peer's own environment. An update is what d3rlpy's `fit` does: sample a batch, update. Of one
and two threads the faster is used, found on the first request.
"""

import sys
import time

import d3rlpy
import numpy as np
import torch

OBSERVATION, ACTION, BATCH, LENGTH = 17, 6, 256, 1000
TRIAL = 3
"""Seconds that each number of threads is tried."""


def buffer(rows, choices=False):
    """Random episodes of `rows` transitions in all."""
    generator = np.random.default_rng(0)

    def actions():
        if choices:
            return generator.integers(0, ACTION, (LENGTH, 1))
        return generator.uniform(-1, 1, (LENGTH, ACTION)).astype(np.float32)

    episodes = [
        d3rlpy.dataset.Episode(
            generator.uniform(-1, 1, (LENGTH, OBSERVATION)).astype(np.float32),
            actions(),
            generator.uniform(-1, 1, (LENGTH, 1)).astype(np.float32),
            terminated=True,
        )
        for _ in range(rows // LENGTH)
    ]
    return d3rlpy.dataset.ReplayBuffer(d3rlpy.dataset.InfiniteBuffer(), episodes=episodes)


def rate(algorithm, data, updates):
    """Updates a second."""
    began = time.perf_counter()
    for _ in range(updates):
        algorithm.update(data.sample_transition_batch(BATCH))
    return updates / (time.perf_counter() - began)


def configs():
    """Each method with the work of ours: two critics, equal samples, no warm-up phase."""
    algos = d3rlpy.algos
    return {
        "bc": algos.BCConfig(batch_size=BATCH),
        "iql": algos.IQLConfig(batch_size=BATCH),
        "sac": algos.SACConfig(batch_size=BATCH),
        "sac_n": algos.SACConfig(batch_size=BATCH, n_critics=10),
        "td3": algos.TD3Config(batch_size=BATCH),
        "td3_bc": algos.TD3PlusBCConfig(batch_size=BATCH),
        "rebrac": algos.ReBRACConfig(batch_size=BATCH),
        "awac": algos.AWACConfig(batch_size=BATCH),
        "crr": algos.CRRConfig(batch_size=BATCH, n_critics=2, n_action_samples=4),
        "cql": algos.CQLConfig(batch_size=BATCH),
        "cal_ql": algos.CalQLConfig(batch_size=BATCH),
        "bear": algos.BEARConfig(batch_size=BATCH, warmup_steps=0),
        "dqn": algos.DoubleDQNConfig(batch_size=BATCH),
        "bcq": algos.BCQConfig(batch_size=BATCH, n_action_samples=10),
    }


def main():
    """Answer until standard input ends."""
    rows, known = int(sys.argv[1]), configs()
    logs, made, threads = {}, {}, {}
    for line in sys.stdin:
        name, updates = line.split()
        choices = name == "dqn"
        if choices not in logs:
            logs[choices] = buffer(rows, choices)
        data = logs[choices]
        if name not in made:
            made[name] = known[name].create(device="cpu:0")
            made[name].build_with_dataset(data)
            trial = {}
            for count in (1, 2):
                torch.set_num_threads(count)
                few = rate(made[name], data, 5)
                trial[count] = rate(made[name], data, max(10, round(TRIAL * few)))
            threads[name] = max(trial, key=trial.get)
        torch.set_num_threads(threads[name])
        print("rate", rate(made[name], data, int(updates)), flush=True)


if __name__ == "__main__":
    d3rlpy.logging.set_log_context()
    main()
