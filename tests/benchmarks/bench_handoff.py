"""One stage's output in the hands of four readers: through the keeper, and through files."""

from __future__ import annotations

import hashlib
import logging
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from bus_traffic import one_thread
from handoff_readers import FILE, Reader, touch
from report import record, timed
from torch import Tensor

from graphids.runner.handoffs import start_keepers
from graphids.stages.handoff import Handoff, TensorFile, write_handoff
from graphids.store.outputs import OutputStore

RUN = "bench"
READERS = 4
ROUNDS = 7
ROW_BYTES = 80
"""Bytes of a row of the features: 18 float32 and one int64."""
FILES = "torch.save and torch.load"
MAPPED = "torch.save and torch.load(mmap=True)"
METHODS = {FILES: "read_file", MAPPED: "read_mapped_file"}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A node with its keeper, and readers that are up."""

    folder: Path
    store: OutputStore
    keeper: Any
    readers: list[Any]

    def read(self, method: str, what: str) -> list[float]:
        """What all readers find, each after its own reading; they run side by side."""
        return ray.get([getattr(reader, method).remote(what) for reader in self.readers])

    def commit(self, fingerprint: str, tensors: dict[str, Tensor]) -> None:
        """Commits an output as a trial does: digests, and the disk asked to have it."""
        folder = self.store.begin(fingerprint)
        write_handoff(Handoff(files={FILE: TensorFile(tensors)}), folder)
        self.store.commit(folder, fingerprint, "bench", {"meta": {}})

    def keep(self, fingerprint: str) -> None:
        """Waits until the keeper holds an output."""
        ray.get(self.keeper.fetch.remote(fingerprint))

    def file(self, fingerprint: str) -> str:
        """Where the peer's file of an output lies."""
        return str(self.folder / f"{fingerprint}.pt")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("handoff")
    # Workers import the readers by name and do not know this folder by themselves.
    beside = {"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}}
    ray.init(
        address="local",
        include_dashboard=False,
        num_cpus=2,
        log_to_driver=False,
        logging_level=logging.WARNING,
        runtime_env=beside,
    )
    try:
        store = OutputStore(folder / "store")
        keepers = start_keepers(RUN, store.root)
        remote = ray.remote(Reader).options(num_cpus=2 / READERS)
        readers = [remote.remote(str(store.root), RUN) for _ in range(READERS)]
        ray.get([reader.__ray_ready__.remote() for reader in (*keepers, *readers)])
        with one_thread():
            yield Bench(folder=folder, store=store, keeper=keepers[0], readers=readers)
    finally:
        ray.shutdown()


def features(num_rows: int, seed: int) -> dict[str, Tensor]:
    """States of 18 numbers with labels, as a fusion reads them."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "states": torch.randn(num_rows, 18, generator=generator),
        "labels": torch.randint(0, 2, (num_rows,), generator=generator),
    }


@pytest.mark.parametrize("megabytes", [50, 0.5])
def test_hand_to_readers(bench: Bench, megabytes: float) -> None:
    """Each round hands over an output that is new to the readers, and then once more."""
    seconds: dict[str, list[float]] = defaultdict(list)

    def take(name: str, way: Callable[..., Any], *arguments: Any) -> Any:
        output, taken = timed(partial(way, *arguments))
        seconds[name].append(taken)
        return output

    for number in range(ROUNDS):
        tensors = features(int(megabytes * 1e6 / ROW_BYTES), number)
        fingerprint = hashlib.sha256(f"{megabytes} {number}".encode()).hexdigest()
        path = bench.file(fingerprint)
        take("commit", bench.commit, fingerprint, tensors)
        take("save", torch.save, tensors, path)
        if number:  # in the first round the readers wait for the keeper to read and check
            take("keep", bench.keep, fingerprint)
        found = take("new", bench.read, "read_handoff", fingerprint)
        assert found == [touch(tensors)] * READERS
        for peer, method in METHODS.items():
            assert found == take(peer, bench.read, method, path)
        assert found == take("again", bench.read, "read_handoff", fingerprint)
        take("nothing", bench.read, "nothing", "")
        if number == 0:
            differing = [reader.differing.remote(fingerprint, path) for reader in bench.readers]
            assert ray.get(differing) == [[]] * READERS
    record_rows(f"{megabytes:g} MB", megabytes >= 1, seconds)


def record_rows(size: str, judged: bool, seconds: dict[str, list[float]]) -> None:
    """Records how long handing over took; small outputs are there to be seen, not judged."""
    warm = {name: statistics.median(taken[-(ROUNDS - 1) :]) for name, taken in seconds.items()}
    rules = (
        f"wall time until {READERS} processes on two cores have touched every page; writing counts "
        f"on neither side; {READERS} empty calls take {warm['nothing'] * 1e3:.1f} ms"
    )
    for peer, reach in ((FILES, 8), (MAPPED, 2)):
        record(
            case=f"hand {size} to {READERS} readers",
            peer=peer,
            ours=warm["again"],
            theirs=warm[peer],
            unit="s",
            reach=reach if judged else None,
            larger_is_better=False,
            cold=(seconds["new"][0], seconds[peer][0]),
            why=f"{rules}; limited by the calls that ask the keeper for the output and Ray for its "
            "object, not by bytes; at the first call the keeper reads and checks the output first; "
            "the peer checks no digest",
        )
        record(
            case=f"hand {size} new to them to {READERS} readers",
            peer=peer,
            ours=warm["new"],
            theirs=warm[peer],
            unit="s",
            reach=None,
            larger_is_better=False,
            why=f"{rules}; the keeper holds the output, and each reader maps its pages anew",
        )
    record(
        case=f"write {size} and hand it to {READERS} readers",
        peer=FILES,
        ours=warm["commit"] + warm["keep"] + warm["new"],
        theirs=warm["save"] + warm[FILES],
        unit="s",
        reach=None,
        larger_is_better=False,
        why="ours takes digests, waits for the disk, and reads and checks once for all readers; "
        "the peer does none of it",
    )
