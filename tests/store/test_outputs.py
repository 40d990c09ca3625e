"""A committed output is whole or absent, and damage never goes unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphids.store.lease import LeaseLostError
from graphids.store.outputs import DamagedOutputError, OutputStore

KEY = "ab" * 32


def commit(store: OutputStore, key: str = KEY, content: bytes = b"weights") -> Path:
    folder = store.begin(key)
    (folder / "model.bin").write_bytes(content)
    return store.commit(folder, key, "classify ce sim seed 0", {"meta": {"epochs": 3}})


def test_a_commit_is_found_by_fingerprint_and_says_what_it_holds(tmp_path: Path) -> None:
    store = OutputStore(tmp_path)
    assert store.find(KEY) is None
    folder = commit(store)
    assert folder.name == f"classify-ce-sim-seed-0-{KEY[:12]}"
    assert OutputStore(tmp_path).find(KEY) == folder
    manifest = store.verify(folder)
    assert manifest["fingerprint"] == KEY
    assert manifest["files"]["model.bin"]["bytes"] == 7


def test_an_unfinished_folder_is_no_output(tmp_path: Path) -> None:
    store = OutputStore(tmp_path)
    folder = store.begin(KEY)
    (folder / "model.bin").write_bytes(b"half")
    (store.outputs / f"torn-{KEY[:12]}").mkdir(parents=True)
    assert store.find(KEY) is None
    assert store.sweep() == 1
    assert not list(store.temporary.iterdir())


def test_the_same_trial_is_committed_once(tmp_path: Path) -> None:
    store = OutputStore(tmp_path)
    first = commit(store)
    assert commit(store, content=b"other weights") == first
    assert (first / "model.bin").read_bytes() == b"weights"
    assert len(list(store.outputs.iterdir())) == 1
    assert not list(store.temporary.iterdir())


@pytest.mark.parametrize("position", [0, 3, 6])
def test_a_flipped_bit_is_seen(tmp_path: Path, position: int) -> None:
    store = OutputStore(tmp_path)
    folder = commit(store)
    content = bytearray((folder / "model.bin").read_bytes())
    content[position] ^= 1
    (folder / "model.bin").write_bytes(content)
    with pytest.raises(DamagedOutputError, match=r"model\.bin does not match its manifest"):
        store.verify(folder)
    moved = store.quarantine(folder)
    assert moved.is_dir()
    assert store.find(KEY) is None


def test_a_missing_file_is_seen(tmp_path: Path) -> None:
    store = OutputStore(tmp_path)
    folder = commit(store)
    (folder / "model.bin").unlink()
    with pytest.raises(DamagedOutputError, match="missing"):
        store.verify(folder)


def test_a_run_that_lost_the_store_commits_nothing(tmp_path: Path) -> None:
    store = OutputStore(tmp_path)
    folder = store.begin(KEY)

    def refuse() -> None:
        raise LeaseLostError("taken")

    with pytest.raises(LeaseLostError):
        store.commit(folder, KEY, "label", {}, refuse)
    assert store.find(KEY) is None
