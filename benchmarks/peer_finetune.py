"""d3rlpy's side of the fine-tuning: offline updates, then its own `fit_online`.

    .peer/bin/python benchmarks/peer_finetune.py DATA.npz POLICIES.npz SETTINGS

SETTINGS is a JSON object (`finetune.py` writes it). This runs in the peer's own environment, which has no
simulators: the environment is played by whoever started this, one line of JSON for each reset or action on
standard output, one line for each answer on standard input. Scales, widths, rates and weights are those of
our side. Every `every` updates the policy is left, as `peer_d3rlpy.py` leaves its own.
"""

import json
import os
import sys
import time

import d3rlpy
import gymnasium
import numpy as np
import torch
from d3rlpy.algos.qlearning.explorers import NormalNoise
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.models.encoders import VectorEncoderFactory
from peer_d3rlpy import BATCH, policy_of, read, scales, versions


class Remote(gymnasium.Env):
    """The environment of whoever started this.   answers, requests: open text files."""

    def __init__(self, data, answers, requests):
        self.answers, self.requests = answers, requests
        shape = data["observation"].shape[1:]
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, shape, np.float32)
        self.action_space = gymnasium.spaces.Box(data["low"], data["high"], dtype=np.float32)

    def asked(self, action):
        """The answer to an action, or to None, which begins an episode."""
        print(json.dumps(action), file=self.requests, flush=True)
        observation, *others = json.loads(self.answers.readline())
        return np.array(observation, np.float32), *others

    def reset(self, *, seed=None, options=None):
        return self.asked(None)[0], {}

    def step(self, action):
        return *self.asked(np.asarray(action, np.float64).tolist()), {}


def create(method, fields, data):
    """The peer's algorithm with what our side calls its fields."""
    plain = VectorEncoderFactory(fields["hidden"])
    critics = VectorEncoderFactory(fields["hidden"], use_layer_norm=fields["layer_norm"])
    shared = {
        **scales(data), "gamma": fields["discount"], "tau": fields["target_rate"],
        "actor_learning_rate": fields["actor_learning_rate"],
        "critic_learning_rate": fields["critic_learning_rate"],
        "actor_encoder_factory": plain, "critic_encoder_factory": critics,
    }  # fmt: skip
    if method == "iql":
        return d3rlpy.algos.IQLConfig(
            expectile=fields["expectile"], weight_temp=fields["inverse_temperature"],
            max_weight=fields["max_weight"], value_encoder_factory=plain, **shared,
        ).create()  # fmt: skip
    if method == "rebrac":
        return d3rlpy.algos.ReBRACConfig(
            actor_beta=fields["actor_penalty"], critic_beta=fields["critic_penalty"],
            target_smoothing_sigma=fields["noise"], target_smoothing_clip=fields["noise_limit"],
            update_actor_interval=fields["actor_every"], **shared,
        ).create()  # fmt: skip
    shared["temp_learning_rate"] = fields["temperature_learning_rate"]
    if method == "sac":
        return d3rlpy.algos.SACConfig(**shared).create()
    return d3rlpy.algos.CalQLConfig(
        conservative_weight=fields["conservative_weight"], n_action_samples=fields["samples"],
        alpha_learning_rate=0.0, **shared,
    ).create()  # fmt: skip


def first_episodes(learner, explorer, environment, buffer, count):
    """What the policy does before any update online."""
    for _ in range(count):
        (observation, _), over, terminated = environment.reset(), False, False
        while not over:
            seen = observation[None]
            action = (explorer.sample(learner, seen, 0) if explorer else learner.sample_action(seen))[0]
            following, reward, terminated, truncated, _ = environment.step(action)
            buffer.append(observation, action, float(reward))
            observation, over = following, terminated or truncated
        buffer.clip_episode(terminated)


def main(source, target, settings):
    requests = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no request
    settings = json.loads(settings)
    torch.set_num_threads(1)
    d3rlpy.seed(settings["seed"])
    data, dataset = read(source)
    environment = Remote(data, sys.stdin, requests)
    learner = create(settings["method"], settings["fields"], data)
    learner.build_with_dataset(dataset)
    for _ in range(settings["offline"]):
        learner.update(dataset.sample_transition_batch(BATCH))
    buffer = dataset if settings["offline"] else ReplayBuffer(InfiniteBuffer(), env=environment)
    half = (data["high"] - data["low"]) / 2
    explorer = NormalNoise(std=settings["noise"] * half) if settings["method"] == "rebrac" else None
    kept = {}

    def keep(learner, _epoch, step):  # copies: weights are changed in place
        if step % settings["every"] == 0:
            kept.update(
                {f"{step}/{name}": np.array(value) for name, value in policy_of(learner, data).items()}
            )

    keep(learner, 0, 0)
    first_episodes(learner, explorer, environment, buffer, settings["window"])
    began = time.process_time()
    learner.fit_online(
        environment,
        buffer,
        explorer,
        n_steps=settings["online"],
        n_steps_per_epoch=settings["online"],
        logger_adapter=NoopAdapterFactory(),
        show_progress=False,
        callback=keep,
    )
    np.savez(target, **kept, seconds=time.process_time() - began, versions=versions())


if __name__ == "__main__":
    main(*sys.argv[1:])
