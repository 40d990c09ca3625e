"""From what a trial was measured to need to what it reserves: how many trials share a device.

Pure arithmetic on bytes and seconds, so that it is tested on devices that do not exist. A trial
takes the share 1/k of a device: of a GPU, or of a node's memory where there is none. Ray only keeps
the books of shares, so each trial on a GPU also caps its own memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from graphids.core.memory_model import BatchShape, MemoryModel

GIB = 2**30
MARGIN = 1.05
"""Room above a prediction that was measured on tensors alone."""
RETRY_FACTOR = 1.5
"""How much more a trial reserves after it ran out of memory for the first time."""
MOST_RETRIES = 2
"""With more memory first, then alone on its device; a third failure stands."""
USEFUL_GAIN = 0.05
"""One more trial on a device is worth it where all of them together gain at least this share."""
MOST_TENANTS = 16
"""Most trials on one GPU, each with a context of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """One GPU, or the memory and the cores of a node without any."""

    name: str
    """What it is, as a table says it."""
    accelerated: bool
    """Whether it is a GPU."""
    total_bytes: int
    """Its memory."""
    others_bytes: int = 0
    """What other programs hold of it."""
    cores: int
    """Cores that trials on it may use."""
    booked_bytes: int | None = None
    """Memory that Ray books for trials on a node without a GPU; none is all that is free. It is
    more where a limit leaves some of it to others."""
    process_bytes: int
    """What a trial's process takes before its first tensor: libraries, or the device's context."""
    context_bytes: int = 0
    """What the allocator of a trial's process does not see of it: the context of a GPU."""
    overhead: float = 1.0
    """Bytes reserved for each byte of tensors: the allocator's rounding and its holes."""

    @property
    def free_bytes(self) -> int:
        """What trials may reserve."""
        return max(0, self.total_bytes - self.others_bytes)

    def reservation(self, tensor_bytes: int, attempt: int = 0) -> int:
        """Bytes that a trial reserves which is predicted to hold ``tensor_bytes`` at its peak."""
        grown = RETRY_FACTOR ** min(attempt, 1)
        return round(self.process_bytes + tensor_bytes * self.overhead * MARGIN * grown)

    def allocation(self, reserved_bytes: int) -> int:
        """Bytes that the allocator of a trial may hold which reserves ``reserved_bytes``."""
        return max(1, reserved_bytes - self.context_bytes)

    @property
    def most_tensor_bytes(self) -> int:
        """Tensors of a trial that has the device to itself."""
        return max(0, int((self.free_bytes - self.process_bytes) / (self.overhead * MARGIN)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """What one trial takes of a device."""

    tenants: int
    """Trials of this kind that the device holds at once."""
    reserved_bytes: int
    """Memory that the trial may use, its process included: its part of what is free."""
    binding: str
    """What allows no further trial: ``memory``, ``cores``, ``throughput``, ``alone`` or ``cap``."""

    @property
    def fraction(self) -> float:
        """Share of the device."""
        return 1.0 / self.tenants


class DoesNotFitError(Exception):
    """A trial needs more than a whole device has."""


def share(
    tensor_bytes: int,
    device: Device,
    *,
    throughput: Mapping[int, float] | None = None,
    attempt: int = 0,
) -> Share:
    """How many trials of a kind share a device.

    Args:
        tensor_bytes: Predicted peak of the trial's tensors.
        device: Where it runs.
        throughput: Measured work a second of all trials together, by how many they are; none where
            it was not measured.
        attempt: How often the trial ran out of memory before.

    Raises:
        DoesNotFitError: A whole device is too small.
    """
    needed = device.reservation(tensor_bytes, attempt)
    if needed > device.free_bytes and attempt == 0:
        raise DoesNotFitError(
            f"needs {gib(needed)}, and {device.name} has {gib(device.free_bytes)} free of "
            f"{gib(device.total_bytes)}"
        )
    if attempt >= MOST_RETRIES or needed > device.free_bytes:
        return Share(tenants=1, reserved_bytes=device.free_bytes, binding="alone")
    bounds = {"memory": device.free_bytes // needed, "cores": device.cores}
    if device.accelerated:
        bounds["cap"] = MOST_TENANTS
    if throughput:
        bounds["throughput"] = useful_tenants(throughput)
    binding = min(bounds, key=lambda name: bounds[name])
    tenants = max(1, bounds[binding])
    return Share(tenants=tenants, reserved_bytes=device.free_bytes // tenants, binding=binding)


def packed_throughput(alone_share: float) -> dict[int, float]:
    """Work a second of several trials together, as a share of what the device can do.

    Trials fill the gaps of one another until the device is saturated.

    Args:
        alone_share: Share of the device's best throughput that one trial reaches.
    """
    tenants = [2**power for power in range(MOST_TENANTS.bit_length())]
    return {count: min(1.0, count * alone_share) for count in tenants}


def held_at_once(
    steps: Sequence[tuple[MemoryModel, BatchShape]], most_bytes: int, where: str, attempt: int = 0
) -> tuple[int, int]:
    """Nodes and edges of the part of a batch whose tensors stay within ``most_bytes``.

    A trial that ran out of memory all the same had the whole device: its way out is a smaller part,
    except where that would be less than a single graph.

    Args:
        steps: Memory of each kind of step, and the largest batch that it gets.
        most_bytes: What there is.
        where: The device, for the message.
        attempt: How often the trial ran out of memory before.

    Raises:
        DoesNotFitError: Not even a single graph fits.
    """
    held: list[tuple[int, int]] = []
    rooms = [int(most_bytes / RETRY_FACTOR**factor) for factor in range(attempt, -1, -1)]
    for memory, batch in steps:
        fitting = (_most_graphs(memory, batch, room) for room in rooms)
        graphs = next(filter(None, fitting), 0)
        if graphs == 0:
            single = memory.predict(part_of(batch, 1))
            raise DoesNotFitError(
                f"needs {gib(single)} of tensors for a single graph of "
                f"{batch.nodes // batch.graphs} nodes, and {where} leaves {gib(most_bytes)}"
            )
        part = part_of(batch, graphs)
        held.append((part.nodes, part.edges))
    return min(nodes for nodes, _ in held), min(edges for _, edges in held)


def _most_graphs(memory: MemoryModel, batch: BatchShape, most_bytes: int) -> int:
    """Most graphs of a batch whose step stays within ``most_bytes``: memory grows with each."""
    return bisect_right(
        range(1, batch.graphs + 1),
        most_bytes,
        key=lambda graphs: memory.predict(part_of(batch, graphs)),
    )


def part_of(batch: BatchShape, graphs: int) -> BatchShape:
    """The shape of so many graphs of a batch."""
    share = graphs / batch.graphs
    return BatchShape(
        graphs=graphs,
        nodes=round(batch.nodes * share),
        edges=round(batch.edges * share),
        squares=round(batch.squares * share),
        loops=None if batch.loops is None else round(batch.loops * share),
    )


def useful_tenants(throughput: Mapping[int, float]) -> int:
    """The most trials at once up to which each measured step gains at least ``USEFUL_GAIN``.

    Args:
        throughput: Work a second of all trials together, by how many they are.

    Raises:
        ValueError: One trial alone was not measured.
    """
    if 1 not in throughput:
        raise ValueError(f"throughput needs the figure of one trial (got {sorted(throughput)})")
    best = 1
    for tenants in sorted(throughput):
        if tenants > best:
            if throughput[tenants] < throughput[best] * (1.0 + USEFUL_GAIN):
                break
            best = tenants
    return best


def in_few_shapes(found: Share, device: Device) -> Share:
    """A share with a power of two of tenants, or one a core, so that few shapes of worker exist.

    A worker is used again where the shape is equal, and starting one costs seconds of imports.
    """
    if found.binding in ("cores", "alone"):
        return found
    tenants = lower_power_of_two(found.tenants)
    reserved = max(found.reserved_bytes, device.free_bytes // tenants)
    return replace(found, tenants=tenants, reserved_bytes=reserved)


def bundle(found: Share, device: Device, cpus: float) -> dict[str, float]:
    """A share as Ray's resources: a part of a GPU, or cores and memory of a node without one."""
    if device.accelerated:
        return {"CPU": cpus, "GPU": found.fraction}
    # A trial that is to be alone takes every core: its neighbours would take the memory.
    alone = found.binding == "alone"
    booked = device.free_bytes if device.booked_bytes is None else device.booked_bytes
    memory = found.reserved_bytes * booked // max(1, device.free_bytes)
    return {"CPU": float(device.cores) if alone else cpus, "memory": float(memory)}


def lower_power_of_two(count: int) -> int:
    """The largest power of two that is not above ``count``."""
    return 1 << (max(1, count).bit_length() - 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A kind of trial that no device of the cluster can hold."""

    label: str
    """The trial."""
    reason: str
    """What it needs and what there is."""


def refusal_table(refusals: Sequence[Refusal]) -> str:
    """Why a run cannot start, one line a kind of trial, and the way out."""
    width = max(len(refusal.label) for refusal in refusals)
    lines = [f"  {refusal.label:<{width}}  {refusal.reason}" for refusal in refusals]
    return "\n".join(
        [
            f"{len(refusals)} kinds of trial fit no device of this cluster:",
            *lines,
            "use a larger device, a smaller model, or fewer nodes and edges a step "
            "(--set STAGE.batch.nodes=...)",
        ]
    )


def gib(count: float) -> str:
    """Bytes in GiB, for a reader."""
    return f"{count / GIB:.2f} GiB"
