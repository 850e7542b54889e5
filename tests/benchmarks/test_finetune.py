"""The peer plays the same episodes, what it leaves comes back, and the figures are what they are called."""

import json
import sys
from pathlib import Path

import _peer
import finetune
import numpy as np
import pytest
from _served import Served

from suture.data.build import build
from suture.envs.chain import make_stitch_log
from suture.errors import SutureError
from suture.evaluation.rollout import rollout

PENDULUM = "Pendulum-v1"


def test_an_environment_that_is_served_plays_our_episodes() -> None:
    """Two whole episodes and a begun one: the same starts and, acting alike, the same returns."""
    served = Served(PENDULUM, 7)
    for _ in range(2):
        observation, *_, over = json.loads(served("null"))
        while not over:
            observation, _, _, over = json.loads(served(json.dumps([3.0 * observation[0]])))
    served("null")
    served("[0.5]")
    ours = rollout(lambda seen: 3.0 * seen[..., :1], PENDULUM, episodes=2, seed=7)
    np.testing.assert_allclose(served.returns, ours.returns[0], rtol=1e-6)
    assert served.lengths == [200, 200]


PEER = """
import json, sys
import numpy as np
print("null", flush=True)
first = json.loads(sys.stdin.readline())
print(json.dumps([1.0]), flush=True)
second = json.loads(sys.stdin.readline())
np.savez(sys.argv[2], first=first, second=second, rows=len(np.load(sys.argv[1])["reward"]), said=sys.argv[3])
"""


def test_a_peers_script_is_answered_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_peer, "HERE", tmp_path)
    monkeypatch.setenv("SUTURE_PEER", sys.executable)
    (tmp_path / "script.py").write_text(PEER)
    data = build(make_stitch_log(5, 0))
    left = _peer.left_by("script.py", data, ("word",), lambda line: json.dumps([line.strip()]))
    assert [left["first"].item(), left["second"].item()] == ["null", "[1.0]"]
    assert (left["rows"], str(left["said"])) == (len(data), "word")
    (tmp_path / "script.py").write_text("raise ValueError('no such method')")
    with pytest.raises(SutureError, match=r"script\.py failed:(.|\n)*no such method"):
        _peer.left_by("script.py", data, ())


def result(side: str, seed: int, returns: list[float], curve: list[list[float]]) -> dict[str, object]:
    return {
        "task": "pendulum", "algorithm": "iql", "side": side, "seed": seed, "window": 2, "curve": curve,
        "returns": returns, "lengths": [10] * len(returns), "cpu_seconds": 1.0, "steps": [0, 5, 10],
    }  # fmt: skip


def test_a_row_in_numbers() -> None:
    row = finetune.row_of(result("ours", 0, [4.0, 2.0, 1.0, 1.0, 6.0], [[1.0, 3.0], [0.0, 0.0], [5.0, 7.0]]))
    assert (row["side"], row["offline"], row["final"], row["curve"]) == ("Suture", 2.0, 6.0, [2.0, 0.0, 6.0])
    assert (row["before"], row["dip"], row["regret_per_episode"]) == (3.0, 2.0, pytest.approx(1 / 3))


def test_the_table_and_the_figure_compare_seeds(tmp_path: Path) -> None:
    """Finals of 6 and 8 against 1 and 3: a difference of 5, whose standard error is sqrt(2)."""
    ends = {"ours": (6.0, 8.0), "peer": (1.0, 3.0)}
    rows = [
        finetune.row_of(result(side, seed, [4.0, 2.0, 1.0, 1.0], [[1.0], [0.0], [end]]))
        for side, pair in ends.items()
        for seed, end in enumerate(pair)
    ]
    sides = finetune.grouped(rows)["pendulum", "iql"]
    ours, peer = (finetune.side_of(sides[name], "final") for name in ("Suture", "d3rlpy"))
    assert (finetune.shown(ours), finetune.shown(peer)) == ("7 ± 1", "2 ± 1")
    assert finetune.difference(ours, peer) == f"{5 / np.sqrt(2):+.1f}"
    assert finetune.difference(ours, None) == ""
    assert finetune.table(rows).row_count == 2
    finetune.draw(rows, tmp_path / "curves.svg")
    drawn = (tmp_path / "curves.svg").read_text()
    assert all(word in drawn for word in ("pendulum", "Suture", "d3rlpy", "iql"))
