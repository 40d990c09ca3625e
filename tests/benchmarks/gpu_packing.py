"""Throughput of trials that share a device, against one trial at a time.

Run as ``gpu_packing.py FOLDER``, an empty one. Prints one line of JSON for each model and each
number of tenants, as soon as it is known.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gpu_data import PACKED, windows
from gpu_tenant import WINDOWS_FILE

from graphids.core.memory import trial_device
from graphids.runner.packing import packed_throughput, useful_tenants

REACH = 3.0
"""Times the throughput of one trial alone to reach."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is measured."""

    tenants: Sequence[int]
    """Trials at once, the smallest number first."""
    warm_up: int
    """Steps before anything counts."""
    seconds: float
    """Time in which graphs are counted."""


ON_GPU = Effort(tenants=(1, 2, 4, 8, 16), warm_up=20, seconds=6.0)
ON_CPU = Effort(tenants=(1, 2), warm_up=2, seconds=1.0)
Child = subprocess.Popen[str]


def measure(effort: Effort, folder: Path) -> None:
    """Starts the children once, then a round for each number of tenants and each model."""
    windows().save(folder / WINDOWS_FILE)
    command = [sys.executable, str(Path(__file__).with_name("gpu_tenant.py")), str(folder)]
    with ExitStack() as stack:
        children = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(max(effort.tenants))
        ]
        # A card that is too small for the last of them has told of every model by then.
        for tenants in effort.tenants:
            for model in PACKED:
                graphs_a_second = packed(children[:tenants], model, effort)
                found = {"model": model, "tenants": tenants, "graphs_a_second": graphs_a_second}
                print(json.dumps(found), flush=True)


def packed(children: Sequence[Child], model: str, effort: Effort) -> float:
    """Graphs a second of one trial in each child, all of them together."""
    for seed, child in enumerate(children):
        order = {
            "model": model,
            "seed": seed,
            "tenants": len(children),
            "warm_up": effort.warm_up,
            "seconds": effort.seconds,
        }
        tell(child, json.dumps(order))
    for child in children:
        assert hear(child) == {"ready": True}
    for child in children:
        tell(child, "go")
    rates = [(told["graphs"], told["seconds"]) for told in map(hear, children)]
    return sum(graphs / seconds for graphs, seconds in rates)


def tell(child: Child, line: str) -> None:
    """Writes a line to a child."""
    stream: IO[str] | None = child.stdin
    assert stream is not None
    stream.write(line + "\n")
    stream.flush()


def hear(child: Child) -> dict[str, Any]:
    """Waits for a child's next line.

    Raises:
        RuntimeError: It ended instead.
    """
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise RuntimeError("a tenant ended before its round did; its own message stands above")
    found: dict[str, Any] = json.loads(line)
    return found


def judged(
    rows: Sequence[Mapping[str, Any]], alone_shares: Mapping[str, float | None]
) -> list[dict[str, Any]]:
    """What packing gains for each model, and how many tenants the scheduler would take.

    Args:
        rows: What ``measure`` printed.
        alone_shares: Of each model that was probed, the share of the device that one trial uses.
    """
    found = []
    for model in dict.fromkeys(row["model"] for row in rows):
        rates = {row["tenants"]: row["graphs_a_second"] for row in rows if row["model"] == model}
        best = max(rates.values()) / rates[min(rates)]
        alone = alone_shares.get(model)
        found.append(
            {
                "model": model,
                "graphs_a_second": rates,
                "ratio": {tenants: rate / rates[min(rates)] for tenants, rate in rates.items()},
                "useful_tenants": useful_tenants(rates),
                # What the scheduler knows before it has packed anything.
                "useful_tenants_by_probe": (
                    None if alone is None else useful_tenants(packed_throughput(alone))
                ),
                "best_ratio": best,
                "held": best >= REACH,
            }
        )
    return found


if __name__ == "__main__":
    measure(ON_GPU if trial_device().type == "cuda" else ON_CPU, Path(sys.argv[1]))
