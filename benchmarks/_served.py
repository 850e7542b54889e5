"""An environment that another process plays, line by line, as `peer_finetune.py` asks."""

import json
from typing import Any, cast

import gymnasium
import numpy as np

from suture.evaluation.rollout import seed_of


class Served:
    """Answers to lines: null begins an episode, a list is an action.

    Episode k starts from (seed, k), as every episode of ours does. `returns` and `lengths` are those of the
    whole episodes so far.
    """

    def __init__(self, environment: str, seed: int):
        self.environment: gymnasium.Env[Any, Any] = gymnasium.make(environment, disable_env_checker=True)
        self.box, self.seed = cast(gymnasium.spaces.Box, self.environment.action_space), seed
        self.returns, self.lengths, self.begun = list[float](), list[int](), 0
        self.earned, self.steps = 0.0, 0

    def __call__(self, line: str) -> str:
        asked = json.loads(line)
        if asked is None:
            observation, _ = self.environment.reset(seed=seed_of(self.seed, self.begun))
            self.begun, self.earned, self.steps = self.begun + 1, 0.0, 0
            return json.dumps([np.asarray(observation).tolist(), 0.0, False, False])
        action = np.clip(np.array(asked, self.box.dtype), self.box.low, self.box.high)
        observation, reward, terminated, truncated, _ = self.environment.step(action)
        self.earned, self.steps = self.earned + float(reward), self.steps + 1
        if terminated or truncated:
            self.returns.append(self.earned)
            self.lengths.append(self.steps)
        told = np.asarray(observation).tolist(), float(reward), bool(terminated), bool(truncated)
        return json.dumps(told)
