"""How methods are given to `suture overestimation`: with fields, with presets, and what is refused."""

import pytest

from suture.algorithms.cql import CQL
from suture.algorithms.iql import IQL
from suture.algorithms.presets import preset
from suture.algorithms.sac import SAC
from suture.cli.studies import method_of
from suture.errors import ConfigError


def test_fields_are_read_by_their_types() -> None:
    said = "cql:sampled_gradient=true:hidden=64,32:target-gap=5:samples=1e1:actor_learning_rate=3e-5"
    method, changed = method_of(said)
    assert method.algorithm == CQL(
        sampled_gradient=True, hidden=(64, 32), target_gap=5.0, samples=10, actor_learning_rate=3e-5
    )
    assert (method.name, method.settings, changed) == (said, {}, False)
    assert method_of("cql:target_gap=none:hidden=8")[0].algorithm == CQL(hidden=(8,))


def test_a_preset_sets_fields_and_the_run_and_what_is_said_goes_before_it() -> None:
    method, _ = method_of("iql:preset=sparse:inverse_temperature=5")
    published, settings = preset("iql", "sparse")
    assert isinstance(published, IQL)
    assert method.algorithm == IQL(expectile=published.expectile, inverse_temperature=5.0)
    assert method.settings == settings == {"reward_shift": -1.0}


def test_entropy_is_left_out_of_values_unless_it_is_asked_for() -> None:
    assert method_of("sac")[0].algorithm == SAC(entropy_backup=False)
    assert method_of("sac")[1]
    assert method_of("sac:entropy_backup=true")[0].algorithm == SAC()
    assert not method_of("sac:entropy_backup=true")[1]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("cqll", "no algorithm 'cqll'. Did you mean 'cql'"),
        ("cql:sampled_gradient", "'cql:sampled_gradient' has 'sampled_gradient'"),
        ("iql:expectile=0.8:expectile=0.9", "'expectile' twice"),
        ("iql:expectil=0.8", "no field 'expectil'. Did you mean 'expectile'"),
        ("iql:expectile=high", "IQL.expectile must be of type float, found 'high'"),
        ("iql:expectile=nan", "IQL.expectile must be > 0"),
        ("iql:expectile=1.5", "IQL.expectile must be > 0"),
        ("iql:n_step=2.5", "IQL.n_step must be of type int"),
        ("cql:sampled_gradient=maybe", "CQL.sampled_gradient must be of type bool, found 'maybe'"),
        ("cql:hidden=256,wide", "CQL.hidden must be of type int, found 'wide'"),
        ("iql:preset=sparce", "Did you mean 'sparse'"),
        ("dqn:preset=sparse", "dqn has no preset 'sparse'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(said: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why.replace("(", r"\(")):
        method_of(said)
