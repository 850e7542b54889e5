"""Suture: offline reinforcement learning, from logs to policies that can be trusted.

import suture

data = suture.load("logs.csv", schema="schema.json")
run = suture.train(suture.IQL(), data, steps=30_000, out="runs/first")
action = run.policy.act(observation)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from suture.algorithms.awac import AWAC
    from suture.algorithms.awr import AWR
    from suture.algorithms.base import Algorithm
    from suture.algorithms.bc import BC, FilteredBC
    from suture.algorithms.bcq import BCQ
    from suture.algorithms.bear import BEAR
    from suture.algorithms.brac import BRAC
    from suture.algorithms.cql import CQL, CalQL
    from suture.algorithms.crr import CRR
    from suture.algorithms.edac import EDAC, SACN
    from suture.algorithms.fql import FQL
    from suture.algorithms.ifql import IFQL
    from suture.algorithms.iql import IQL
    from suture.algorithms.presets import preset
    from suture.algorithms.qlearning import DQN
    from suture.algorithms.qt_opt import QTOpt
    from suture.algorithms.rebrac import ReBRAC
    from suture.algorithms.sac import SAC
    from suture.algorithms.td3 import TD3
    from suture.algorithms.td3_bc import TD3BC
    from suture.data.dataset import Dataset
    from suture.data.formats.episode_layout import Episode, Layout
    from suture.data.formats.episode_writer import Writer
    from suture.data.formats.pictures import Codec
    from suture.data.load import load
    from suture.data.log import Reading
    from suture.diagnosis.diagnose import diagnose
    from suture.evaluation.evaluate import evaluate
    from suture.evaluation.ope.estimate import estimate
    from suture.online.finetune import finetune
    from suture.online.loop import loop
    from suture.online.settings import Online, Rounds
    from suture.training.outcome import Outcome
    from suture.training.run import Run, open_run
    from suture.training.settings import Settings
    from suture.training.sweep import Sweep
    from suture.training.train import train

__version__ = "0.1.0"

__all__ = [
    "AWAC",
    "AWR",
    "BC",
    "BCQ",
    "BEAR",
    "BRAC",
    "CQL",
    "CRR",
    "DQN",
    "EDAC",
    "FQL",
    "IFQL",
    "IQL",
    "SAC",
    "SACN",
    "TD3",
    "TD3BC",
    "Algorithm",
    "CalQL",
    "Codec",
    "Dataset",
    "Episode",
    "FilteredBC",
    "Layout",
    "Online",
    "Outcome",
    "QTOpt",
    "ReBRAC",
    "Reading",
    "Rounds",
    "Run",
    "Settings",
    "Sweep",
    "Writer",
    "__version__",
    "diagnose",
    "estimate",
    "evaluate",
    "finetune",
    "load",
    "loop",
    "open_run",
    "preset",
    "train",
]

_HOMES = {
    "algorithms.base": ("Algorithm",),
    "algorithms.presets": ("preset",),
    "algorithms.bc": ("BC", "FilteredBC"),
    "algorithms.bcq": ("BCQ",),
    "algorithms.bear": ("BEAR",),
    "algorithms.brac": ("BRAC",),
    "algorithms.cql": ("CQL", "CalQL"),
    "algorithms.edac": ("EDAC", "SACN"),
    "algorithms.fql": ("FQL",),
    "algorithms.ifql": ("IFQL",),
    "algorithms.iql": ("IQL",),
    "algorithms.qlearning": ("DQN",),
    "algorithms.qt_opt": ("QTOpt",),
    "algorithms.awac": ("AWAC",),
    "algorithms.awr": ("AWR",),
    "algorithms.crr": ("CRR",),
    "algorithms.rebrac": ("ReBRAC",),
    "algorithms.sac": ("SAC",),
    "algorithms.td3": ("TD3",),
    "algorithms.td3_bc": ("TD3BC",),
    "data.dataset": ("Dataset",),
    "data.formats.episode_layout": ("Episode", "Layout"),
    "data.formats.episode_writer": ("Writer",),
    "data.formats.pictures": ("Codec",),
    "data.load": ("load",),
    "data.log": ("Reading",),
    "diagnosis.diagnose": ("diagnose",),
    "evaluation.evaluate": ("evaluate",),
    "evaluation.ope.estimate": ("estimate",),
    "online.finetune": ("finetune",),
    "online.loop": ("loop",),
    "online.settings": ("Online", "Rounds"),
    "training.outcome": ("Outcome",),
    "training.run": ("Run", "open_run"),
    "training.settings": ("Settings",),
    "training.sweep": ("Sweep",),
    "training.train": ("train",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Public names load when first used: `import suture` itself imports nothing heavy."""
    if name not in _HOME:
        raise AttributeError(f"module 'suture' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"suture.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
