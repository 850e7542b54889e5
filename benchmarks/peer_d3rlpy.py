"""d3rlpy's side of the scores: one training run, on the data that ours were trained on.

    .peer/bin/python benchmarks/peer_d3rlpy.py DATA.npz POLICY.npz bc|iql STEPS SEED EXPECTILE TEMPERATURE

TEMPERATURE is the inverse temperature. This runs in the peer's own environment, which has no simulators:
it leaves the policy's weights, which `scores.py` plays. Batch 256, two layers of 256, observations
standardised, actions scaled to [-1, 1] from the same bounds as ours; the rest is d3rlpy's default. What
d3rlpy itself answers on a few observations is kept beside the weights, so that a misread policy is noticed.
"""

import itertools
import sys
import time
from importlib import metadata

import d3rlpy
import numpy as np
import torch
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer
from d3rlpy.preprocessing import MinMaxActionScaler, StandardObservationScaler

BATCH = 256
CHECKED = 64


def episodes_of(data):
    """The exported transitions as d3rlpy's episodes.

    d3rlpy leaves the last row of a truncated episode out, for it has no place for that row's next
    observation: it is given one more row, which holds this observation and is never sampled itself.
    """
    starts = data["episode_start"]
    for episode, (first, end) in enumerate(itertools.pairwise(starts)):
        columns = [data[name][first:end] for name in ("observation", "action", "reward")]
        terminated = bool(data["terminated"][end - 1])
        if not terminated and data["has_final"][episode]:
            final = data["final_observation"][episode], 0 * columns[1][0], np.float32(0)
            columns = [
                np.concatenate([column, row[None]]) for column, row in zip(columns, final, strict=True)
            ]
        if terminated or len(columns[0]) > 1:
            observation, action, reward = columns
            yield d3rlpy.dataset.Episode(observation, action, reward[:, None], terminated)


def scales(data):
    """Fields of every algorithm: the batch and the scales of our side."""
    return {
        "batch_size": BATCH,
        "observation_scaler": StandardObservationScaler(mean=data["mean"], std=data["std"]),
        "action_scaler": MinMaxActionScaler(minimum=data["low"], maximum=data["high"]),
    }


def create(algorithm, data, expectile, inverse_temperature):
    """The peer's algorithm with the scales of our side."""
    shared = scales(data)
    if algorithm == "bc":
        return d3rlpy.algos.BCConfig(**shared).create()
    return d3rlpy.algos.IQLConfig(expectile=expectile, weight_temp=inverse_temperature, **shared).create()


def read(source):
    """The exported data, and d3rlpy's buffer of it."""
    with np.load(source) as file:
        data = {name: file[name] for name in file.files}
    return data, ReplayBuffer(InfiniteBuffer(), episodes=list(episodes_of(data)))


def weights_of(learned, data):
    """Layer by layer: everything that is needed to act without d3rlpy."""
    modules = learned.impl.modules
    policy = modules.imitator if hasattr(modules, "imitator") else modules.policy
    named = [(name, module) for name, module in policy.named_modules() if "logstd" not in name]
    layers = [module for _, module in named if isinstance(module, torch.nn.Linear)]
    found = {"low": data["low"], "high": data["high"], "mean": data["mean"]}
    found["scale"] = data["std"] + learned.config.observation_scaler.eps
    for number, layer in enumerate(layers):
        found[f"weight{number}"] = layer.weight.detach().numpy().T
        found[f"bias{number}"] = layer.bias.detach().numpy()
    return found


def policy_of(learner, data):
    """A policy as `_peer.acting` reads it: its weights, and what it answers to some observations."""
    checked = data["observation"][:: max(1, len(data["observation"]) // CHECKED)][:CHECKED]
    return {**weights_of(learner, data), "observation": checked, "action": learner.predict(checked)}


def versions():
    """Which versions ran."""
    return np.array([f"{name} {metadata.version(name)}" for name in ("d3rlpy", "torch", "numpy")])


def main(source, target, algorithm, steps, seed, expectile, inverse_temperature):
    torch.set_num_threads(1)
    d3rlpy.seed(int(seed))
    data, dataset = read(source)
    learner = create(algorithm, data, float(expectile), float(inverse_temperature))
    learner.build_with_dataset(dataset)
    began = time.perf_counter()
    for _ in range(int(steps)):
        learner.update(dataset.sample_transition_batch(BATCH))
    seconds = time.perf_counter() - began
    np.savez(
        target,
        **policy_of(learner, data),
        transitions=dataset.transition_count,
        seconds=seconds,
        versions=versions(),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
