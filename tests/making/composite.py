"""A composite task in which everything lies in nearly one place, so that few episodes hold a whole path."""

from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import pytest

from suture.envs.composite import layout, starts


@contextmanager
def one_place() -> Generator[None]:
    """While it lasts, 100 episodes show what takes thousands where things may lie anywhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(layout.PLACES, "train", ((0.0, 0.1),))
        patch.setattr(starts, "CLEAR", np.array([[0.10, -0.10], [0.15, -0.05]]))
        yield
