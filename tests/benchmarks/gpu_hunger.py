"""A trial that runs out of its share of a device beside others: does it come back, do they notice?

Run as ``gpu_hunger.py FOLDER``, an empty one. Runs a grid twice on a local Ray, with the greedy
trial and without it, and prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gpu_feast import GREEDY, feast_grid
from safetensors.torch import load_file
from torch import Tensor

from graphids.commands.loading import plan_grid
from graphids.core.memory import trial_device
from graphids.grid import Grid
from graphids.runner.devices import local_device
from graphids.runner.execute import RunOptions, execute
from graphids.runner.packing import MARGIN, Device
from graphids.runner.search import MOST_RETRIES
from graphids.store.ledger import Ledger
from graphids.store.outputs import OutputStore

TENANTS = 8
"""Trials that the card holds at once by what they say."""
FILLED, GREED = 0.9, 1.4
"""Part of a share that a polite trial takes, and the greedy one: less than two of them."""
HOLD_ON_GPU, HOLD_ON_CPU = 20.0, 5.0
"""Seconds for which guests hold their memory, so that the greedy trial meets them."""


@dataclass(frozen=True)
class Finished:
    """A run of one of the two grids."""

    store: Path
    code: int

    def manifests(self) -> dict[str, dict[str, Any]]:
        """What was written down of each output, by row."""
        found = [json.loads(p.read_text()) for p in self.store.glob("outputs/*/manifest.json")]
        return {manifest["label"].split(" ")[1]: manifest for manifest in found}

    def weights(self) -> dict[str, Tensor]:
        """What each trial handed on, by row."""
        outputs = OutputStore(self.store)
        folders = {row: outputs.find(m["fingerprint"]) for row, m in self.manifests().items()}
        return {
            row: load_file(folder / "weights.safetensors")["w"]
            for row, folder in folders.items()
            if folder is not None
        }


def appetites(device: Device) -> tuple[int, int]:
    """Bytes of tensors of a polite trial, ``TENANTS`` of which fit, and of the greedy one."""
    part = FILLED * device.free_bytes / TENANTS
    polite = max(1.0, (part - device.process_bytes) / (device.overhead * MARGIN))
    return int(polite), int(GREED * device.total_bytes / TENANTS)


def run(grid: Grid, store: Path) -> Finished:
    """Runs a grid on a local Ray."""
    plan = plan_grid(grid, None, store)
    options = RunOptions(store=store, dashboard=False, verbose=0, probe=False)
    return Finished(store, execute(plan, plan.trials, options))


def compare(with_it: Finished, without: Finished) -> dict[str, Any]:
    """What became of the greedy trial and of its neighbours."""
    manifests, events = with_it.manifests(), list(Ledger(with_it.store).events())
    greedy = manifests.pop(GREEDY, {})
    history = [
        {
            "attempt": event["attempt"],
            "time": event["time"],
            "error": event["error"].splitlines()[0],
            "reserved_bytes": event["reserved"]["reserved_bytes"],
            "allocation_bytes": event["reserved"]["allocation_bytes"],
        }
        for event in events
        if event["event"] == "rescheduled"
    ]
    alone, beside = without.weights(), with_it.weights()
    equal = [row in beside and torch.equal(weights, beside[row]) for row, weights in alone.items()]
    met = [m for m in manifests.values() if all(_met(m, event) for event in history[:1])]
    found = {
        "exit_codes": [with_it.code, without.code],
        "neighbours": len(alone),
        "neighbours_running_when_it_failed": len(met) if history else 0,
        "neighbours_equal": sum(equal),
        "neighbours_with_one_attempt": sum(m["attempts"] == 1 for m in manifests.values()),
        "history": history,
        "attempts": greedy.get("attempts"),
        "reserved_bytes": greedy.get("reserved_bytes"),
        "peak_bytes": greedy.get("peak_bytes"),
    }
    return found | {"held": untouched(found)}


def untouched(found: Mapping[str, Any]) -> bool:
    """Whether it came back with more, and no neighbour noticed."""
    reserved = [event["reserved_bytes"] for event in found["history"]]
    counts = (
        "neighbours_running_when_it_failed",
        "neighbours_equal",
        "neighbours_with_one_attempt",
    )
    return (
        found["exit_codes"] == [0, 0]
        and 1 <= len(reserved) <= MOST_RETRIES
        and found["attempts"] == len(reserved) + 1
        and found["reserved_bytes"] > max(reserved)
        and all(found[count] == found["neighbours"] for count in counts)
    )


def _met(manifest: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether a neighbour ran when the greedy trial failed."""
    return bool(manifest["started"] <= event["time"] <= manifest["ended"])


def main(root: Path) -> dict[str, Any]:
    """Both runs."""
    on_gpu, device = trial_device().type == "cuda", local_device()
    polite, greedy = appetites(device)
    guests = min(TENANTS, device.cores) - 1
    marks = root / "marks"
    marks.mkdir()
    settings: dict[str, Any] = {"guests": guests, "predicted": polite, "greedy": greedy}
    hold = HOLD_ON_GPU if on_gpu else HOLD_ON_CPU
    beside = feast_grid(**settings, hold_seconds=hold, marks=marks)
    alone = feast_grid(**settings, hold_seconds=0.0, marks=None)
    with redirect_stdout(sys.stderr):
        return compare(run(beside, root / "beside"), run(alone, root / "alone"))


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))), flush=True)
