"""Handoffs through the object store: one keeper a node owns the objects, the disk is the fall-back.

An object dies with the process that put it, and trials come and go, so the keeper reads a committed
output once, checks it against its manifest and puts it itself. Every trial on the node then maps
the same memory: numpy arrays come out of the object store without a copy.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from graphids.runner.keeper import Keeper
from graphids.stages.handoff import Handoff, TensorFile, read_handoff
from graphids.store.outputs import DamagedOutputError, OutputStore

FETCH_TIMEOUT_S = 120.0


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
