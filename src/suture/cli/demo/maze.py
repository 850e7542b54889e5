"""Two halves of a way through a maze, joined: what is shown where there is no MuJoCo."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from suture.algorithms.bc import BC
from suture.algorithms.iql import IQL
from suture.cli.demo.shared import close, rate, tell_results, trained
from suture.data.build import build
from suture.data.dataset import Dataset
from suture.data.formats import native
from suture.envs.chain import (
    ARM,
    CORRIDOR,
    HORIZON,
    PLACES,
    STITCH_MAZE,
    certificate,
    make_stitch_log,
    move,
    scatter,
    within,
)
from suture.evaluation.evaluate import evaluate
from suture.evaluation.kept import keep
from suture.evaluation.score import Evaluation
from suture.report.figures import paths
from suture.report.story import Answer, Figure, Story
from suture.training.outcome import Outcome
from suture.training.run import Run, open_run

LOGGED, SEEDS, STEPS, EPISODES, DRAWN = 1_000, 3, 5_000, 100, 30


def show(console: Console, out: Path, began: float) -> int:
    """Make the log, train BC and IQL, play both, and say what it shows. Within a minute."""
    data = build(make_stitch_log(LOGGED, seed=0)).admit()
    native.write(data, out / "log")
    _tell_log(console, data)
    results: dict[str, Evaluation] = {}
    for algorithm in (BC(hidden=(64, 64)), IQL(hidden=(64, 64), expectile=0.9, inverse_temperature=10.0)):
        run = trained(console, algorithm, data, out, seeds=SEEDS, steps=STEPS)
        if run.outcome is not Outcome.COMPLETED:
            return run.outcome.exit_code if run.outcome else 1
        results[algorithm.name] = evaluate(run, STITCH_MAZE, episodes=EPISODES)
        keep(run.path, "played", STITCH_MAZE, STEPS, results[algorithm.name].to_json())
    tell_results(console, f"Reached the goal from the start ({EPISODES} episodes a seed)", results)
    console.print(
        "Behavioural cloning repeats what the log does from the start, and the log never gets there.\n"
        "Implicit Q-learning carries the value of the goal back through the crossing, and joins two halves\n"
        "that no single episode of the log shows together: it stitches."
    )
    tries = f"inspect {out / 'log'}", f"evaluate {out / 'iql'} --env {STITCH_MAZE} --episodes 20"
    close(console, out, began, "Stitching in a maze", _explained(data, out, results), tries)
    return 0


def _explained(data: Dataset, out: Path, results: dict[str, Evaluation]) -> Story:
    """The first part of the page: what the log shows, what each method makes of it."""
    proof = certificate(data)
    rows = [row for kind in (False, True) for row in _logged(data, reaching=kind)]
    for name in ("bc", "iql"):
        rows += _played(open_run(out / name), f"What {name} does")
    ground = [
        {"x": -wide, "x2": wide, "y": -high, "y2": high} for wide, high in ((ARM, CORRIDOR), (CORRIDOR, ARM))
    ]
    labels = [{"x": x, "y": y, "text": name} for name, (x, y) in PLACES.items() if name in ("start", "goal")]
    rates = {name: rate(one) for name, one in results.items()}
    figure = Figure(
        svg=paths(rows, title="", subtitle="", panel="whose paths", ground=ground, labels=labels),
        alt="Two corridors cross. Logged paths go from the start in the west to the south, or from the north "
        "to the goal in the east. Beside them, the paths of bc and of iql from the start.",
        caption="Thirty paths each. Grey is where one can walk.",
    )
    told = (
        ("What was the data?", f"{proof['episodes']:,} episodes. {proof['from_start']:,} begin at the start, "
         f"none of which reaches the goal; {proof['reaching_goal']:,} reach it, from elsewhere."),
        ("What was learned?", f"Imitation (bc) reaches the goal in {rates['bc']} of its episodes, implicit "
         f"Q-learning (iql) in {rates['iql']}. No episode shows that way: it is joined from halves."),
        ("How sure are we?", f"{SEEDS} seeds each, {EPISODES} episodes a seed, played from the start."),
        ("What to do next?", "suture inspect LOG --deep says whether your log holds pieces to be joined."),
    )  # fmt: skip
    answers = [Answer(question=question, answer=answer) for question, answer in told]
    return Story(title="What this shows", answers=answers, figures=(figure,))


def _logged(data: Dataset, *, reaching: bool) -> list[dict[str, Any]]:
    """Thirty episodes of one kind, as rows of a drawing."""
    seen, after = np.asarray(data.observation), np.asarray(data.next_observation)
    arrived = np.bincount(data.episode_index, within("goal", after), data.episodes) > 0
    panel = "Logged: reach the goal" if reaching else "Logged: from the start"
    return [
        {"panel": panel, "path": int(episode), "step": step, "x": float(x), "y": float(y)}
        for episode in np.flatnonzero(arrived == reaching)[:DRAWN]
        for step, (x, y) in enumerate(seen[data.episode_index == episode])
    ]


def _played(run: Run, panel: str) -> list[dict[str, Any]]:
    """Thirty episodes of the first seed's policy from the start, as rows of a drawing."""
    generator, rows = np.random.default_rng(0), list[dict[str, Any]]()
    position, going = scatter("start", generator, DRAWN), np.ones(DRAWN, bool)
    for step in range(HORIZON):
        rows += [
            {"panel": panel, "path": int(path), "step": step,
             "x": float(position[path, 0]), "y": float(position[path, 1])}
            for path in np.flatnonzero(going)
        ]  # fmt: skip
        going &= ~within("goal", position)
        action = run.policy.act(position.astype(np.float32))
        position = move(position, action, generator.standard_normal(position.shape))
    return rows


def _tell_log(console: Console, data: Dataset) -> None:
    proof = certificate(data)
    console.print(
        f"[bold]The log[/bold]: {proof['episodes']:,} episodes of a maze, {len(data):,} transitions.\n"
        f"  {proof['from_start']:,} begin at the start; {proof['from_start_reaching_goal']} of them reach "
        f"the goal.\n  {proof['reaching_goal']:,} reach the goal; they begin elsewhere.\n"
        f"  Both kinds cross in the middle ({proof['shared_cells']} shared squares), so a path of "
        f"{proof['stitched_steps']} steps exists, in pieces.\n"
    )
