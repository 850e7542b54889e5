"""The loop of data-driven reinforcement learning: train on everything, deploy, collect, and train again.

    FOLDER/loop.json            what is trained, where it is deployed, how much is collected
    FOLDER/round-01/run/        trained on the log, and on what all earlier rounds collected
    FOLDER/round-01/data/       what its policy then did: a store, which `suture.load` opens
    FOLDER/round-01/round.json  what it was trained on and what it earned; written last

A round without its last file is taken up where it stopped, exactly.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from suture import config, signals
from suture.algorithms.base import Algorithm
from suture.data.dataset import Dataset
from suture.data.formats import native
from suture.data.join import join
from suture.envs.make import Make, make_vector
from suture.errors import RunMismatch
from suture.evaluation.rollout import require_fit
from suture.evaluation.score import Evaluation, half_width
from suture.online.collect import Collector, named
from suture.online.settings import Rounds
from suture.storage import atomic, manifest
from suture.storage.lock import Lock
from suture.training.outcome import Outcome
from suture.training.run import Run, write_json
from suture.training.settings import Settings
from suture.training.sweep import Sweep
from suture.training.train import Watch, train

LOOP, ROUND = "loop.json", "round.json"
FORMAT = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Round:
    """One round.   episodes, transitions: that it was trained on.   returns: of the episodes it collected.

    mean, low, high: of these, with a 95 % interval, which is None for one episode.   success_rate: of those
    that say so.
    """

    round: int
    episodes: int
    transitions: int
    mean: float
    low: float | None
    high: float | None
    success_rate: float | None
    returns: tuple[float, ...]


def loop(
    algorithm: Algorithm[Any],
    data: Dataset,
    environment: str | Make,
    *,
    out: Path | str,
    resume: bool = False,
    seed: int = 0,
    rounds: Rounds | None = None,
    settings: Settings | None = None,
    watch: Watch | None = None,
) -> tuple[list[Round], Outcome]:
    """Train on a log, deploy, collect, train on all of it anew, and so on; returns the complete rounds.

    out: a new folder; see the module.   resume: go on in it, with the same arguments; there may be more
    rounds.   seed: of training and of every episode.
    The outcome is COMPLETED, or that of the training which ended otherwise, or PREEMPTED.
    """
    rounds, settings, watch = rounds or Rounds(), settings or Settings(), watch or Watch()
    folder, sweep = Path(out), Sweep(algorithm, seed=seed)
    _require_fit(environment, data)
    atomic.make_folder(folder)
    with Lock(folder / "lock"), signals.noted() as asked:
        _begin(folder, resume, {
            "format": FORMAT, "environment": named(environment), "algorithm": algorithm.name,
            "fields": config.to_json(algorithm), "settings": config.to_json(settings), "seed": seed,
            "rounds": config.to_json(rounds), "fingerprint": data.fingerprint,
        })  # fmt: skip
        parts, complete = [data], list[Round]()
        for number in range(1, rounds.rounds + 1):
            place = folder / f"round-{number:02d}"
            done = read_round(place)
            if done is None:
                atomic.make_folder(place)
                run = _train(sweep, parts, place, settings, watch)
                if run.outcome is not Outcome.COMPLETED:
                    return complete, run.outcome or Outcome.STOPPED
                found = _collect(run, environment, rounds, place, number, asked)
                if found is None:
                    return complete, Outcome.PREEMPTED
                done = _round(number, parts, found)
                write_json(place / ROUND, dataclasses.asdict(done))
            complete.append(done)
            watch.say(
                f"Round {number}: trained on {done.transitions:,} transitions; deployed, it earned "
                f"{done.mean:.4g} in the mean of {len(done.returns):,} episodes."
            )
            parts.append(native.open(place / "data"))
    return complete, Outcome.COMPLETED


def read_round(place: Path) -> Round | None:
    """What a round found, or None where it is not complete."""
    path = place / ROUND
    if not path.is_file():
        return None
    values = manifest.object_of(manifest.read_json(path), str(path))
    returns = tuple(values.pop("returns"))
    return Round(**values, returns=returns)


def _require_fit(environment: str | Make, data: Dataset) -> None:
    """Refuse an environment that is not the log's before anything is trained for it."""
    vector = make_vector(environment, 1)
    try:
        require_fit(vector, (data.observation_space, data.action_space))
    finally:
        vector.close()


def _begin(folder: Path, resume: bool, described: dict[str, Any]) -> None:
    """Keep what the loop is; where it has begun, it must be the same one, or a longer one."""
    path = folder / LOOP
    if path.is_file():
        if not resume:
            raise RunMismatch(f"{folder} holds a loop already. Continue it with --resume, or name another.")
        before = manifest.object_of(manifest.read_json(path), str(path))
        longer = {**before, "rounds": {**before.get("rounds", {}), "rounds": described["rounds"]["rounds"]}}
        odd = [name for name in described if longer.get(name) != described[name]]
        if odd:
            raise RunMismatch(
                f"{folder} was begun with another {', '.join(odd)}. Repeat its command, or name another."
            )
    write_json(path, described)


def _train(sweep: Sweep, parts: Sequence[Dataset], place: Path, settings: Settings, watch: Watch) -> Run:
    whole, begun = join(parts), (place / "run" / "config.json").is_file()
    if len(parts) > 1:
        whole = dataclasses.replace(whole, source=f"{whole.source} and {len(parts) - 1} rounds")
    return train(sweep, whole, out=place / "run", resume=begun, settings=settings, watch=watch)


def _collect(
    run: Run, environment: str | Make, rounds: Rounds, place: Path, number: int, asked: list[int]
) -> Evaluation | None:
    """Deploy a policy and keep what it does; None where a signal came first."""
    atomic.sweep_temporary(place)
    if (place / "data").exists():  # kept, but not yet told of: it is played again, alike
        atomic.remove_folder(place / "data")
    with Collector(run.recipe, environment, rounds) as collector:
        first = (number - 1) * rounds.episodes
        found = collector.play(run.newest.state, first, rounds.episodes, lambda: asked)
    if found is None:
        return None
    native.write(found[0], place / "data")
    return found[1]


def _round(number: int, parts: Sequence[Dataset], played: Evaluation) -> Round:
    mean, half = float(played.mean[0]), float(half_width(played.returns)[0])
    known = played.returns.shape[1] > 1
    return Round(
        round=number, episodes=sum(part.episodes for part in parts),
        transitions=sum(len(part) for part in parts), mean=mean,
        low=mean - half if known else None, high=mean + half if known else None,
        success_rate=None if played.successes is None else float(played.successes.mean()),
        returns=tuple(played.returns[0].tolist()),
    )  # fmt: skip
