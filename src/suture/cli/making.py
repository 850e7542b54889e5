"""`suture make`: logs of a task of our own."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from suture.cli.options import arg
from suture.errors import ConfigError

if TYPE_CHECKING:
    from suture.envs.composite.certify import Certificate
    from suture.envs.composite.collect import Classifier, Recipe

Task = Annotated[tyro.conf.Positional[Literal["composite"]], arg("the five-step task")]
NewFolder = Annotated[tyro.conf.Positional[Path], arg("a new folder", metavar="OUT")]


@dataclasses.dataclass(frozen=True)
class MakeOptions:
    """What decides the log, and how many processes make it."""

    episodes: Annotated[int, arg("of all sets together")] = 4_000
    overlap: Annotated[float, arg("share of the drawer's places in which set B is recorded [0 to 1]")] = 1.0
    observation: Annotated[
        Literal["state", "image"], arg("16 numbers, or pictures of 64x64 beside the hand's own 5")
    ] = "state"
    seed: Annotated[int, arg("decides every episode, whatever the number of workers")] = 0
    without: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        arg("a set to leave out: A, B, C, D, task, blocked or noise; may be given again"),
    ] = ()
    labels: Annotated[
        Literal["none", "true", "classifier"],
        arg(
            "rewards of prior data: 0; or with more of it (set D, which shows the last step) those of the "
            "environment, or of a classifier that learns from the task's own episodes what success looks like"
        ),
    ] = "none"
    workers: Annotated[int | None, arg("processes; default: one for each core that may be used")] = None


Options = tyro.conf.OmitArgPrefixes[MakeOptions]


def make(task: Task, out: NewFolder, log: Options = MakeOptions()) -> int:
    """Record a task in pieces that no episode shows together, with proof; needs mujoco."""
    from rich.console import Console
    from rich.progress import Progress

    from suture.envs.composite import collect

    recipe, console = _recipe(log), Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        number = bar.add_task("episodes", total=None)
        data, proof = collect.make(
            recipe, out, workers=log.workers, classifier=_classifier(log.labels),
            progress=lambda made, total: bar.update(number, completed=made, total=total),
        )  # fmt: skip
    print(f"{out}: {len(data):,} transitions in {data.episodes:,} episodes.")
    for line in _told(proof):
        print(line)
    return 0 if proof.never_shown.holds else 1


def _classifier(labels: str) -> "Classifier | None":
    if labels != "classifier":
        return None
    from suture.training.success import successes

    return successes


def _recipe(options: MakeOptions) -> "Recipe":
    from suture.envs.composite.collect import SETS, Recipe

    if unknown := set(options.without) - set(SETS):
        raise ConfigError(
            f"--without must name one of {', '.join(SETS)}, found {', '.join(sorted(unknown))}."
        )
    return Recipe(
        episodes=options.episodes, overlap=options.overlap, observation=options.observation,
        seed=options.seed, sets=tuple(name for name in SETS if name not in options.without),
        labels=options.labels,
    )  # fmt: skip


def _told(proof: "Certificate") -> Iterator[str]:
    """What the certificates say."""
    never, path = proof.never_shown, proof.stitched
    yield "Scripts reach their end in " + ", ".join(f"{k} {v:.0%}" for k, v in proof.success.items()) + "."
    yield (
        f"Never shown: {'holds' if never.holds else 'BROKEN'}. No episode does more than {never.longest} of "
        f"5 steps; {never.apart} do steps that are not neighbours, {never.early} rewarded ones start early; "
        f"steps that are another set's: {', '.join(f'{k} ({v})' for k, v in never.leaks.items()) or 'none'}."
    )
    if not path.episodes:
        yield (
            "Stitch: there is no path from the start to the reward, in any number of episodes. (States meet "
            "where all of their numbers do: with every set, that takes 1,000 episodes or more.)"
        )
        return
    yield (
        f"Stitch: {'holds' if path.holds else 'too few episodes'}. {path.length} transitions of "
        f"{len(path.episodes)} episodes join start and reward: {', '.join(map(str, path.episodes))}. "
        f"{path.share:.1%} of {path.starts:,} starts have a path."
    )
    kept = {name: share for name, share in proof.without.items() if share}
    yield (
        "Needed: every skill; without one there is no path."
        if not kept
        else "Needed: BROKEN. Starts that have a path without a set: "
        + ", ".join(f"{name} {share:.1%}" for name, share in kept.items())
        + "."
    )
