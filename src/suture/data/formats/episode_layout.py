"""What an episode with images is, and how one is packed into bytes that the store of such episodes keeps.

An episode is a table of its steps, which holds all that is not an image, and the encoded pictures of its
observations, the last one included. Both are settled when they are packed: they are what a dataset holds.
"""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from suture import spaces
from suture.data.formats.pictures import Codec
from suture.errors import ConfigError, DataRefused, FormatError
from suture.spaces import Array, Box, Dict, Discrete, Space, Tree
from suture.storage import tensors

Kind: TypeAlias = Literal["bool", "int64", "float32", "float64", "text"]
FORMAT, KIND = 1, "suture-episodes"
"""What the manifest of a store of such episodes says that it is."""
KINDS = ("bool", "int64", "float32", "float64", "text")
TEXT_BYTES, HASH_BYTES = 64, 8
MOST_COLUMNS = 4096
PICTURES, SIZES = "pictures", "sizes"
ROUNDING = 1e-5
"""By which share of their range actions may leave their bounds: they are set to the bounds."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Episode:
    """T steps.

    seed: which episode it is; no two of a store have the same.
    observation: tree of (T + 1, ...), what was seen before each step and after the last.
    action: (T, dimensions), or (T,) choices.   reward: (T,).
    terminated: it ended; nothing follows.   truncated: it was cut; something would have followed.
    columns: what else is known, one value for the whole episode; of numbers also (T,).
    """

    seed: int
    observation: Tree
    action: Array
    reward: Array
    terminated: bool
    truncated: bool
    columns: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])

    def refused(self, why: str) -> DataRefused:
        """The error for an episode that does not fit the layout of its store."""
        return DataRefused(f"Episode {self.seed!r:.40} was not stored: {why}.")


class Column(NamedTuple):
    """One column of the table of steps: its dtype, the shape of a row, and for choices how many there are.

    Text is (TEXT_BYTES,) of UTF-8, filled up with zeros.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()
    choices: int | None = None

    @property
    def text(self) -> bool:
        return self.dtype == np.uint8


NUMBER, FLAG = Column(np.dtype(np.float32)), Column(np.dtype(np.bool_))
TEXT = Column(np.dtype(np.uint8), (TEXT_BYTES,))


class Steps(NamedTuple):
    """The table of some episodes, (rows, ...) by name, and the encoded pictures of all their observations."""

    table: dict[str, Array]
    pictures: list[Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """What all episodes of a store have in common.

    observation_space: at least one image (bytes; height, width, channels), beside float32 and choices.
    columns: name -> kind of what else is known of each step or episode.
    source: where the episodes come from, for people.
    """

    observation_space: Space
    action_space: Space
    codec: Codec = Codec()  # noqa: RUF009 - it is frozen
    columns: Mapping[str, Kind] = dataclasses.field(default_factory=dict[str, Kind])
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "observation_space", _unbounded(self.observation_space))
        for leaf in self.images.values():
            self.codec.require(leaf)
        if not self.images:
            raise ConfigError(
                "This store is for observations with an image (bytes; height, width, channels); found "
                f"{self.observation_space}. Other logs are stored by `suture convert`."
            )
        if isinstance(self.action_space, Box) and not self.action_space.is_finite:
            raise ConfigError(f"Actions have finite bounds, or none; found {self.action_space}.")
        odd = [name for name, kind in self.columns.items() if kind not in KINDS or name in ("", "seed")]
        count = sum(math.prod(column.shape) for column in self.table.values())
        if odd or count > MOST_COLUMNS or len({name for name, _, _ in self.wide}) < len(self.wide):
            raise ConfigError(
                f"A column is one of {', '.join(KINDS)}, has a name of its own that is not seed, and a step "
                f"has at most {MOST_COLUMNS:,}; found {count:,}, and {', '.join(map(repr, odd)) or 'none'} "
                "of another kind."
            )

    @functools.cached_property
    def images(self) -> dict[str, Box]:
        """Path -> image of an observation."""
        leaves = spaces.leaves_of(self.observation_space)
        return {path: leaf for path, leaf in leaves.items() if isinstance(leaf, Box) and leaf.is_image}

    @property
    def most_bytes(self) -> int:
        """Of an encoded picture, at most: a JPEG of noise may be larger than the noise."""
        return 4096 + 2 * max(leaf.size for leaf in self.images.values())

    @functools.cached_property
    def table(self) -> dict[str, Column]:
        """The columns of the table of steps."""
        found = {"seed": Column(np.dtype(np.int64)), "step": Column(np.dtype(np.int32))}
        for name in ("observation", "next_observation"):
            for path, leaf in spaces.leaves_of(self.observation_space).items():
                found[at(name, path)] = _column(leaf)
        found |= {"action": _column(self.action_space), "reward": NUMBER}
        found |= {"terminated": FLAG, "truncated": FLAG}
        for name, kind in sorted(self.columns.items()):
            found[f"columns/{name}"] = TEXT if kind == "text" else Column(np.dtype(kind))
        return found

    @functools.cached_property
    def wide(self) -> list[tuple[str, str, int]]:
        """Each column of one number (or text): its name, and where it is in `table`: a name, an element."""
        return [
            (f"{name}.{element}" if column.shape and not column.text else name, name, element)
            for name, column in self.table.items()
            for element in range(1 if column.text else math.prod(column.shape))
        ]

    def pack(self, episode: Episode) -> bytes:
        """An episode as one record of the store. Raises `DataRefused` where it does not fit the layout."""
        rows = len(episode.action)
        if not rows or type(episode.seed) is not int or abs(episode.seed) >= 2**63:
            raise episode.refused(f"it has {rows} steps, and a seed must be a whole number of 64 bits")
        if episode.terminated and episode.truncated:
            raise episode.refused("it is both terminated and truncated")
        last = np.arange(rows) == rows - 1
        table = {
            "seed": np.full(rows, episode.seed), "step": np.arange(rows, dtype=np.int32),
            "action": self._action(episode),
            "reward": _settled(episode, "reward", episode.reward, rows, NUMBER),
            "terminated": last & bool(episode.terminated), "truncated": last & bool(episode.truncated),
            **self._known(episode, rows),
        }  # fmt: skip
        contents = list[list[bytes]]()
        for path, array in self._observed(episode, rows + 1).items():
            if path in self.images:
                contents.append([self.codec.encode(picture) for picture in array])
                array = np.array([_hash(content) for content in contents[-1]], np.uint64)
            table[at("observation", path)], table[at("next_observation", path)] = array[:-1], array[1:]
        pictures = [content for step in zip(*contents, strict=True) for content in step]
        table[PICTURES] = np.frombuffer(b"".join(pictures), np.uint8)
        table[SIZES] = np.array([len(content) for content in pictures])
        return tensors.save(table)

    def unpack(self, record: Array, where: str) -> Steps:
        """The episode in a record. Raises `FormatError` where it is none of this layout."""
        table = tensors.parse(record, where)
        content, sizes = table.pop(PICTURES, None), table.pop(SIZES, None)
        self.require(table, where)
        expected = (len(table["seed"]) + 1) * len(self.images)
        if content is None or sizes is None or content.dtype != np.uint8 or sizes.dtype != np.int64:
            raise FormatError(f"{where}: its pictures are missing.")
        if sizes.shape != (expected,) or sizes.min() < 0 or content.shape != (int(sizes.sum()),):
            raise FormatError(f"{where}: its pictures are not {expected} that fit its sizes.")
        return Steps(table, np.split(content, np.cumsum(sizes)[:-1]))

    def require(self, table: Mapping[str, Array], where: str) -> None:
        """`FormatError` unless a table has this layout's columns, and rows that are whole episodes."""
        rows = len(table.get("seed", ()))
        found = {name: (array.dtype, array.shape) for name, array in table.items()}
        wanted = {name: (column.dtype, (rows, *column.shape)) for name, column in self.table.items()}
        if found != wanted or not rows:
            odd = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
            raise FormatError(f"{where}: its {rows:,} rows are not of the store's layout ({', '.join(odd)}).")
        begins, row = table["step"] == 0, np.arange(rows)
        step = row - np.maximum.accumulate(np.where(begins, row, 0))
        seeds, changes = table["seed"][begins], np.diff(table["seed"]) != 0
        if (step != table["step"]).any() or (changes != begins[1:]).any() or len(set(seeds)) < len(seeds):
            raise FormatError(f"{where}: its rows are not whole episodes, each once.")
        flags = table["terminated"].astype(np.int8) + table["truncated"]
        if flags.max() > 1 or flags[:-1][~begins[1:]].any():
            raise FormatError(f"{where}: episodes end twice, or before their last row.")
        for name, column in self.table.items():
            most = column.choices
            if most is not None and not 0 <= table[name].min() <= table[name].max() < most:
                raise FormatError(f"{where}: {name} holds others than the choices 0 to {most - 1}.")
            if column.text:
                _require_utf8(table[name], f"{where}: {name}")

    def to_json(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "observation_space": spaces.to_json(self.observation_space),
            "action_space": spaces.to_json(self.action_space), "codec": dataclasses.asdict(self.codec),
            "columns": dict(self.columns), "source": self.source,
        }  # fmt: skip

    @staticmethod
    def from_json(values: Mapping[str, Any], where: str) -> "Layout":
        """The layout that `to_json` wrote. `FormatError` for anything else."""
        try:
            return Layout(
                observation_space=spaces.from_json(values["observation_space"]),
                action_space=spaces.from_json(values["action_space"]), codec=Codec(**values["codec"]),
                columns={str(name): kind for name, kind in values["columns"].items()},
                source=str(values["source"]),
            )  # fmt: skip
        except (KeyError, TypeError, AttributeError, ConfigError) as error:
            raise FormatError(f"{where} describes no episodes with images: {error!s:.300}.") from error

    def _observed(self, episode: Episode, rows: int) -> dict[str, Array]:
        """Settled observations, by path."""
        given = {path: np.asarray(array) for path, array in spaces.arrays_of(episode.observation).items()}
        if given.keys() != spaces.leaves_of(self.observation_space).keys():
            raise episode.refused(f"it observes {sorted(given)}, which is not {self.observation_space}")
        for path, array in given.items():
            name, image = at("observation", path), self.images.get(path)
            if image is None:
                given[path] = _settled(episode, name, array, rows, self.table[name])
            elif array.dtype != np.uint8 or array.shape != (rows, *image.shape):
                found = f"{array.dtype}{list(array.shape)}"
                raise episode.refused(f"{name} is {found}, expected {rows} of {image}")
        return given

    def _action(self, episode: Episode) -> Array:
        space, action = self.action_space, np.asarray(episode.action)
        settled = _settled(episode, "action", action, len(action), self.table["action"])
        if not isinstance(space, Box) or space.low is None or space.high is None:
            return settled
        bounds = np.asarray([space.low, space.high], np.float32)
        low, high = bounds.reshape(2, *space.shape)
        outside = np.maximum(low - settled, settled - high)
        if (outside > ROUNDING * (high - low)).any():
            raise episode.refused(f"actions leave their bounds by up to {outside.max():g} ({space})")
        return np.clip(settled, low, high)

    def _known(self, episode: Episode, rows: int) -> dict[str, Array]:
        """Settled columns, by their names in the table."""
        if episode.columns.keys() != self.columns.keys():
            names = f"{sorted(episode.columns)}, expected {sorted(self.columns)}"
            raise episode.refused(f"its columns are {names}")
        found = dict[str, Array]()
        for name, value in episode.columns.items():
            column = self.table[f"columns/{name}"]
            settled = _text(episode, name, value) if column.text else _numbers(episode, name, value, column)
            found[f"columns/{name}"] = np.broadcast_to(settled, (rows, *column.shape))
        return found


def at(name: str, path: str) -> str:
    """The name of a leaf of an observation in the table of steps."""
    return f"{name}/{path}" if path else name


def _settled(episode: Episode, name: str, array: Any, rows: int, column: Column) -> Array:
    """Finite numbers, or choices, in their dtype."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub" or array.shape != (rows, *column.shape):
        expected = [rows, *column.shape]
        raise episode.refused(f"{name} is {array.dtype}{list(array.shape)}, expected numbers {expected}")
    if column.choices is not None:
        if not ((array >= 0) & (array < column.choices) & (array == np.trunc(array))).all():
            raise episode.refused(f"{name} holds others than the choices 0 to {column.choices - 1}")
        return array.astype(column.dtype)
    with np.errstate(over="ignore"):
        settled = array.astype(column.dtype)
    if not np.isfinite(settled).all():
        raise episode.refused(f"{name} holds NaN, infinity, or what is too large for float32")
    return settled


def _numbers(episode: Episode, name: str, value: Any, column: Column) -> Array:
    """The numbers of a column, one or one a step, in its dtype; none of them changes but by rounding."""
    array, rows = np.asarray(value), len(episode.action)
    if array.dtype.kind not in "fiub" or array.shape not in ((), (rows,)):
        raise episode.refused(f"column {name!r} is {value!r:.60}, expected one number, or {rows}")
    with np.errstate(over="ignore", invalid="ignore"):
        settled = array.astype(column.dtype)
    fit = settled == array if column.dtype.kind in "ib" else np.isfinite(settled) >= np.isfinite(array)
    if not np.all(fit):
        raise episode.refused(f"column {name!r} holds numbers that are no {column.dtype}: {value!r:.60}")
    return settled


def _text(episode: Episode, name: str, value: Any) -> Array:
    """A text as the bytes of its column, (TEXT_BYTES,)."""
    content = value.encode(errors="replace") if isinstance(value, str) else b"\0"
    if len(content) > TEXT_BYTES or b"\0" in content or content.decode() != value:
        raise episode.refused(
            f"column {name!r} is {value!r:.80}, expected one text an episode, of {TEXT_BYTES} bytes at most"
        )
    return np.frombuffer(content.ljust(TEXT_BYTES, b"\0"), np.uint8)


def texts(column: Array) -> Array:
    """A column of text, (rows, TEXT_BYTES), as strings, (rows,)."""
    return np.char.decode(np.ascontiguousarray(column).view(f"S{TEXT_BYTES}")[:, 0], "utf-8")


def _require_utf8(column: Array, where: str) -> None:
    try:
        texts(column)
    except UnicodeDecodeError as error:
        raise FormatError(f"{where} holds no UTF-8.") from error


def _column(leaf: Space) -> Column:
    """How an observation or an action stands in the table; of an image its hash does."""
    if isinstance(leaf, Discrete):
        return Column(np.dtype(np.int32), choices=leaf.n)
    if isinstance(leaf, Box) and leaf.is_image:
        return Column(np.dtype(np.uint64))
    if not isinstance(leaf, Box) or leaf.dtype != "float32" or not leaf.shape or not leaf.size:
        raise ConfigError(f"Beside images a store holds arrays of float32 and choices, found {leaf}.")
    return Column(np.dtype(np.float32), leaf.shape)


def _unbounded(space: Space) -> Space:
    """Observations have no bounds in a dataset; those of an image would be long lists."""
    if isinstance(space, Dict):
        return Dict.of({name: _unbounded(inner) for name, inner in space.items})
    return Box(space.shape, space.dtype) if isinstance(space, Box) else space


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=HASH_BYTES).digest(), "little")
