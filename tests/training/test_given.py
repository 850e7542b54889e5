"""What people hand to `train` and `preset` by mistake is answered with what to write instead."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making.runs import Toy, told, walk

import suture
from suture.errors import ConfigError

IQL: Any = suture.IQL


@pytest.mark.parametrize(
    ("algorithm", "data", "said"),
    [
        (IQL, walk(), r"found the class IQL. Write IQL\(\)"),
        ("iql", walk(), r"found 'iql'. By its name: suture.preset\(\"iql\", \"generic\"\)"),
        (IQL(), "log.csv", r"the path 'log.csv'. Load it first: suture.load\(\"log.csv\"\)"),
        (IQL(), Path("log.csv"), "Load it first"),
        (IQL(), np.zeros(3), "found a ndarray"),
    ],
)
def test_what_is_no_algorithm_or_no_dataset_is_refused(algorithm: Any, data: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        suture.train(algorithm, data)


@pytest.mark.parametrize(
    ("algorithm", "said"),
    [
        ("IQL", "There is no algorithm 'IQL'. Did you mean 'iql'?"),
        ("TD3+BC", "There is no algorithm 'TD3+BC'. Did you mean 'td3_bc'?"),
        ("dreamer", "There is no algorithm 'dreamer'."),
        (IQL(), 'such as suture.preset("iql", "sparse")'),
        (IQL, 'such as suture.preset("iql", "sparse")'),
        (3, 'such as suture.preset("iql", "sparse")'),
    ],
)
def test_a_preset_of_what_is_no_method_is_refused(algorithm: Any, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        suture.preset(algorithm, "sparse")
    assert said in str(refused.value)


def test_it_is_said_where_nothing_can_be_held_out(tmp_path: Path) -> None:
    options: dict[str, Any] = {"steps": 10, "validation": 0.2}
    _, said = told(Toy(), walk((30,)), out=tmp_path / "one", **options)
    assert "Nothing was held out, though validation is 0.2: the log is one episode" in said
    run, said = told(Toy(), walk(), out=tmp_path / "many", **options)
    assert "held out" not in said
    assert run.recipe.split["validation_episodes"] > 0
