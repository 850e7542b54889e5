"""Five steps that no log shows together: what is shown where MuJoCo is installed."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from suture.algorithms.bc import BC
from suture.algorithms.iql import IQL
from suture.cli.demo.shared import close, tell_results, trained
from suture.cli.demo.story import SET, TRIES, Shown, at, sets_of, shown_of, story
from suture.data.dataset import Dataset
from suture.envs.composite import collect
from suture.envs.composite.certificate import STEPS
from suture.envs.composite.certify import Certificate
from suture.envs.composite.env import COMPOSITE
from suture.evaluation.evaluate import evaluate
from suture.evaluation.kept import keep
from suture.evaluation.propagation import REWARD
from suture.evaluation.score import Evaluation
from suture.training.outcome import Outcome

RATE, HIDDEN = 3e-3, (128, 128)
CLONING = BC(hidden=HIDDEN, learning_rate=RATE, head="mixture")
STITCHING = IQL(
    discount=0.97, n_step=3, expectile=0.9, inverse_temperature=10.0, target_rate=0.02, hidden=HIDDEN,
    layer_norm=True, head="mixture", critic_learning_rate=RATE, value_learning_rate=RATE,
    actor_learning_rate=RATE,
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """How much is made.   logged: episodes.   seeds: of training.   steps: updates of each.

    every: updates between the checkpoints whose values are drawn.   played: episodes, by each seed's policy.
    starts: of each stage, that are valued.
    """

    logged: int = 6_000
    seeds: int = 3
    steps: int = 5_000
    every: int = 250
    played: int = 100
    starts: int = 32


def show(console: Console, out: Path, began: float, size: Size) -> int:
    """Make the log, train BC and IQL, play both, follow the value. A minute or so."""
    console.print(f"[bold]The task[/bold]: {', '.join(STEPS)}. Reward 1 for the last step, 0 for all else.\n")
    data, proof = _recorded(out / "log", size)
    _tell_log(console, data, proof)
    results: dict[str, Evaluation] = {}
    for algorithm in (CLONING, STITCHING):
        every = size.every if algorithm is STITCHING else size.steps
        run = trained(
            console, algorithm, data, out, seeds=size.seeds, steps=size.steps, reward_scale=REWARD,
            checkpoint_every=every, keep=1 + size.steps // every,
        )  # fmt: skip
        if run.outcome is not Outcome.COMPLETED:
            return run.outcome.exit_code if run.outcome else 1
        played = evaluate(run, COMPOSITE, episodes=size.played, sample=True)
        keep(run.path, "played", COMPOSITE, size.steps, played.to_json())
        results[algorithm.name] = played
    title = f"All five steps, in layouts that no log shows ({size.played} episodes a seed, sampled actions)"
    tell_results(console, title, results)
    shown = shown_of(data, out / STITCHING.name, results[STITCHING.name], starts=size.starts)
    _tell_shown(console, shown)
    tries = (
        f"inspect {out / 'log'} --deep", f"evaluate {out / 'iql'} --env {COMPOSITE} --sample --episodes 20",
    )  # fmt: skip
    told = story(data, proof, results, shown)
    close(console, out, began, "Five steps that no log shows together", told, tries)
    return 0


def _recorded(out: Path, size: Size) -> tuple[Dataset, Certificate]:
    """The log and its certificates, with a bar while they are made."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        number = bar.add_task("recording", total=None)
        return collect.make(
            collect.Recipe(episodes=size.logged), out,
            progress=lambda made, total: bar.update(number, completed=made, total=total),
        )  # fmt: skip


def _tell_log(console: Console, data: Dataset, proof: Certificate) -> None:
    never, path, without = proof.never_shown, proof.stitched, proof.without
    console.print(f"[bold]The log[/bold]: {data.episodes:,} episodes, {len(data):,} transitions, in sets.\n")
    _print(console, SET, sets_of(data, proof))
    console.print(
        f"No episode does more than {never.longest} of the 5 steps; {never.early} rewarded ones begin before "
        f"the key is in the hand.\nEpisodes joined where they meet lead from {path.share:.0%} of the starts "
        f"to the reward; without one of {', '.join(without)}, from {max(without.values()):.0%}.\n"
    )


def _tell_shown(console: Console, shown: Shown) -> None:
    console.print(
        "Cloning repeats what the log does, and no episode goes on to the next set's step. IQL carries the "
        "value of leaving\nback from set to set: half of it was at the starts of steps 5, 4, 3, 2, 1 after "
        f"{', '.join(at(step) for step in shown.fronts[::-1])} updates.\n"
    )
    if shown.played is None:
        console.print(f"None of {TRIES} episodes of the best policy ended outside: there is none to show.")
        return
    console.print(
        f"A success of seed {shown.member}, and the logged episodes that are nearest to its parts:\n"
    )
    nearest = [near[0] for near in shown.sources]
    rows = [
        (step, f"{end} actions", f"{one.episode:,} of set {one.name}")
        for step, end, one in zip(STEPS, shown.played.ends, nearest, strict=True)
    ]
    _print(console, ("step", "done after", "nearest episode"), rows)


def _print(console: Console, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*header, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    console.print(table)
