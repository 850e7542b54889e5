"""A short film and a strip of pictures of a policy that grasps, or does the five-step task.

    python benchmarks/film.py RUN --film docs/grasping.gif --strip docs/grasping.png
    python benchmarks/film.py RUN --env suture/Composite-v0 --sample --episodes 6 --every 2 \\
        --film docs/stitching.gif --strip docs/stitching.png

Episodes on shapes or in layouts that no log shows, as they come, whether they succeed or not: at its end a
frame is green around a success, and red otherwise. The strip is the first episode that succeeded after at
least four steps: above what people see, below what the policy saw where that is a picture. Where an
environment tells stages, the strip shows the start and the end of each.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import gymnasium
import numpy as np
import tyro
from PIL import Image

import suture
import suture.envs.composite.env  # registers its environments
from suture.envs.grasp.env import GRASP_HELD_OUT
from suture.training.run import Run

GOOD, BAD, BORDER, COLUMNS, SHOWN = (40, 150, 70), (200, 60, 50), 4, 3, 5
FRAMES_A_SECOND = 4


@dataclasses.dataclass(frozen=True)
class Played:
    """One episode.   shown, saw: for people (256, 256, 3), and what the policy saw, step by step.

    stages: of each step, where the environment tells them.
    """

    shown: list[Any]
    saw: list[Any]
    stages: list[int]
    good: bool

    def steps(self) -> Any:
        """The steps of a strip: where a stage ends, or some at equal distances."""
        if self.stages and self.good:
            return np.flatnonzero(np.diff(self.stages, prepend=self.stages[0] - 1) > 0)
        return np.unique(np.linspace(0, len(self.shown) - 1, SHOWN).round().astype(int))


def episode(run: Run, env: Any, seed: int, *, sample: bool) -> Played:
    """Play one."""
    seen, told = env.reset(seed=seed)
    shown, saw, stages, ended = [env.unwrapped.render()], [seen], [told.get("stage")], False
    while not ended:
        seen, _, over, cut, told = env.step(run.policy.act(seen, sample=sample, seed=len(shown)))
        ended = over or cut
        shown.append(env.unwrapped.render())
        saw.append(seen)
        stages.append(told.get("stage"))
    pictures = [one["image"] for one in saw] if isinstance(saw[0], dict) else []
    return Played(shown, pictures, [] if stages[0] is None else stages, bool(told["success"]))


def framed(picture: Any, size: int, colour: tuple[int, int, int] | None) -> Any:
    """A picture of `size` pixels, with a border of a colour, or none."""
    small = np.array(Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS))
    if colour is not None:
        edge = np.ones((size, size), bool)
        edge[BORDER:-BORDER, BORDER:-BORDER] = False
        small[edge] = colour
    return small


def film(played: list[Played], size: int, every: int) -> list[Any]:
    """Frames of all episodes side by side; one that has ended stands still."""
    frames = list[Any]()
    for number in range(0, max(len(one.shown) for one in played) + 2 * every, every):
        cells = [
            framed(
                one.shown[min(number, len(one.shown) - 1)], size,
                (GOOD if one.good else BAD) if number >= len(one.shown) - 1 else None,
            )
            for one in played
        ]  # fmt: skip
        rows = [np.hstack(cells[at : at + COLUMNS]) for at in range(0, len(cells), COLUMNS)]
        frames.append(np.vstack(rows))
    return frames


def strip(one: Played, size: int) -> Any:
    """Some steps of an episode in a row: for people, and as the policy saw them."""
    at = one.steps()
    people = np.hstack([framed(one.shown[step], size, None) for step in at])
    if not one.saw:
        return people
    times = size // one.saw[0].shape[0]
    policy = [one.saw[step][..., :3].repeat(times, 0).repeat(times, 1) for step in at]
    pad = [(0, size - policy[0].shape[0]), (0, size - policy[0].shape[1]), (0, 0)]
    return np.vstack([people, np.hstack([np.pad(one, pad, constant_values=255) for one in policy])])


def main(
    run: tyro.conf.Positional[Path],
    film_to: Annotated[Path, tyro.conf.arg(name="film")],
    strip_to: Annotated[Path, tyro.conf.arg(name="strip")],
    env: str = GRASP_HELD_OUT,
    sample: bool = False,
    episodes: int = 12,
    seed: int = 5_000,
    size: int = 144,
    every: int = 1,
) -> None:
    """Play and write.   every: steps from frame to frame of the film."""
    opened = suture.open_run(run)
    made = gymnasium.make(env, disable_env_checker=True)
    played = [episode(opened, made, seed + number, sample=sample) for number in range(episodes)]
    first, *rest = [Image.fromarray(frame).quantize(64) for frame in film(played, size, every)]
    first.save(
        film_to, save_all=True, append_images=rest, duration=1000 // FRAMES_A_SECOND, loop=0, optimize=True
    )
    best = next((one for one in played if one.good and len(one.shown) > SHOWN - 1), played[0])
    Image.fromarray(strip(best, size)).save(strip_to, optimize=True)
    good = sum(one.good for one in played)
    print(f"{good} of {episodes} succeed: {film_to} ({film_to.stat().st_size:,} bytes), {strip_to}")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
