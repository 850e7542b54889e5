"""What the composite task's demonstration shows of its best policy, and the first part of its page."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from suture.cli.demo.shared import rate
from suture.data.dataset import Dataset
from suture.envs.composite.certificate import SKILLS, STEPS
from suture.envs.composite.certify import Certificate
from suture.envs.composite.env import Composite
from suture.evaluation.propagation import LEAST, boundary_values, exact_values, fronts, starts_of
from suture.evaluation.score import Evaluation
from suture.evaluation.stitched import Played, Source, first_success, pictures, sources
from suture.report.figures import heat
from suture.report.pictures import png
from suture.report.propagation import panel
from suture.report.story import Answer, Figure, Listing, Picture, Section, Story, Strip
from suture.spaces import Array
from suture.training.run import open_run

TRIES, NEAREST = 20, 3
OTHERS = {"blocked": "the door, without the key", "noise": "a random walk"}
SEEN = (
    "A red block lies away from the brown cabinet whose drawer it was in front of; a gripper is above it.",
    "The cabinet's drawer is open, the gripper at its handle; a yellow key lies in the drawer.",
    "The gripper has lifted the key out of the open drawer.",
    "The gripper has put the key into the lock beside the green door, and the lamp there has turned green.",
    "The door stands open, and the gripper is in the doorway.",
)
"""What a picture shows when a step has just been done."""


SET = ("set", "shows", "episodes", "reach its end", "rewarded")


def shows(name: str) -> str:
    """What a set shows."""
    return ", ".join(STEPS[slice(*SKILLS[name])]) if name in SKILLS else OTHERS[name]


def sets_of(data: Dataset, proof: Certificate) -> list[tuple[str, ...]]:
    """Each set of a log, as `SET` names its cells."""
    sets, returns = data.columns["set"][data.episode_start[:-1]], np.asarray(data.returns)
    return [
        (name, shows(name), f"{(sets == name).sum():,}",
         f"{proof.success[name]:.0%}" if name in proof.success else "-",
         f"{(returns[sets == name] > 0).sum():,}")
        for name in dict.fromkeys(sets.tolist())
    ]  # fmt: skip


def at(step: int | None) -> str:
    """When a front came."""
    return "never" if step is None else f"{step:,}"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """What there is to see of a run.   member: the best one.   played: its first success in TRIES episodes.

    pictures: (256, 256, 3) at the end of each step.   sources: of each step, nearest first.
    values: of the starts of the five stages, the mean over members, (checkpoints, 5).   steps: of those.
    """

    member: int
    played: Played | None
    pictures: Sequence[Array]
    sources: Sequence[Sequence[Source]]
    values: Array
    steps: Array

    @property
    def fronts(self) -> list[int | None]:
        """After how many updates the value came to each stage."""
        return fronts(self.values, self.steps)


def shown_of(data: Dataset, path: Path, played: Evaluation, *, starts: int) -> Shown:
    """Look at a run: play until a success, find the like of its parts in the log, follow the value."""
    run, calls = open_run(path), itertools.count()
    best = int(np.asarray(played.returns).mean(axis=1).argmax())
    policy, env = run.member(best), Composite(render_mode="rgb_array")
    found = first_success(env, lambda seen: policy.act(seen, sample=True, seed=next(calls)), TRIES)
    first = starts_of(starts)
    return Shown(
        member=best, played=found,
        pictures=[] if found is None else pictures(env, found),
        sources=[] if found is None else sources(found, data, run.recipe.normaliser.normalise, NEAREST),
        values=np.stack([boundary_values(run.at(step), first).mean(0) for step in run.steps]),
        steps=np.array(run.steps),
    )  # fmt: skip


def story(data: Dataset, proof: Certificate, results: Mapping[str, Evaluation], shown: Shown) -> Story:
    """The first part of the page."""
    never, rates = proof.never_shown, {name: rate(one) for name, one in results.items()}
    each = ", ".join(f"{one:.0%}" for one in np.asarray(results["iql"].returns).mean(axis=1))
    members, episodes = results["iql"].returns.shape
    told = (
        ("What was the data?", f"{data.episodes:,} episodes of a gripper in a room, in sets that show a part "
         f"each. By a scan of all, none does more than {never.longest} of the five steps, and "
         f"{never.early or 'none'} of the rewarded ones began before the key was in the hand."),
        ("What was learned?", f"A plan of five steps: {', '.join(STEPS)}. From its start, implicit "
         f"Q-learning (iql) succeeds in {rates['iql']} of its episodes, imitation (bc) in {rates['bc']}."),
        ("How sure are we?", f"{members} seeds of training on one log, {episodes} episodes each, in layouts "
         f"that no log shows. IQL's seeds: {each}. Training was short; the log and the run are small."),
        ("What to do next?", "suture inspect LOG --deep says whether your log holds pieces to be joined."),
    )  # fmt: skip
    return Story(
        title="What this shows",
        answers=[Answer(question=question, answer=answer) for question, answer in told],
        strip=_strip(shown), figures=(_map(shown),), sections=(_parts(shown), _logged(data, proof)),
    )  # fmt: skip


def _strip(shown: Shown) -> Strip | None:
    if shown.played is None:
        return None
    taken = [
        Picture(
            png=png(pixels), alt=seen,
            caption=f"{number}. {step.capitalize()}: after {end} actions. Nearest logged episode: "
            f"{near[0].episode:,}, of set {near[0].name}.",
        )
        for number, (pixels, seen, step, end, near) in enumerate(
            zip(shown.pictures, SEEN, STEPS, shown.played.ends, shown.sources, strict=True), 1
        )
    ]  # fmt: skip
    return Strip(
        caption="One episode that iql played, in a layout that no log shows: the room when each step is just "
        "done, and the logged episode that comes nearest to what led there.",
        pictures=taken,
    )


def _map(shown: Shown) -> Figure:
    exact = exact_values()
    sweeps = np.arange(len(exact))
    maps = [
        panel("updates of iql", shown.values, shown.steps, shown.fronts, STEPS, LEAST),
        panel("sweeps of value iteration", exact, sweeps, fronts(exact, sweeps), STEPS, LEAST),
    ]
    came = ", ".join(at(step) for step in shown.fronts[::-1])
    return Figure(
        svg=heat(maps, title="", subtitle="", y="stage", value="share"),
        alt="Two maps of the five steps against time, of IQL and of exact value iteration. In IQL's, half of "
        f"the final value is there, from the last step to the first, after {came} updates.",
        caption="How value travels back from the reward: the value of the starts of each step, as a share of "
        "what it is at the end; a stroke marks one half. Above, IQL while it learns, the mean over seeds, "
        f"looked at every {shown.steps[0]:,} updates. Below, exact value iteration on a finite twin.",
    )


def _parts(shown: Shown) -> Section:
    if shown.played is None:
        return Section(title="Where each part was logged", text=(
            f"None of {TRIES} episodes of the best policy ended outside: there is no episode to show.",
        ))  # fmt: skip
    rows = [
        (f"{number} {step}", f"{one.episode:,}", one.name, shows(one.name), f"{one.distance:.2f}")
        for number, (step, near) in enumerate(zip(STEPS, shown.sources, strict=True), 1)
        for one in near
    ]
    return Section(
        title="Where each part was logged",
        text=(
            "The episode in the pictures is the first success of the best seed's policy, in a layout that no "
            "log shows. For each of its five parts: the logged episodes that do this step and come nearest. "
            "A distance of 1 is one standard deviation of the log in each of the 16 numbers of a state.",
        ),
        listings=(
            Listing(
                caption="Nearest logged episodes",
                header=("part", "episode", "set", "the set shows", "distance"), rows=rows,
            ),
        ),
    )  # fmt: skip


def _logged(data: Dataset, proof: Certificate) -> Section:
    listing = Listing(caption="The sets of the log", header=SET, rows=sets_of(data, proof))
    return Section(title="What was logged", listings=(listing,))
