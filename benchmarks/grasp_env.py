"""The bin: episodes a second with pictures, where an episode's time goes, and how often scripts succeed.

    python benchmarks/grasp_env.py [--quick] [--json FILE]

Episodes are those that `collect` makes, settled bins and all. On a shared machine the rate is what was left
for it; `ms of CPU` is what an episode costs, and `two cores` what two make at that price, each to itself.
The success of scripts is measured without pictures, which they do not look at. A drop: what a closed hand had
raised above 5 cm is below 3 cm while it is still closed. A jam: the hand is held up more than 2 cm short of
where it was to go down to.
"""

import dataclasses
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import mujoco
import numpy as np
import tyro
from _bench import Options, Row, show, wilson, write_rows

from suture.envs import gripper
from suture.envs.grasp.collect import BATCH, Recipe, collect
from suture.envs.grasp.env import HORIZON, Grasp
from suture.envs.grasp.scene import LOW, REACH
from suture.envs.grasp.script import BEHAVIOURS, Script

SCRIPTS = (("exact", "train"), ("exact", "held-out"), *((name, "train") for name in list(BEHAVIOURS)[1:]))
SEED = 7_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Options):
    """Episodes a second of the bin, and how often its scripts succeed."""

    episodes: int = 400
    """Of each measurement."""
    pixels: tuple[int, ...] = (48, 64)
    """Width of the pictures."""


class Clock:
    """CPU time of what is wrapped, each part without the parts inside it; but settling is all one."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._stack, self._since = ["the rest"], time.process_time()

    def charge(self) -> None:
        now = time.process_time()
        self.spent[self._stack[-1]] = self.spent.get(self._stack[-1], 0.0) + now - self._since
        self._since = now

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            if self._stack[-1] == "settling":
                return function(*arguments, **named)
            self.charge()
            self._stack.append(name)
            try:
                return function(*arguments, **named)
            finally:
                self.charge()
                self._stack.pop()

        return timed


def profile(pixels: int, episodes: int) -> dict[str, float]:
    """Milliseconds of CPU time of each part of an episode."""
    env, clock, cast = Grasp(pixels=pixels), Clock(), mujoco.mj_multiRay
    env.scene._engine = SimpleNamespace(
        MjModel=SimpleNamespace(from_xml_string=clock.wrap("compiling", mujoco.MjModel.from_xml_string)),
        MjData=clock.wrap("compiling", mujoco.MjData),
        mj_step=clock.wrap("physics", mujoco.mj_step),
        mj_kinematics=clock.wrap("physics", mujoco.mj_kinematics),
        mj_resetData=mujoco.mj_resetData,
    )
    env.scene._drop = clock.wrap("settling", env.scene._drop)
    env.view.see = clock.wrap("colours", env.view.see)
    mujoco.mj_multiRay = clock.wrap("ray casting", cast)
    try:
        for seed in range(episodes):
            if seed == 1:  # the first pays for what is loaded late
                clock.spent.clear()
            _play(env, "scripted", seed, lambda script: clock.wrap("script", script))
        clock.charge()
    finally:
        mujoco.mj_multiRay = cast
    return {name: 1e3 * spent / (episodes - 1) for name, spent in clock.spent.items()}


def _play(
    env: Grasp, behaviour: str, seed: int, around: Callable[[Any], Any] = lambda act: act
) -> tuple[bool, bool, bool]:
    """Whether an episode succeeded, dropped what it had, and jammed."""
    generator = np.random.default_rng((SEED, seed))
    env.np_random = generator
    env.reset()
    script, ended, success, dropped, jammed = Script(BEHAVIOURS[behaviour](generator), generator), 0, 0, 0, 0
    act, raised, scene = around(script.act), np.zeros(0), env.scene
    for _ in range(HORIZON):
        action = act(scene)
        command, hand = gripper.read(action, REACH), scene.hand
        goal = max(LOW[2], hand.position[2] + command.displacement[2])
        raised = scene.places[:, 2] > 0.05 if hand.closed else np.zeros(len(scene.things))
        _, _, ended, _, info = env.step(action)
        success |= info["success"]
        dropped |= hand.closed and bool((raised * (scene.places[:, 2] < 0.03)).any())
        jammed |= not command.last and command.displacement[2] < 0 and hand.position[2] > goal + 0.02
        if ended:
            break
    return bool(success), bool(dropped), bool(jammed)


def rates(pixels: int, settings: Settings) -> Row:
    """Episodes a second in one process and in two, and what one costs."""
    recipe, numbers = Recipe(pixels=pixels, seed=SEED), range(settings.episodes)
    next(collect(recipe, numbers, workers=1))
    began, began_cpu = time.perf_counter(), time.process_time()
    made = list(collect(recipe, numbers, workers=1))
    cpu, wall = time.process_time() - began_cpu, time.perf_counter() - began
    both = collect(recipe, range(settings.episodes + 2 * BATCH), workers=2)
    for _ in range(2 * BATCH):
        next(both)
    began = time.perf_counter()
    count = sum(1 for _ in both)
    return Row.of(
        f"{pixels} pixels, 2 processes", {"ours": [count / (time.perf_counter() - began)]},
        one_process=round(len(made) / wall, 1), ms_of_CPU=round(1e3 * cpu / len(made), 1),
        two_cores=round(2 * len(made) / cpu),
        steps=round(float(np.mean([len(one.action) for one in made])), 2),
    )  # fmt: skip


def successes(settings: Settings) -> list[Row]:
    """How often each script succeeds, of all episodes, with a 95 % interval (Wilson's)."""
    rows = list[Row]()
    for behaviour, objects in SCRIPTS:
        env = Grasp(objects, camera=None)  # type: ignore[arg-type]
        told = np.array([_play(env, behaviour, seed) for seed in range(settings.episodes)], float)
        share, count = float(told[:, 0].mean()), len(told)
        low, high = wilson(int(told[:, 0].sum()), count)
        rows.append(
            Row.of(
                f"{behaviour}, {objects}", {"ours": [share]}, episodes=count,
                low=round(low, 3), high=round(high, 3),
                dropped=round(float(told[:, 1].mean()), 3), jammed=round(float(told[:, 2].mean()), 3),
            )
        )  # fmt: skip
    return rows


def main(settings: Settings) -> None:
    """Measure and print."""
    if settings.quick:
        settings = dataclasses.replace(settings, episodes=min(settings.episodes, 40))
    speed = [rates(pixels, settings) for pixels in settings.pixels]
    parts = [profile(pixels, 40) for pixels in settings.pixels]
    notes = [
        f"Milliseconds of CPU time of an episode with {pixels} pixels: "
        + ", ".join(f"{name} {ms:.1f}" for name, ms in sorted(told.items(), key=lambda one: -one[1]))
        + "."
        for pixels, told in zip(settings.pixels, parts, strict=True)
    ]
    show("Episodes a second with pictures", "1/s", speed, notes)
    shares = successes(settings)
    show("Success of scripts", "share", shares)
    timed = zip(speed, parts, strict=True)
    write_rows(
        settings.json,
        [*(dataclasses.replace(row, details=row.details | told) for row, told in timed), *shares],
    )


if __name__ == "__main__":
    main(tyro.cli(Settings))
