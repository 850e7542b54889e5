"""Files as a bad disk, a broken-off copy or somebody else leaves them."""

from pathlib import Path


def damage(path: Path, how: str) -> None:
    """Harm a file of more than 200 bytes.   how: it is missing, cut, flipped (a bit of it), or a link."""
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        path.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    else:
        path.rename(path.with_suffix(".moved"))
        path.symlink_to(path.with_suffix(".moved"))
