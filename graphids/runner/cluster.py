"""Joining a Ray cluster, or starting one on this machine for the length of a run."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from graphids.runner.ahead import start_ray
from graphids.runner.devices import PROCESS_BYTES, read_card
from graphids.runner.packing import Device


class InfeasibleError(Exception):
    """The cluster cannot run this grid at all."""


@contextmanager
def cluster(address: str | None, *, dashboard: bool = True) -> Iterator[str]:
    """Joins the cluster at ``address``, or starts a local Ray on loopback and ends it afterwards.

    Without an address, a Ray that runs in this process already is taken: who started it ends it.

    Yields:
        How to watch it: the dashboard's address, or a word that there is none.
    """
    ours = not ray.is_initialized()
    context = start_ray(address, dashboard=dashboard)
    try:
        yield f"http://{context.dashboard_url}" if context.dashboard_url else "no dashboard"
    finally:
        if ours:
            ray.shutdown()


def slots(patience_s: float = 120.0) -> int:
    """Trials of one core each that the cluster runs at once; waits for workers that still join.

    Raises:
        InfeasibleError: if no node offers a core.
    """
    deadline = time.monotonic() + patience_s
    while (cores := int(ray.cluster_resources().get("CPU", 0))) < 1:
        if time.monotonic() > deadline:
            raise InfeasibleError(
                f"the cluster has offered no CPU to trials for {patience_s:.0f} s (its nodes have "
                "num_cpus=0); add a worker node, or start the head with --num-cpus"
            )
        time.sleep(1.0)
    return cores


def node_device(memory_limit: int | None = None) -> Device:
    """What trials run on: the smallest GPU, or the smallest node where the cluster has no GPU.

    Args:
        memory_limit: Most bytes that trials may use of it; none for all that is free.
    """
    nodes = _nodes()
    device = _smallest_card(nodes) if ray.cluster_resources().get("GPU", 0) >= 1 else None
    return limited(device or _smallest_node(nodes), memory_limit)


def limited(device: Device, memory_limit: int | None) -> Device:
    """A device of which trials may use so many bytes at most; none for all that is free."""
    if memory_limit is None or memory_limit >= device.free_bytes:
        return device
    return replace(
        device,
        total_bytes=memory_limit + device.others_bytes,
        booked_bytes=None if device.accelerated else device.free_bytes,
    )


def _nodes() -> list[dict[str, Any]]:
    """Nodes that offer cores to trials."""
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]


def _smallest_node(nodes: Sequence[Mapping[str, Any]]) -> Device:
    """What a trial on a processor can count on, wherever it runs."""
    offered = [node["Resources"] for node in nodes]
    return Device(
        name="the smallest node",
        accelerated=False,
        total_bytes=int(min(node["memory"] for node in offered)),
        cores=int(min(node["CPU"] for node in offered)),
        process_bytes=PROCESS_BYTES,
    )


def _smallest_card(nodes: Sequence[Mapping[str, Any]], patience_s: float = 120.0) -> Device:
    """What a trial on a GPU can count on, whichever node it runs on.

    Raises:
        InfeasibleError: No node with a GPU offers a core, or one does not get to read its card.
    """
    with_card = [node for node in nodes if node["Resources"].get("GPU")]
    if not with_card:
        raise InfeasibleError(
            "the nodes with a GPU offer no CPU to trials (num_cpus=0); start them with --num-cpus"
        )
    reads = [
        ray.remote(read_card)
        .options(num_gpus=1, num_cpus=0, scheduling_strategy=_on(node))
        .remote()
        for node in with_card
    ]
    ready, late = ray.wait(reads, num_returns=len(reads), timeout=patience_s)
    if late:
        names = [
            node["NodeManagerHostname"]
            for node, read in zip(with_card, reads, strict=True)
            if read in late
        ]
        raise InfeasibleError(
            f"no GPU of {', '.join(names)} was free for {patience_s:.0f} s to be measured: other "
            "jobs of the cluster hold them; wait for these or give --address of another cluster"
        )
    cores = min(int(node["Resources"]["CPU"] // node["Resources"]["GPU"]) for node in with_card)
    smallest = min(ray.get(ready), key=lambda card: card.free_bytes)
    return replace(smallest, cores=max(1, cores))


def _on(node: Mapping[str, Any]) -> NodeAffinitySchedulingStrategy:
    """Places a task on a node and nowhere else."""
    return NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)


def check_store_is_shared(root: Path) -> None:
    """Proves that every node sees the store, by reading a file that this process writes there.

    Raises:
        InfeasibleError: names the nodes that do not see it.
    """
    nodes = _nodes()
    if len(nodes) < 2 and {n["NodeID"] for n in nodes} == {ray.get_runtime_context().get_node_id()}:
        return
    token = uuid.uuid4().hex
    probe = root / f".probe-{token}"
    probe.write_text(token)
    try:
        blind = [
            node["NodeManagerHostname"]
            for node in nodes
            if ray.get(
                ray.remote(_read)
                .options(num_cpus=0, scheduling_strategy=_on(node))
                .remote(str(probe))
            )
            != token
        ]
    finally:
        probe.unlink()
    if blind:
        raise InfeasibleError(
            f"the store {root} is not visible on {', '.join(blind)}; "
            "give --store a folder on a file system that all nodes share"
        )


def _read(path: str) -> str | None:
    """A file's text, ``None`` where it is not there."""
    file = Path(path)
    return file.read_text() if file.is_file() else None
