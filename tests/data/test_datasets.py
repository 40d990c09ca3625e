"""Datasets say what they hold, what they lack and what they leave out; digests follow content."""

from __future__ import annotations

import gzip
import os
import pickle
import time

import pytest

from graphids.data import digests
from graphids.data.catalogue import CATALOGUE
from graphids.data.datasets import TRAIN_SUBSETS, DatasetError, open_dataset
from graphids.data.logs import LogError
from graphids.data.simulate import simulate_capture
from graphids.data.simulate_settings import SIMULATED

KNOWN = "test_01_known_vehicle_known_attack"
FREE, ATTACKED = TRAIN_SUBSETS


def text(seed: int) -> bytes:
    return b"timestamp,arbitration_id,data_field,attack\n" + b"%d.5,0F1,00,1\n" % seed


@pytest.fixture
def root(tmp_path):
    """A complete dataset ``mine`` of four captures, one of them compressed."""
    files = {
        f"{FREE}/a-1.csv": text(1),
        f"{ATTACKED}/DoS-1.csv": text(2),
        f"{ATTACKED}/deep/gear-1.csv.gz": gzip.compress(text(3)),
        f"{KNOWN}/rpm-1.csv": text(4),
    }
    for name, content in files.items():
        put(tmp_path, name, content)
    return tmp_path


def put(root, name, content, dataset="mine"):
    path = root / dataset / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def names(captures):
    return [capture.name for capture in captures]


def test_a_folder_of_the_layout_is_a_dataset(root):
    put(root, f"{KNOWN}/notes.txt", b"no capture")
    put(root, f"{KNOWN}/._rpm-1.csv", b"no capture")
    dataset = open_dataset("mine", root)
    assert names(dataset.train) == [
        f"{FREE}/a-1.csv",
        f"{ATTACKED}/DoS-1.csv",
        f"{ATTACKED}/deep/gear-1.csv.gz",
    ]
    assert {subset: names(captures) for subset, captures in dataset.tests.items()} == {
        KNOWN: [f"{KNOWN}/rpm-1.csv"]
    }
    assert dataset.notes == (
        f"mine: {KNOWN}/notes.txt does not begin as a log does and is left out",
    )
    assert [capture.attack for capture in dataset.train] == [0, 1, 3]
    assert dataset.train[2].read()["attack_type"].to_list() == [3]
    assert pickle.loads(pickle.dumps(dataset)) == dataset


def test_logs_of_other_dialects_and_endings_are_captures(root):
    row = b"1.5,0316,1,05,T\n"
    put(root, f"{KNOWN}/b-DoS.log", row)
    put(root, f"{KNOWN}/c-DoS.LOG.gz", gzip.compress(row * 2))
    put(root, f"{KNOWN}/d-DoS.txt", row * 3)
    put(root, f"{KNOWN}/e-DoS.txt.gz", gzip.compress(row * 4))
    put(root, f"{KNOWN}/empty.txt", b"")
    put(root, f"{KNOWN}/drive.md", row)
    dataset = open_dataset("mine", root)
    captures = dataset.tests[KNOWN]
    assert [name[len(KNOWN) + 1 :] for name in names(captures)] == [
        "b-DoS.log", "c-DoS.LOG.gz", "d-DoS.txt", "e-DoS.txt.gz", "rpm-1.csv"
    ]  # fmt: skip
    assert [c.read()["attack_type"].to_list() for c in captures[:2]] == [[1], [1, 1]]
    assert [note.split()[1] for note in dataset.notes] == [f"{KNOWN}/empty.txt"]


def test_digest_follows_content_and_names_only(root):
    digest = open_dataset("mine", root).digest
    put(root, f"{ATTACKED}/deep/gear-1.csv.gz", gzip.compress(text(3), 1, mtime=5))
    os.utime(root / "mine" / KNOWN / "rpm-1.csv", ns=(1, 1))
    assert open_dataset("mine", root).digest == digest
    put(root, f"{KNOWN}/rpm-1.csv", text(5))
    changed = open_dataset("mine", root).digest
    assert changed != digest
    path = root / "mine" / KNOWN / "rpm-1.csv"
    path.rename(path.with_name("rpm-2.csv"))
    assert open_dataset("mine", root).digest not in {digest, changed}


def test_identical_captures_are_used_once_and_said(root):
    digest = open_dataset("mine", root).digest
    put(root, f"{ATTACKED}/DoS-9.csv", text(2))
    put(root, f"{KNOWN}/a-copy-1.csv.gz", gzip.compress(text(1)))
    put(root, "test_02_more/rpm-1.csv", text(4))
    dataset = open_dataset("mine", root)
    assert dataset.digest == digest
    assert list(dataset.tests) == [KNOWN]
    assert [note.split(" has the same content as ")[0] for note in dataset.notes] == [
        f"mine: {ATTACKED}/DoS-9.csv",
        f"mine: {KNOWN}/a-copy-1.csv.gz",
        "mine: test_02_more/rpm-1.csv",
        "mine has no captures of test_02_more but copies of others: it is left out",
    ]


def test_missing_test_folders_of_a_known_dataset_are_said(root):
    (root / "mine").rename(root / "hcrl_sa")
    notes = open_dataset("hcrl_sa", root).notes
    assert [note.split()[5].rstrip(":") for note in notes] == list(CATALOGUE["hcrl_sa"].tests[1:])


@pytest.mark.parametrize("subset", TRAIN_SUBSETS)
def test_missing_or_empty_training_folder_is_an_error(root, subset):
    for path in (root / "mine" / subset).rglob("*.csv*"):
        path.unlink()
    with pytest.raises(DatasetError, match=f"mine has no capture under .*{subset}"):
        open_dataset("mine", root)
    (root / "mine" / subset).rename(root / "elsewhere")
    with pytest.raises(DatasetError, match=f"needs the folder .*{subset}.*--data DIR"):
        open_dataset("mine", root)


def test_errors_lead_out(root):
    with pytest.raises(DatasetError, match=r"set_01 is read from files .*--data DIR"):
        open_dataset("set_01", None)
    with pytest.raises(DatasetError, match=r"needs the folder .*set_01"):
        open_dataset("set_01", root)
    with pytest.raises(DatasetError, match="did you mean sim_small"):
        open_dataset("sim_smal", None)
    with pytest.raises(DatasetError, match="did you mean mine"):
        open_dataset("mines", root)


def test_digests_are_remembered_until_a_file_changes(root, tmp_path, monkeypatch):
    cache = tmp_path / "store" / "digests.json"
    read: list[str] = []
    digest = digests._digest
    monkeypatch.setattr(digests, "_digest", lambda path: read.append(path.name) or digest(path))
    first = open_dataset("mine", root, digest_cache=cache)
    assert len(read) == 4
    assert open_dataset("mine", root, digest_cache=cache) == first
    assert len(read) == 4
    put(root, f"{KNOWN}/rpm-1.csv", text(44))
    assert open_dataset("mine", root, digest_cache=cache).digest != first.digest
    assert read[4:] == ["rpm-1.csv"]
    for broken in (b"{", b"[]", b'{"a": 1}', b"\xff"):
        cache.write_bytes(broken)
        open_dataset("mine", root, digest_cache=cache)
    assert len(read) == 5 + 4 * 4
    assert list(cache.parent.iterdir()) == [cache]


def test_a_damaged_capture_is_named_when_the_dataset_is_opened(root):
    put(root, f"{KNOWN}/rpm-1.csv.gz", gzip.compress(text(6))[:-9])
    with pytest.raises(LogError, match=r"rpm-1\.csv\.gz"):
        open_dataset("mine", root)


def test_simulated_datasets_open_without_being_generated():
    start = time.perf_counter()
    small, large = open_dataset("sim_small", None), open_dataset("sim_large", None)
    assert time.perf_counter() - start < 0.2
    assert small.digest != large.digest
    assert small.digest == open_dataset("sim_small", None).digest
    assert tuple(small.tests) == CATALOGUE["sim_small"].tests
    assert pickle.loads(pickle.dumps(small)) == small
    capture = small.tests["test_06_masquerade"][0]
    config = next(c for c in SIMULATED["sim_small"] if c.path == capture.name)
    assert capture.read().equals(simulate_capture(config))
    assert capture.attack == 16


def test_real_datasets_open(real_data):
    dataset = open_dataset("hcrl_sa", real_data)
    assert len(dataset.train) == 4
    assert [len(captures) for captures in dataset.tests.values()] == [2, 2, 2, 1]
    assert dataset.notes == ()
