"""`suture make`: logs of a task of our own."""

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from suture.cli.options import Flag, arg, parsed, show
from suture.config import nearest
from suture.errors import ConfigError

if TYPE_CHECKING:
    from suture.envs.composite.certify import Certificate
    from suture.envs.composite.collect import Classifier, Recipe

NewFolder = Annotated[tyro.conf.Positional[Path], arg("a new folder", metavar="OUT")]


@dataclasses.dataclass(frozen=True)
class CompositeOptions:
    """What decides the log, and how many processes make it."""

    episodes: Annotated[int, arg("of all sets together")] = 4_000
    overlap: Annotated[float, arg("share of the drawer's places in which set B is recorded [0 to 1]")] = 1.0
    epsilon: Annotated[float, arg("share of steps whose action is drawn at random [0 to 1]")] = 0.0
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


def composite(out: NewFolder, log: tyro.conf.OmitArgPrefixes[CompositeOptions] = CompositeOptions()) -> int:
    """Record the five-step task in pieces that no episode shows together, with proof; needs mujoco."""
    from suture.envs.composite import collect

    recipe = _recipe(log)
    with _told_of("episodes") as progress:
        data, proof = collect.make(
            recipe, out, workers=log.workers, classifier=_classifier(log.labels), progress=progress
        )
    print(f"{out}: {len(data):,} transitions in {data.episodes:,} episodes.")
    for line in _certified(proof):
        print(line)
    return 0 if proof.never_shown.holds and not any(proof.without.values()) else 1


def _mix(text: str) -> dict[str, float]:
    """'scripted=0.6,random=0.4' as shares."""
    try:
        return {name.strip(): float(share) for name, share in (part.split("=") for part in text.split(","))}
    except ValueError as error:
        raise ConfigError(
            f"--mix is NAME=SHARE,... such as scripted=0.6,random=0.4; found {text!r}."
        ) from error


@dataclasses.dataclass(frozen=True)
class GraspOptions:
    """What decides the log, and how many processes make it."""

    episodes: Annotated[int, arg("in all; an episode has eight steps or so")] = 10_000
    mix: Annotated[
        str,
        arg(
            "who acts how often: exact (never errs), scripted (errs), epsilon (errs at random), random",
            metavar="NAME=SHARE,...",
        ),
    ] = "scripted=1"
    pixels: Annotated[int, arg("width of a picture; suture/Grasp-v0 shows 48")] = 48
    camera: Annotated[
        Literal["crop", "overhead", "wrist", "shoulder"], arg("crop: from above, follows the hand")
    ] = "crop"
    depth: Annotated[Flag, arg("a fourth channel: how far away things are")] = False
    objects: Annotated[
        Literal["train", "held-out", "any"], arg("shapes; held-out: those of suture/GraspHeldOut-v0")
    ] = "train"
    seed: Annotated[int, arg("decides every episode, whatever the number of workers")] = 0
    workers: Annotated[int | None, arg("processes; default: one for each core that may be used")] = None
    resume: Annotated[Flag, arg("go on in OUT, with the same recipe; there may be more --episodes")] = False


def grasps(out: NewFolder, log: tyro.conf.OmitArgPrefixes[GraspOptions] = GraspOptions()) -> int:
    """Record scripted grasps with pictures, many of which fail; needs mujoco, grain and array-record."""
    from suture.envs.grasp.collect import Recipe
    from suture.envs.grasp.log import make, successes

    recipe = Recipe(
        mix=_mix(log.mix), objects=log.objects, camera=log.camera, pixels=log.pixels, depth=log.depth,
        seed=log.seed,
    )  # fmt: skip
    with _told_of("episodes") as progress:
        data = make(
            recipe, out, episodes=log.episodes, workers=log.workers, resume=log.resume, progress=progress
        )
    print(f"{out}: {len(data):,} transitions in {data.episodes:,} episodes.")
    print("Succeeded: " + ", ".join(f"{name} {share:.1%}" for name, share in successes(data).items()) + ".")
    return 0


TASKS: dict[str, Callable[..., int]] = {"composite": composite, "grasps": grasps}


def make(arguments: list[str]) -> int:
    """Record a log of a task of our own: composite (five steps) or grasps (pictures); needs mujoco."""
    if not arguments or arguments[0] in ("-h", "--help"):
        from suture.report.listing import listing

        rows = [(f"suture make {name}", (task.__doc__ or "").strip()) for name, task in TASKS.items()]
        show(listing("Logs of tasks of our own.", rows, "suture make NAME --help explains one."))
        return 0
    if arguments[0] not in TASKS:
        raise ConfigError(f"There is no task {arguments[0]!r} to make.{nearest(arguments[0], TASKS)}")
    return parsed(TASKS[arguments[0]], f"suture make {arguments[0]}", arguments[1:])()


@contextlib.contextmanager
def _told_of(what: str) -> Generator[Callable[[int, int], Any]]:
    """A bar on the terminal, and what moves it: (how many, of how many)."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        number = bar.add_task(what, total=None)
        yield lambda made, total: bar.update(number, completed=made, total=total)


def _classifier(labels: str) -> "Classifier | None":
    if labels != "classifier":
        return None
    from suture.training.success import successes

    return successes


def _recipe(options: CompositeOptions) -> "Recipe":
    from suture.envs.composite.collect import SETS, Recipe

    if unknown := set(options.without) - set(SETS):
        raise ConfigError(
            f"--without must name one of {', '.join(SETS)}, found {', '.join(sorted(unknown))}."
        )
    return Recipe(
        episodes=options.episodes, overlap=options.overlap, epsilon=options.epsilon,
        observation=options.observation, seed=options.seed,
        sets=tuple(name for name in SETS if name not in options.without), labels=options.labels,
    )  # fmt: skip


def _certified(proof: "Certificate") -> Iterator[str]:
    """What the certificates say."""
    never, path = proof.never_shown, proof.stitched
    yield "Scripts reach their end in " + ", ".join(f"{k} {v:.0%}" for k, v in proof.success.items()) + "."
    yield (
        f"Never shown: {'holds' if never.holds else 'BROKEN'}. No episode does more than {never.longest} of "
        f"5 steps; {never.apart} do steps that are not neighbours, {never.early} rewarded ones start early; "
        f"steps that are another set's: {', '.join(f'{k} ({v})' for k, v in never.leaks.items()) or 'none'}."
    )
    if never.redone:
        again = ", ".join(f"{k} ({v})" for k, v in never.redone.items())
        yield f"Done anew where the stage has passed it already, and no part of the way: {again}."
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
