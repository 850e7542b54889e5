"""S1: the writer of episodes, killed at each of its crash points, loses no acknowledged one."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from making.episodes import LAYOUT, episode, same

import suture
from suture.data.formats.episode_writer import Writer
from suture.storage.atomic import CRASH_STAGES

STAGES = [stage for stage in CRASH_STAGES if "folder" not in stage]
POINTS = [
    "episode.before_append", "episode.after_append",
    *(f"{what}.{stage}" for what in ("store", "log", "seal.frames", "seal.steps", "seal.manifest")
      for stage in STAGES),
]  # fmt: skip
SEEDS = range(4)
WRITE = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from making.episodes import LAYOUT, episode
from suture.data.formats import array_record, episode_writer, tabular
import array_record.python.array_record_module, polars

def write(folder, count):
    with episode_writer.Writer(folder, LAYOUT, shard_episodes=3) as writer:
        for seed in range(count):
            if seed not in writer:
                writer.append(episode(seed))
                with (folder.parent / f"{folder.name}.acknowledged").open("a") as file:
                    file.write(f"{seed} ")
"""
EACH = """
for point in sys.argv[4:]:
    folder = Path(sys.argv[2]) / point
    child = os.fork()
    if child == 0:
        if not point.startswith("store") and not point.startswith("log"):
            write(folder, 2)
        os.environ["SUTURE_CRASH_AT"] = point
        write(folder, int(sys.argv[3]))
        os._exit(0)
    print(point, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
TESTS = str(Path(__file__).parent.parent)


def acknowledged(store: Path) -> list[int]:
    noted = store.with_name(f"{store.name}.acknowledged")
    return [int(seed) for seed in noted.read_text().split()] if noted.exists() else []


def check(store: Path) -> None:
    """What was acknowledged is there, at most one episode more is, and recording goes on to the end."""
    known = acknowledged(store)
    with Writer(store, LAYOUT, shard_episodes=3) as writer:
        held = [seed for seed in SEEDS if seed in writer]
        assert held in (known, [*known, len(known)])
        if held:
            same(suture.load(store), held)
        for seed in SEEDS:
            writer.append(episode(seed))
    same(suture.load(store), SEEDS)
    assert not list(store.glob(".tmp-*"))


def test_killed_at_every_crash_point(tmp_path: Path) -> None:
    """One child imports everything; a fork of it is killed at each point, and what stands is checked here."""
    command = [sys.executable, "-c", WRITE + EACH, TESTS, str(tmp_path), str(len(SEEDS)), *POINTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ended = dict(line.split() for line in done.stdout.splitlines())
    assert ended == dict.fromkeys(POINTS, str(-signal.SIGKILL))
    for point in POINTS:
        check(tmp_path / point)


@pytest.mark.slow
def test_killed_again_and_again_at_random_times(tmp_path: Path) -> None:
    """Until all 200 are recorded: what was acknowledged is there, and at most one episode a kill beside."""
    store, kills, ended = tmp_path / "store", 0, False
    while not ended:
        command = [sys.executable, "-c", f"{WRITE}write(Path(sys.argv[2]), 200)", TESTS, str(store)]
        child, before = subprocess.Popen(command), len(acknowledged(store))
        while child.poll() is None and len(acknowledged(store)) < before + 10 + 7 * (kills % 5):
            time.sleep(0.001)
        child.kill()
        ended = child.wait() == 0
        kills += not ended
        held = suture.load(store).columns["seed"]
        assert {*acknowledged(store)} <= {*held}
        assert len({*held} - {*acknowledged(store)}) <= kills
    assert kills > 3
    same(suture.load(store), range(200))
