"""Whether a run that is to be resumed is the run that began, and what differs where it is not."""

from pathlib import Path
from typing import Any

import numpy as np

from suture import spaces
from suture.data.normalise import Affine
from suture.errors import RunMismatch
from suture.storage import manifest
from suture.training.run import Recipe

OPERATIONAL = {"checkpoint_every", "log_every", "keep", "memory_limit", "tensorboard"}
OPERATIONAL_ONLINE = {"least_return", "processes"}
ROUNDING = 1e-5
SHOWN = 5
_REPEAT = "Repeat its command, or choose another --out."
_WHY_NOT_LONGER = (
    " A step size is scheduled over the length of this run, so that a longer run is another run from its "
    "first step on (a constant schedule can be lengthened)."
)


def require_folder(path: Path, algorithm: str, *, resume: bool) -> bool:
    """Whether a folder holds a run; refuses one that is not to be resumed, or that is of another algorithm.

    It reads nothing but the run's `config.json`, so that it can be asked before a log is read.
    """
    if path.exists() and not path.is_dir():
        raise RunMismatch(f"{path} is a file. Name a folder for the run with --out.")
    if not (path / "config.json").exists():
        return False
    if not resume:
        raise RunMismatch(f"{path} holds a run already. Continue it with --resume, or choose another --out.")
    file = path / "config.json"
    began = manifest.object_of(manifest.read_json(file), str(file)).get("algorithm")
    if isinstance(began, str) and began != algorithm:
        raise RunMismatch(f"{path} holds a run of {began}, not of {algorithm}. {_REPEAT}")
    return True


def require_same(before: Recipe, now: Recipe, path: Path) -> None:
    """A resumed run must be the run that began: same algorithm, members, settings, data, spaces and scales.

    How often it logs or saves may change; it may become longer where nothing in its state is scheduled
    over its length. Raises `RunMismatch`, which names each setting that differs with both values.
    """
    _require_same_settings(before, now, path)
    require_same_log(before, now, path)


def require_same_log(before: Recipe, now: Recipe, path: Path) -> None:
    """The log, its spaces and its scales must be those that a run began with. Raises `RunMismatch`."""
    found = _spaces_differ(before, now)
    if before.fingerprint != now.fingerprint:
        found += _schemas_differ(before.schema, now.schema)
        found.append(f"fingerprint was {before.fingerprint[:12]}, now {now.fingerprint[:12]}")
        raise RunMismatch(
            f"The data changed since {path} began: {'; '.join(found)}. Restore the data and how it is read, "
            "or train anew into another folder."
        )
    found = found or _scales_differ(before, now)
    if found:
        raise RunMismatch(f"{path} was begun with the data read otherwise: {'; '.join(found)}. {_REPEAT}")


def _require_same_settings(before: Recipe, now: Recipe, path: Path) -> None:
    old, new = before.config_json(), now.config_json()
    if ("finetuned" in old) != ("finetuned" in new):
        how = "fine-tuned: continue it by suture finetune" if "finetuned" in old else "not fine-tuned"
        raise RunMismatch(f"{path} was {how}. {_REPEAT}")
    for values in (old, new):
        values["settings"] = {k: v for k, v in values["settings"].items() if k not in OPERATIONAL}
        del values["data"]
        values.get("behaviour", {}).pop("path", None)  # where its weights lay does not matter
        tuned = values["finetuned"] = dict(values.get("finetuned") or {})
        tuned.pop("run", None)
        tuned["online"] = {k: v for k, v in tuned.get("online", {}).items() if k not in OPERATIONAL_ONLINE}
    longer = before.settings.steps < now.settings.steps
    scheduled = longer and before.structure != now.structure
    if longer and not scheduled:
        old["settings"]["steps"] = now.settings.steps
    if old != new:
        why = _WHY_NOT_LONGER if _only_steps_differ(old, new) and scheduled else ""
        said = "; ".join(_differences(old, new))
        raise RunMismatch(f"{path} was begun with other settings: {said}.{why} {_REPEAT}")


def _only_steps_differ(old: dict[str, Any], new: dict[str, Any]) -> bool:
    steps = {"steps": new["settings"]["steps"]}
    return {**old, "settings": old["settings"] | steps} == new


def _spaces_differ(before: Recipe, now: Recipe) -> list[str]:
    """What differs between the spaces, leaf by leaf, with the option that decides it."""
    found = list[str]()
    for what, old, new in (
        ("observation space", before.observation, now.observation),
        ("action space", before.action, now.action),
    ):
        ours, theirs = spaces.leaves_of(old), spaces.leaves_of(new)
        for leaf in sorted(ours.keys() | theirs.keys()):
            one, other = ours.get(leaf), theirs.get(leaf)
            if one != other:
                option = _option(one, other) if what == "action space" else ""
                found.append(f"{what}{f' {leaf}' if leaf else ''} was {one}, now {other}{option}")
    return found


def _option(one: Any, other: Any) -> str:
    if isinstance(one, spaces.Box) and isinstance(other, spaces.Box) and one.shape == other.shape:
        return " (--action-bounds)"
    return " (--discrete)" if type(one) is not type(other) else ""


def _scales_differ(before: Recipe, now: Recipe) -> list[str]:
    """Which scales differ by more than another machine's rounding."""
    old, new = before.normaliser, now.normaliser
    leaves = sorted(old.observation.keys() | new.observation.keys())
    pairs = {
        f"observation {leaf}".rstrip(): (old.observation.get(leaf), new.observation.get(leaf))
        for leaf in leaves
    }
    pairs["action"] = old.action, new.action
    found = [
        f"the scale of {name} was {_said(one)}, now {_said(other)}"
        for name, (one, other) in pairs.items()
        if not _alike(one, other)
    ]
    for name in ("reward_scale", "reward_shift"):
        one, other = getattr(old, name), getattr(new, name)
        if abs(one - other) > ROUNDING * max(abs(old.reward_scale), abs(one)):
            found.append(f"{name} was {one:g}, now {other:g}")
    return found


def _alike(one: Affine | None, other: Affine | None) -> bool:
    if one is None or other is None or one.scale.shape != other.scale.shape:
        return one is other
    near = ROUNDING * (np.abs(one.shift) + one.scale)
    return bool(
        (np.abs(one.shift - other.shift) <= near).all() and (np.abs(one.scale - other.scale) <= near).all()
    )


def _said(scale: Affine | None) -> str:
    return "none" if scale is None else f"{scale.scale.ravel()[:SHOWN].tolist()}"


def _schemas_differ(old: dict[str, Any] | None, new: dict[str, Any] | None) -> list[str]:
    """What differs between two schemas; nothing where a file names its columns itself."""
    if old is None or new is None:
        return [] if old is new else ["one of the two was read by a schema, the other was not"]
    return _differences(old, new, "schema.")


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    found = list[str]()
    for name in sorted(old.keys() | new.keys()):
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differences(a, b, f"{prefix}{name}.")
        elif a != b:
            found.append(f"{prefix}{name} {_changed(a, b)}")
    return found


def _changed(old: Any, new: Any) -> str:
    """'was a, now b'; of two long lists of names what was taken out and what was put in."""
    if isinstance(old, list) and isinstance(new, list) and len(old) + len(new) > 2 * SHOWN:
        said = [
            f"{verb} {', '.join(map(repr, names[:SHOWN]))}{' …' if len(names) > SHOWN else ''}"
            for verb, names in (
                ("no longer names", [one for one in old if one not in new]),
                ("now names", [one for one in new if one not in old]),
            )
            if names
        ]
        return " and ".join(said) or "has another order"
    return f"was {old!r}, now {new!r}"
