"""Published settings by domain: where to begin, and who found them.

    suture train iql DATA --preset sparse

A preset sets fields of the algorithm and settings of the run; what the user says besides goes before it.
`generic` is every method's own defaults.
"""

from collections.abc import Mapping
from typing import Any, cast, get_args

from suture.algorithms.base import Algorithm
from suture.algorithms.published import MEANINGS, PRESETS, Domain, Preset
from suture.algorithms.table import ALGORITHMS, algorithm_named
from suture.config import nearest
from suture.errors import ConfigError


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
    return f"Preset {domain} of {algorithm}: {kept or 'nothing'}{yours}. Source: {found.source}." + (
        f" Note: {found.note}." if found.note else ""
    )


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
