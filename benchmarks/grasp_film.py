"""A short film and a strip of pictures of a policy that grasps.

    python benchmarks/grasp_film.py RUN [--film docs/grasping.gif] [--strip docs/grasping.png]

Episodes on shapes that no log shows, as they come, whether they succeed or not: at its end a frame is green
around a grasp, and red otherwise. The strip is the first episode that succeeded after at least four steps:
above what people see, below what the policy saw.
"""

from pathlib import Path
from typing import Annotated, Any

import gymnasium
import numpy as np
import tyro
from PIL import Image

import suture
from suture.envs.grasp.env import GRASP_HELD_OUT
from suture.training.run import Run

GOOD, BAD, BORDER, COLUMNS, SHOWN = (40, 150, 70), (200, 60, 50), 4, 3, 5
FRAMES_A_SECOND = 4


def episode(run: Run, env: Any, seed: int) -> tuple[list[Any], list[Any], bool]:
    """What people see (256, 256, 3) and what the policy sees at each step; whether it succeeded."""
    seen, told = env.reset(seed=seed)
    shown, saw, ended = [env.unwrapped.render()], [seen["image"]], False
    while not ended:
        seen, _, over, cut, told = env.step(run.policy.act(seen, seed=len(shown)))
        ended = over or cut
        shown.append(env.unwrapped.render())
        saw.append(seen["image"])
    return shown, saw, bool(told["success"])


def framed(picture: Any, size: int, colour: tuple[int, int, int] | None) -> Any:
    """A picture of `size` pixels, with a border of a colour, or none."""
    small = np.array(Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS))
    if colour is not None:
        edge = np.ones((size, size), bool)
        edge[BORDER:-BORDER, BORDER:-BORDER] = False
        small[edge] = colour
    return small


def film(played: list[tuple[list[Any], list[Any], bool]], size: int) -> list[Any]:
    """Frames of all episodes side by side; one that has ended stands still."""
    frames = list[Any]()
    for number in range(max(len(shown) for shown, _, _ in played) + 2):
        cells = [
            framed(
                shown[min(number, len(shown) - 1)], size,
                (GOOD if good else BAD) if number >= len(shown) - 1 else None,
            )
            for shown, _, good in played
        ]  # fmt: skip
        rows = [np.hstack(cells[at : at + COLUMNS]) for at in range(0, len(cells), COLUMNS)]
        frames.append(np.vstack(rows))
    return frames


def strip(shown: list[Any], saw: list[Any], size: int) -> Any:
    """Some steps of an episode in a row: for people, and as the policy saw them."""
    at = np.unique(np.linspace(0, len(shown) - 1, SHOWN).round().astype(int))
    people = np.hstack([framed(shown[step], size, None) for step in at])
    times = size // saw[0].shape[0]
    policy = [saw[step][..., :3].repeat(times, 0).repeat(times, 1) for step in at]
    pad = [(0, size - policy[0].shape[0]), (0, size - policy[0].shape[1]), (0, 0)]
    return np.vstack([people, np.hstack([np.pad(one, pad, constant_values=255) for one in policy])])


def main(
    run: tyro.conf.Positional[Path],
    film_to: Annotated[Path, tyro.conf.arg(name="film")] = Path("docs/grasping.gif"),
    strip_to: Annotated[Path, tyro.conf.arg(name="strip")] = Path("docs/grasping.png"),
    episodes: int = 12,
    seed: int = 5_000,
    size: int = 144,
) -> None:
    """Play and write."""
    opened = suture.open_run(run)
    env = gymnasium.make(GRASP_HELD_OUT, disable_env_checker=True)
    played = [episode(opened, env, seed + number) for number in range(episodes)]
    first, *rest = [Image.fromarray(frame).quantize(64) for frame in film(played, size)]
    first.save(
        film_to, save_all=True, append_images=rest, duration=1000 // FRAMES_A_SECOND, loop=0, optimize=True
    )
    best = next((one for one in played if one[2] and len(one[0]) > SHOWN - 1), played[0])
    Image.fromarray(strip(best[0], best[1], size)).save(strip_to, optimize=True)
    good = sum(one[2] for one in played)
    print(f"{good} of {episodes} succeed: {film_to} ({film_to.stat().st_size:,} bytes), {strip_to}")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
