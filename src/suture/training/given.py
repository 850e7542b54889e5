"""What `train` was given, checked before anything else; what is of another kind is answered with advice."""

from pathlib import Path
from typing import Any

from suture.algorithms.base import Algorithm
from suture.data.dataset import Dataset
from suture.data.findings import many
from suture.errors import ConfigError
from suture.spaces import Space
from suture.training.crop import smallest_side
from suture.training.settings import Settings
from suture.training.sweep import Sweep


def require_kinds(algorithm: object, data: object) -> None:
    """Refuse what is no algorithm (a name, a class) or no dataset (a path, an array); say what to write."""
    if isinstance(algorithm, type) and issubclass(algorithm, Algorithm):
        name = algorithm.__name__
        raise ConfigError(
            f"train takes an algorithm, found the class {name}. Write {name}(), with its fields."
        )
    if not isinstance(algorithm, Algorithm | Sweep):
        raise ConfigError(
            f"train takes an algorithm such as suture.IQL(), or a Sweep of one, found {_said(algorithm)}. "
            'By its name: suture.preset("iql", "generic").'
        )
    if isinstance(data, str | Path):
        raise ConfigError(
            f"train takes a dataset, found the path {str(data)!r}. Load it first: "
            f'suture.load("{data}"), with schema="..." where it is a CSV or Parquet file.'
        )
    if not isinstance(data, Dataset):
        raise ConfigError(
            f"train takes a dataset, found {_said(data)}. Load one from a file by suture.load; it may be "
            "an NPZ file of arrays."
        )


def require_used(algorithm: Algorithm[Any], settings: Settings, observation: Space) -> None:
    """Refuse settings of rewards for a method that does not learn from them, and of images without any."""
    for name, does in (("count_penalty", "lowers them"), ("balance", "chooses rows by them")):
        if getattr(settings, name) and not algorithm.needs & {"reward", "return_to_go"}:
            raise ConfigError(
                f"{algorithm.name} does not learn from rewards, and {name} {does}. Leave out "
                f"--{name.replace('_', '-')}, or choose a method that does (such as iql)."
            )
    crop, side = settings.random_crop, smallest_side(observation)
    if settings.frame_stack > 1 and side is None:
        raise ConfigError(
            f"frame_stack = {settings.frame_stack} puts images side by side, and no part of the observation "
            f"is one: found {observation}. Leave out --frame-stack."
        )
    if settings.frame_stack > 1 and settings.hindsight:
        raise ConfigError(
            "With goals in hindsight an episode is cut into pieces, and images do not look back over the "
            "cuts. Leave out --frame-stack or --hindsight."
        )
    if crop and side is None:
        raise ConfigError(
            f"random_crop = {crop} moves images, and no part of the observation is one (bytes of height, "
            f"width and channels): found {observation}. Leave out --random-crop."
        )
    if crop and side is not None and 2 * crop >= side:
        raise ConfigError(
            f"random_crop = {crop} moves images by up to {crop} pixels, which is half or more of the {side} "
            "that the smallest one has. Give --random-crop fewer (4 is usual)."
        )


def require_one_image(settings: Settings, what: str) -> None:
    """Refuse a run that sees several images of an episode at once, where only single ones are at hand."""
    if settings.frame_stack > 1:
        raise ConfigError(
            f"{what} shows a policy single observations, and this run sees {settings.frame_stack} images of "
            "an episode at once. Use a run without --frame-stack."
        )


def _said(thing: object) -> str:
    return repr(thing) if isinstance(thing, str) else f"a {type(thing).__name__}"


def nothing_held_out(data: Dataset, fraction: float) -> str:
    """Why a split kept nothing for validation, for people."""
    why = (
        "the log is one episode, and whole episodes are held out"
        if data.episodes == 1
        else f"the {many(data.episodes, 'episode')} cannot be divided so"
    )
    return (
        f"Nothing was held out, though validation is {fraction:g}: {why}. Everything is learned from; check "
        "on another log."
    )
