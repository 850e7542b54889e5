"""Images of rows that stay where they are stored until somebody asks for them.

`Frames` stands in a dataset where an array would: it has a length, a shape and a dtype, rows of it are
`Frames` again, and NumPy (and JAX) turn it into the array by `np.asarray`, which reads and decodes it.
"""

from typing import Any, Protocol

import numpy as np

from suture.spaces import Array


class Pictures(Protocol):
    """Where images are stored.   shape: (height, width, channels).   hashes: (n,) uint64, one an image."""

    shape: tuple[int, ...]
    hashes: Array

    def read(self, index: Array, out: Array) -> None:
        """Write the images of some numbers (k,), in any order, into an array (k, height, width, channels)."""
        ...


class Frames:
    """The images of some rows, as a read-only array (rows, height, width, channels) of bytes.

    index: (rows,) the number of each row's image.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, pictures: Pictures, index: Array):
        self._pictures, self._index = pictures, index

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self._index), *self._pictures.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of the array that this stands for."""
        return self.size

    @property
    def hashes(self) -> Array:
        """A hash of each row's image as it is stored, (rows,) uint64: equal ones are equal images."""
        return self._pictures.hashes[self._index]

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, key: Any) -> Any:
        """Rows, unread; of one row, its image."""
        if isinstance(key, tuple):
            return np.asarray(self)[key]
        index = self._index[key]
        rows = Frames(self._pictures, np.atleast_1d(index))
        return rows if np.ndim(index) else np.asarray(rows)[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("Images are read from their files: there is no array that could be shared.")
        array = np.empty(self.shape, np.uint8)
        self._pictures.read(self._index, array)
        return array if dtype is None else array.astype(dtype, copy=False)
