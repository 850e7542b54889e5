"""Published settings by domain: where to begin, and who found them.

    suture train iql DATA --preset sparse

A preset sets fields of the algorithm and settings of the run; what the user says besides goes before it.
`generic` is every method's own defaults.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, cast, get_args

from suture.algorithms.base import Algorithm
from suture.algorithms.table import ALGORITHMS, algorithm_named
from suture.config import nearest
from suture.errors import ConfigError

Domain: TypeAlias = Literal["generic", "locomotion", "sparse", "dexterous"]
MEANINGS: dict[Domain, str] = {
    "generic": "the method's own defaults",
    "locomotion": "dense rewards, continuous control, mixed quality (D4RL's MuJoCo tasks)",
    "sparse": "0 or 1 at the goal alone, long fragments to be stitched (D4RL's AntMaze)",
    "dexterous": "human or cloned demonstrations of a hand with many joints (D4RL's Adroit)",
}
IQL, CQL = "Kostrikov et al. 2021 (arXiv:2110.06169)", "Kumar et al. 2020 (arXiv:2006.04779)"
CORL = "Tarasov et al. 2022 (arXiv:2210.07105), CORL's configurations"
BEAR = "Kumar et al. 2019 (arXiv:1906.00949), the settings of the authors' code for D4RL"
REBRAC, CAL_QL = "Tarasov et al. 2023 (arXiv:2305.09836)", "Nakamoto et al. 2023 (arXiv:2303.05479)"
EDAC, AWAC, FQL = (
    "An et al. 2021 (arXiv:2110.01548)",
    "Nair et al. 2020 (arXiv:2006.09359)",
    ("Park et al. 2025 (arXiv:2502.02538)"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """fields: of the algorithm.   settings: of the run.   source: where they were published."""

    fields: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    settings: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    source: str = ""


def _of(source: str, settings: dict[str, Any] | None = None, /, **fields: Any) -> Preset:
    return Preset(fields=fields, settings=settings or {}, source=source)


WIDE = (256, 256, 256)
PRESETS: dict[Domain, dict[str, Preset]] = {
    "generic": {name: Preset() for name in ALGORITHMS},
    "locomotion": {
        "iql": _of(IQL, {"reward_rule": "return-range"}, expectile=0.7, inverse_temperature=3.0),
        "cql": _of(CORL, conservative_weight=10.0, hidden=WIDE, actor_learning_rate=3e-5),
        "td3_bc": _of("Fujimoto & Gu 2021 (arXiv:2106.06860)", alpha=2.5),
        "rebrac": _of(REBRAC, batch_size=1024, actor_penalty=0.01, critic_penalty=0.01,
                      actor_learning_rate=1e-3, critic_learning_rate=1e-3),
        "awac": _of(CORL, temperature=0.333, batch_size=256, hidden=WIDE),
        "sac_n": _of(EDAC, critics=10, hidden=WIDE),
        "edac": _of(EDAC, critics=10, diversity_weight=1.0, hidden=WIDE),
        "bc": _of(CORL, head="deterministic"),
        "filtered_bc": _of(CORL, top=0.1, head="deterministic"),
        "bear": _of(BEAR, kernel="laplacian", sigma=20.0),  # the cheetah's kernel is gaussian
    },
    "sparse": {
        "iql": _of(IQL, {"reward_shift": -1.0}, expectile=0.9, inverse_temperature=10.0),
        "cql": _of(CORL, {"reward_scale": 10.0, "reward_shift": -5.0}, conservative_weight=5.0,
                   target_gap=0.8, max_target_backup=True, hidden=(256,) * 5),
        "cal_ql": _of(CAL_QL, {"reward_scale": 10.0, "reward_shift": -5.0}, conservative_weight=5.0,
                      target_gap=0.8, max_target_backup=True, hidden=(256,) * 4),
        "rebrac": _of(REBRAC, {"reward_scale": 100.0}, actor_penalty=0.002, critic_penalty=0.001,
                      discount=0.999, actor_learning_rate=3e-4, critic_learning_rate=5e-5),
        "fql": _of(FQL, {"reward_shift": -1.0}, bc_weight=10.0, normalise_q=False),
        "ifql": _of(FQL, {"reward_shift": -1.0}, expectile=0.9),
    },
    "dexterous": {
        "iql": _of(IQL, expectile=0.7, inverse_temperature=0.5, dropout=0.1),
        "bc": _of(f"{IQL}, of its policy, a weighted clone", dropout=0.1),
        "cql": _of(CORL, conservative_weight=1.0),
        "cal_ql": _of(CAL_QL, {"reward_scale": 10.0, "reward_shift": 5.0}, conservative_weight=1.0,
                      max_target_backup=True, hidden=(512, 512, 512)),
        "awac": _of(CORL, temperature=0.1, batch_size=256, hidden=WIDE),
        "rebrac": _of(REBRAC, batch_size=256, actor_penalty=0.1, critic_penalty=0.5),
        "fql": _of(FQL, bc_weight=10_000.0, normalise_q=False, spread=None),
    },
}  # fmt: skip


def preset(algorithm: str, domain: str) -> tuple[Algorithm[Any], dict[str, Any]]:
    """An algorithm with the published settings of a domain, and the settings of its run.

    `algorithm, settings = suture.preset("iql", "sparse"); suture.train(algorithm, data, **settings)`.
    Raises ConfigError for an unknown domain, or one for which no published settings of the method are kept.
    """
    found = find(algorithm, domain)
    return ALGORITHMS[algorithm](**found.fields), dict(found.settings)


def find(algorithm: str, domain: str) -> Preset:
    """The preset of a method, by its name, for a domain."""
    given = cast(object, algorithm)
    if not isinstance(given, str):
        kind = given if isinstance(given, type) else type(given)
        name = kind.name if issubclass(kind, Algorithm) else "iql"
        raise ConfigError(
            f'A preset is asked for by the name of its method, such as suture.preset("{name}", "{domain}"); '
            f"found {given!r:.60}."
        )
    algorithm_named(algorithm)
    if domain not in PRESETS:
        raise ConfigError(f"There is no preset {domain!r}.{nearest(domain, get_args(Domain))}")
    presets: dict[str, Preset] = PRESETS[domain]
    if algorithm not in presets:
        has = [name for name, methods in PRESETS.items() if algorithm in methods]
        raise ConfigError(
            f"{algorithm} has no preset {domain!r}: no published settings of it are kept for that domain. It "
            f"has {', '.join(has)}; methods with {domain!r}: {', '.join(presets)}."
        )
    return presets[algorithm]


def described(algorithm: str, domain: str, chosen: Mapping[str, Any]) -> str:
    """What a preset set and who published it, in a line.   chosen: the values that the run will have."""
    found = find(algorithm, domain)
    values = {**found.fields, **found.settings}
    if not values:
        return f"Preset {domain} of {algorithm}: {MEANINGS[get_args(Domain)[0]]}."
    own = [name for name, value in values.items() if chosen.get(name, value) != value]
    kept = ", ".join(f"{name} {_plain(value)}" for name, value in values.items() if name not in own)
    yours = "".join(f"; {name} {_plain(chosen[name])} as you said" for name in own)
    return f"Preset {domain} of {algorithm}: {kept or 'nothing'}{yours}. Source: {found.source}."


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
