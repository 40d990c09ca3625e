"""What a job reserves of the cluster and what its worker is told of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from graphids.runner.cluster import InfeasibleError
from graphids.runner.forecast import Forecast
from graphids.runner.jobs import Job
from graphids.runner.packing import (
    Device,
    DoesNotFitError,
    Refusal,
    Share,
    bundle,
    in_few_shapes,
    refusal_table,
    share,
)
from graphids.stages.protocol import Demand


@dataclass(frozen=True)
class Reservations:
    """Turns expectations into resources."""

    forecast: Forecast
    """What trials are expected to need."""

    def config(self, job: Job) -> Mapping[str, Any]:
        """Settings of a job: Ray's bundle, and what the worker keeps with its results.

        A trial that was found to need more than there is gets a whole device and fails there, with
        its own error.
        """
        device = self.forecast.device
        if job.awaits is not None:
            found = in_few_shapes(share(self.forecast.peak_bytes(Demand()), device), device)
            return {"bundle": bundle(found, device, 1.0)}
        if job.probe:
            # Alone on a GPU, so that nothing else disturbs what is measured.
            found = in_few_shapes(share(self.forecast.peak_bytes(Demand()), device), device)
            needs = {"CPU": 1.0, "GPU": 1.0} if device.accelerated else bundle(found, device, 1.0)
            prepared = self.forecast.prepare_key(job.keys[0])
            return {"bundle": needs, "prepared": prepared}
        demands = [self.forecast.demand(key) for key in job.keys]
        largest = max(demands, key=self.forecast.peak_bytes)
        found, holds = self._share(job)
        needs = bundle(found, device, largest.cpus)
        if not largest.accelerated:
            needs.pop("GPU", None)
        return {
            "bundle": needs,
            "reserved": {
                "reserved_bytes": found.reserved_bytes,
                "predicted_bytes": self.forecast.peak_bytes(largest) if largest.measured else None,
                "predicted_seconds": largest.seconds,
                "allocation_bytes": device.allocation(found.reserved_bytes),
                "holds": holds,
            },
        }

    def _share(self, job: Job) -> tuple[Share, tuple[int, int] | None]:
        """A job's part of a device, and how much of a batch it holds at once.

        After it ran out of memory its part is larger than before, whatever had bound that.
        """
        device = self.forecast.device
        try:
            found, holds = self.forecast.share(job.keys[0], job.attempt)
        except DoesNotFitError:
            return _part(device, 1), self.forecast.held(job.keys[0], job.attempt)
        if job.attempt:
            before, _ = self._share(replace(job, attempt=job.attempt - 1))
            if found.tenants >= before.tenants:
                found = _part(device, max(1, before.tenants // 2))
        return found, holds

    def refuse_what_does_not_fit(self, keys: Iterable[str]) -> None:
        """Ends a run before it starts where a trial is known to fit no device.

        Raises:
            InfeasibleError: A table of what does not fit, and why.
        """
        refusals: dict[str, Refusal] = {}
        for key in keys:
            trial = self.forecast.plan.trials[key]
            cpus = self.forecast.demand(key).cpus
            cores = self.forecast.device.cores
            kind = " ".join(part for part in trial.label.split(" ") if part)
            try:
                if cpus > cores:
                    raise DoesNotFitError(f"needs {cpus:g} cores, and a node has {cores}")
                self.forecast.share(key)
            except DoesNotFitError as error:
                refusals.setdefault(str(error), Refusal(label=kind, reason=str(error)))
        if refusals:
            raise InfeasibleError(refusal_table(list(refusals.values())))


def _part(device: Device, tenants: int) -> Share:
    """The share of one of so many trials; of a single one the whole device."""
    binding = "alone" if tenants == 1 else "memory"
    return Share(tenants=tenants, reserved_bytes=device.free_bytes // tenants, binding=binding)
