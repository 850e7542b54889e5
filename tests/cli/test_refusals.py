"""What a command says of input that it refuses, and what it does instead where one asks for it."""

import json
from pathlib import Path

from making.command import Command
from making.logs import built, walk_log

from suture.data.formats import native


def test_d17_d18_a_damaged_store_is_refused_or_read_in_part(command: Command, tmp_path: Path) -> None:
    store = tmp_path / "store"
    native.write(built(walk_log((5, 4, 6))), store, shard_bytes=1)
    shard = store / "shard-000001.safetensors"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    code, out, err = command("train", "bc", store, "--out", tmp_path / "run")
    assert (code, out) == (2, "")
    assert f"{shard.name} is corrupted" in err
    assert "--skip-bad" in err
    assert not (tmp_path / "run").exists()
    code, out, _ = command("inspect", store, "--skip-bad", "--json")
    assert (code, json.loads(out)["transitions"]) == (0, 11)
    assert shard.name in json.loads(out)["findings"][-1]["message"]
