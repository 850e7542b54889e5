"""What tests of algorithms and of the disk share; `check_algorithm` is for your own algorithms too."""

from suture.testing.contract import check_algorithm

__all__ = ["check_algorithm"]
