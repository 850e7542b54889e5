"""Suture: offline reinforcement learning, from logs to policies that can be trusted.

import suture

data = suture.load("logs.csv", schema="schema.json")
run = suture.train(suture.IQL(), data, steps=30_000, out="runs/first")
action = run.policy.act(observation)
"""

__version__ = "0.1.0"
