"""Joining a Ray cluster, or starting one on this machine for the length of a run."""

from __future__ import annotations

import logging
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from graphids.runner.devices import PROCESS_BYTES, read_card
from graphids.runner.packing import Device


class InfeasibleError(Exception):
    """The cluster cannot run this grid at all."""


@contextmanager
def cluster(address: str | None, *, dashboard: bool = True) -> Iterator[str]:
    """Joins the cluster at ``address``, or starts a local Ray on loopback and ends it afterwards.

    Yields:
        How to watch it: the dashboard's address, or a word that there is none.
    """
    on_terminate = signal.getsignal(signal.SIGTERM)
    context = ray.init(
        address=address or "local",
        include_dashboard=None if address else dashboard,
        dashboard_host="127.0.0.1",
        log_to_driver=False,
        logging_level=logging.WARNING,
    )
    if threading.current_thread() is threading.main_thread():
        # Ray puts a handler of its own in place, which aborts the process.
        signal.signal(signal.SIGTERM, on_terminate)
    try:
        yield f"http://{context.dashboard_url}" if context.dashboard_url else "no dashboard"
    finally:
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
    nodes = [n["Resources"] for n in ray.nodes() if n["Alive"] and n["Resources"].get("CPU")]
    if ray.cluster_resources().get("GPU", 0) >= 1:
        card = ray.get(ray.remote(read_card).options(num_gpus=1, num_cpus=0).remote())
        with_card = [node for node in nodes if node.get("GPU")]
        cores = min(int(node["CPU"] // node["GPU"]) for node in with_card)
        device = replace(card, cores=max(1, cores))
    else:
        device = Device(
            name="the smallest node",
            accelerated=False,
            total_bytes=int(min(node["memory"] for node in nodes)),
            cores=int(min(node["CPU"] for node in nodes)),
            process_bytes=PROCESS_BYTES,
        )
    if memory_limit is None:
        return device
    return replace(device, total_bytes=min(device.total_bytes, memory_limit))


def check_store_is_shared(root: Path) -> None:
    """Proves that every node sees the store, by reading a file that this process writes there.

    Raises:
        InfeasibleError: names the nodes that do not see it.
    """
    nodes = [n for n in ray.nodes() if n["Alive"] and n["Resources"].get("CPU")]
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
                .options(
                    num_cpus=0,
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
                )
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
