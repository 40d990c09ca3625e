"""What each trial of a plan is expected to need: from probes, from prepared sizes, from siblings.

Reads the store; measures nothing. ``graphids.runner.measuring`` fills what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from statistics import fmean
from typing import Any, cast

from graphids.core.probe import ProbeResult
from graphids.grid.fingerprint import digest, stage_digest
from graphids.grid.trial import StageLike, Trial
from graphids.runner.packing import (
    Device,
    Share,
    held_at_once,
    in_few_shapes,
    packed_throughput,
    share,
)
from graphids.runner.plan import Plan
from graphids.stages.prepare import Prepare
from graphids.stages.protocol import Demand, Measurable, Measured, Sizes, Stage
from graphids.stages.sizes import read_sizes
from graphids.store.measurements import Measurements
from graphids.store.outputs import OutputStore

UNMEASURED_BYTES = 256 * 2**20
"""Tensors of a trial that nothing is known of; heads and simple detectors stay below."""
TORCH = version("torch")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What one trial is expected to need and to take."""

    demand: Demand
    """What its stage says."""
    share: Share
    """Its part of a device."""
    seconds: float
    """Expected duration."""
    basis: str
    """Where that comes from: ``committed`` trials of other seeds, a ``probe``, or an ``estimate``
    of the stage without any measurement."""

    peak_bytes: int
    """Predicted peak: of its tensors on a GPU, without one of what its process grows by."""


def shape_key(trial: Trial) -> str | None:
    """What a trial has in common with all that need one measurement; none where there is none."""
    if not isinstance(trial.stage, Measurable):
        return None
    return digest([stage_digest(cast("StageLike", trial.stage.shape())), trial.dataset_digest])[:16]


@dataclass
class Forecast:
    """Expectations of a plan's trials, read from the store once and kept."""

    plan: Plan
    store: OutputStore
    device: Device
    """What trials run on: the smallest of its kind in the cluster."""
    _parts: dict[str, Sizes] = field(default_factory=dict)
    _shapes: dict[str, str | None] = field(default_factory=dict)
    _probes: dict[str, Measured] = field(default_factory=dict)
    _holds: dict[tuple[str | None, int], tuple[int, int]] = field(default_factory=dict)

    def shape(self, key: str) -> str | None:
        """Shape of a trial that is measured, none of one that is not."""
        if key not in self._shapes:
            self._shapes[key] = shape_key(self.plan.trials[key])
        return self._shapes[key]

    def unmeasured(self, key: str) -> str | None:
        """Shape of a trial where it has one that was not measured on this kind of device."""
        shape = self.shape(key)
        return None if shape is None or self.probe(shape) else shape

    def probe(self, shape: str) -> Measured | None:
        """What was measured of a shape, the most demanding device's; none where nothing was."""
        if shape not in self._probes:
            found = Measurements(self.store.root).read(
                shape, TORCH, accelerated=self.device.accelerated
            )
            if not found:
                return None
            entry = max(found, key=lambda one: one["process_bytes"])
            self.device = _as_measured(self.device, entry)
            steps = entry["steps"].items()
            self._probes[shape] = Measured(
                steps={name: ProbeResult.from_dict(result) for name, result in steps},
                resident_bytes=entry["resident_bytes"],
            )
        return self._probes[shape]

    def prepare_key(self, key: str) -> str | None:
        """Fingerprint of the prepared dataset that a trial reads; its own where it prepares it."""
        trial = self.plan.trials[key]
        if isinstance(trial.stage, Prepare):
            return key
        found = (self.prepare_key(source) for source in trial.upstream.values())
        return next((one for one in found if one is not None), None)

    def sizes(self, key: str) -> Sizes:
        """Sizes of the dataset that a trial reads and what was measured of its shape."""
        source, shape = self.prepare_key(key), self.shape(key)
        if source is not None and source not in self._parts:
            folder = self.store.find(source)
            facts = self._survey(source) if folder is None else self.store.manifest(folder)["meta"]
            found = read_sizes(facts or {})
            if found is not None:
                self._parts[source] = found
        known = self._parts.get(source or "", Sizes())
        measured = None if shape is None else self.probe(shape)
        if measured is None:
            return known
        return replace(known, probe=measured.steps, resident_bytes=measured.resident_bytes)

    def _survey(self, prepared: str) -> dict[str, Any] | None:
        """What a plan found when it prepared a dataset without keeping it."""
        return Measurements(self.store.root).read_sizes(prepared)

    def demand(self, key: str) -> Demand:
        """What a trial's stage says that it needs."""
        trial = self.plan.trials[key]
        demand = cast("Stage", trial.stage).demand(self.sizes(key))
        survey = self._survey(key) if isinstance(trial.stage, Prepare) else None
        if survey is None:
            return demand
        return replace(demand, seconds=survey["seconds"], resident_bytes=survey["peak_bytes"])

    def peak_bytes(self, demand: Demand) -> int:
        """What a demand is predicted to take of this kind of device at its peak."""
        found = demand.tensor_bytes if self.device.accelerated else demand.resident_bytes
        # Nothing is refused for what was never measured.
        return min(UNMEASURED_BYTES, self.device.most_tensor_bytes) if found is None else found

    def share(self, key: str, attempt: int = 0) -> tuple[Share, tuple[int, int] | None]:
        """A trial's part of a device; nodes and edges that it holds at once, if not a whole batch.

        Raises:
            DoesNotFitError: A whole device is too small.
        """
        demand = self.demand(key)
        needed, most = self.peak_bytes(demand), self.device.most_tensor_bytes
        holds = None
        if demand.steps and needed > most:
            # What is predicted beside the tensors stays what it is when the batch is split.
            beside = needed - (demand.tensor_bytes or 0)
            holds = self._held(key, attempt, demand, most - beside)
            needed = most
        alone = demand.alone_share if self.device.accelerated else None
        throughput = None if alone is None else packed_throughput(alone)
        found = share(needed, self.device, throughput=throughput, attempt=attempt)
        return in_few_shapes(found, self.device), holds

    def held(self, key: str, attempt: int) -> tuple[int, int] | None:
        """What siblings of a trial were given to hold at once; none where none was split."""
        return self._holds.get((self.shape(key), attempt))

    def _held(self, key: str, attempt: int, demand: Demand, room: int) -> tuple[int, int]:
        """What a trial holds at once; as its siblings do, whose rows a table compares with it.

        A later probe may find that a process takes more than was known when the first one began.

        Raises:
            DoesNotFitError: Not even a single graph fits.
        """
        of = (self.shape(key), attempt)
        if of not in self._holds:
            self._holds[of] = held_at_once(demand.steps, room, self.device.name, attempt)
        return self._holds[of]

    def expected(self, committed: Mapping[str, Mapping[str, Any]]) -> dict[str, Expected]:
        """Expectations of every trial of the plan.

        Args:
            committed: Manifests of the plan's committed trials, by fingerprint.

        Raises:
            DoesNotFitError: A whole device is too small for one of them.
        """
        siblings: dict[tuple[str, str], list[float]] = {}
        for key, manifest in committed.items():
            siblings.setdefault(self._kind(key), []).append(manifest["seconds"])
        found = {}
        for key in self.plan.trials:
            demand = self.demand(key)
            known = siblings.get(self._kind(key))
            if known:
                seconds, basis = fmean(known), "committed"
            elif demand.seconds is not None:
                measured = self.sizes(key).probe or isinstance(self.plan.trials[key].stage, Prepare)
                seconds, basis = demand.seconds, "probe" if measured else "estimate"
            else:
                seconds, basis = demand.cost, "estimate"
            found[key] = Expected(
                demand=demand,
                share=self.share(key)[0],
                seconds=seconds,
                basis=basis,
                peak_bytes=self.peak_bytes(demand),
            )
        return found

    def _kind(self, key: str) -> tuple[str, str]:
        """Trials of one kind differ in their seed alone."""
        trial = self.plan.trials[key]
        return stage_digest(trial.stage), trial.dataset_digest


def _as_measured(device: Device, entry: Mapping[str, Any]) -> Device:
    """A device with what a probe on it has found out."""
    return replace(
        device,
        process_bytes=max(device.process_bytes, entry["process_bytes"]),
        overhead=max(device.overhead, entry["overhead"]),
        others_bytes=max(device.others_bytes, entry["others_bytes"]),
    )
