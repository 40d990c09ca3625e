"""Handoffs through the object store: one keeper a node owns the objects, the disk is the fall-back.

An object dies with the process that put it, and trials come and go, so the keeper reads a committed
output once, checks it against its manifest and puts it itself. Every trial on the node then maps
the same memory: numpy arrays come out of the object store without a copy.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from safetensors import safe_open

from graphids.stages.handoff import Handoff, TensorFile, read_handoff
from graphids.store.outputs import DamagedOutputError, OutputStore

FETCH_TIMEOUT_S = 120.0


class Keeper:
    """Owns the objects of one node, the least recently used ones dropped over a limit."""

    def __init__(self, root: str, limit_bytes: float) -> None:
        self.store = OutputStore(Path(root))
        self.limit = limit_bytes
        self.kept: OrderedDict[str, tuple[ray.ObjectRef, int]] = OrderedDict()
        self.loads: dict[str, int] = {}

    def fetch(self, fingerprint: str) -> list[ray.ObjectRef]:
        """Reference to a committed output, read from disk on first use.

        In a list, because a bare reference that is returned would be resolved into its value.

        Raises:
            DamagedOutputError: if the output is not what its manifest says.
        """
        if fingerprint not in self.kept:
            content, size = self._load(fingerprint)
            self.kept[fingerprint] = (ray.put(content), size)
            self.loads[fingerprint] = self.loads.get(fingerprint, 0) + 1
        self.kept.move_to_end(fingerprint)
        while len(self.kept) > 1 and sum(size for _, size in self.kept.values()) > self.limit:
            self.kept.popitem(last=False)
        return [self.kept[fingerprint][0]]

    def counts(self) -> dict[str, int]:
        """How often each output was read from disk."""
        return dict(self.loads)

    def _load(self, fingerprint: str) -> tuple[dict[str, Any], int]:
        """A committed output as numpy arrays, checked, and its bytes."""
        folder = self.store.find(fingerprint)
        if folder is None:
            raise DamagedOutputError(
                f"output {fingerprint[:12]} is not in {self.store.root}; run the grid again"
            )
        manifest = self.store.verify(folder)
        files, size = {}, 0
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="np") as stored:
                tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
                files[path.stem] = {"tensors": tensors, "header": stored.metadata() or {}}
            size += sum(array.nbytes for array in tensors.values())
        return {"files": files, "meta": manifest["meta"]}, size


def start_keepers(run: str, root: Path) -> list[Any]:
    """A keeper on each node that can run trials."""
    keepers = []
    for node in ray.nodes():
        resources = node["Resources"]
        if not node["Alive"] or not resources.get("CPU"):
            continue
        # A third of the object store stays free for what is on its way.
        limit = 0.66 * resources.get("object_store_memory", 0.0)
        keepers.append(
            ray.remote(Keeper)
            .options(
                name=keeper_name(run, node["NodeID"]),
                num_cpus=0,
                max_restarts=-1,
                max_task_retries=1,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            )
            .remote(str(root), limit)
        )
    return keepers


def keeper_name(run: str, node: str) -> str:
    """Name under which the trials of a run find their node's keeper."""
    return f"graphids-keeper-{run}-{node[:12]}"


def fetch(store: OutputStore, run: str, fingerprint: str) -> Handoff:
    """The output of a trial: from this node's keeper, else mapped from the disk.

    Raises:
        DamagedOutputError: if the committed output is not what its manifest says. It was moved to
            quarantine, so that the next run computes it again.
    """
    try:
        keeper = ray.get_actor(keeper_name(run, ray.get_runtime_context().get_node_id()))
        references: list[ray.ObjectRef] = ray.get(
            keeper.fetch.remote(fingerprint), timeout=FETCH_TIMEOUT_S
        )
        return from_arrays(ray.get(references[0], timeout=FETCH_TIMEOUT_S))
    except (RayError, ValueError):
        # No keeper on this node, a dead owner, a lost object, or damage: the disk decides.
        return from_disk(store, fingerprint)


def from_disk(store: OutputStore, fingerprint: str) -> Handoff:
    """A committed output, checked against its manifest and mapped into memory."""
    folder = store.find(fingerprint)
    if folder is None:
        raise DamagedOutputError(
            f"output {fingerprint[:12]} is not in {store.root}; run the grid again"
        )
    try:
        return read_handoff(folder, store.verify(folder))
    except DamagedOutputError as error:
        moved = store.quarantine(folder)
        raise DamagedOutputError(f"{error}; it was moved to {moved}") from error


def from_arrays(content: Mapping[str, Any]) -> Handoff:
    """A handoff over arrays of the object store, not copied and never to be written."""
    files = {
        name: TensorFile(
            {key: _as_tensor(array) for key, array in file["tensors"].items()}, file["header"]
        )
        for name, file in content["files"].items()
    }
    return Handoff(files=files, meta=content["meta"])


def _as_tensor(array: np.ndarray) -> torch.Tensor:
    """A tensor over a read-only array; torch warns because it cannot protect the memory."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
