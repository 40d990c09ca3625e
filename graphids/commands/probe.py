"""``probe``: memory and speed of every distinct model of a grid, measured on this device."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from graphids.commands.loading import requested_plan
from graphids.core.probe import ProbeResult
from graphids.runner.devices import local_device
from graphids.runner.forecast import Forecast
from graphids.runner.measuring import measure_here
from graphids.store.outputs import OutputStore

MEASURED = ("batch", "peak", "fixed", "a step", "graphs/s", "knee", "backward", "probed in")
"""Headings of the figures."""


def main(
    *,
    grid: str,
    data: Path | None,
    store: Path,
    seeds: str | None,
    datasets: str | None,
    settings: Sequence[str] | None,
    as_json: bool,
) -> int:
    """Measures what the store does not know yet, and prints all of it."""
    plan = requested_plan(grid, data, store, seeds, datasets, settings)
    forecast = Forecast(plan, OutputStore(store), local_device())
    measure_here(forecast, forecast.store, say=_say)
    rows = list(_rows(forecast))
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
    else:
        _show(rows, forecast.device.name)
    return 0


def _rows(forecast: Forecast) -> list[dict[str, Any]]:
    """One row a shape and kind of step, each shape under the first trial that has it."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for key, trial in forecast.plan.trials.items():
        shape = forecast.shape(key)
        if shape is None:
            continue
        share = forecast.share(key)[0]
        found, demand = forecast.probe(shape), forecast.demand(key)
        if found is None:
            continue
        for (step, result), (_, batch) in zip(found.steps.items(), demand.steps, strict=True):
            row = {
                "shape": shape,
                "first_trial": trial.label,
                "step": step,
                "batch": {"graphs": batch.graphs, "nodes": batch.nodes, "edges": batch.edges},
                "predicted_bytes": result.memory.predict(batch),
                "resident_bytes": demand.resident_bytes,
                "seconds": result.seconds(batch),
                "per_device": share.tenants,
                "binding": share.binding,
                **_measured(result),
            }
            rows.setdefault((shape, step), row)
    return list(rows.values())


def _measured(result: ProbeResult) -> dict[str, Any]:
    """What a probe found, in plain values."""
    return {
        "memory": result.memory.to_dict(),
        "fixed_bytes": result.fixed_bytes,
        "knee_nodes": result.knee_nodes,
        "throughput": [list(point) for point in result.throughput],
        "backward_multiplier": result.backward_multiplier,
        "device": result.device,
        "probe_seconds": result.probe_seconds,
    }


def _show(rows: Sequence[dict[str, Any]], device: str) -> None:
    """The measurements as a table."""
    table = Table(title=f"Measured on {device}", title_justify="left")
    for heading in ("first trial of its shape", "step"):
        table.add_column(heading, no_wrap=heading == "step")
    for heading in MEASURED:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        batch = row["batch"]
        table.add_row(
            row["first_trial"],
            row["step"],
            f"{batch['nodes']:,} nodes, {batch['edges']:,} edges",
            f"{row['predicted_bytes'] / 2**20:,.1f} MiB",
            f"{row['fixed_bytes'] / 2**20:,.1f} MiB",
            f"{row['seconds'] * 1000:,.1f} ms",
            f"{batch['graphs'] / row['seconds']:,.0f}",
            f"{row['knee_nodes']:,} nodes",
            f"{row['backward_multiplier']:.2f} x",
            f"{row['probe_seconds']:.1f} s",
        )
    Console(highlight=False, width=None if sys.stdout.isatty() else 150).print(table)


def _say(what: str) -> None:
    """Tells on standard error what takes its time."""
    sys.stderr.write(f"{what}\n")
