"""Figures that only a GPU can give, in one call: memory predicted, a trial out of it, packing.

Writes ``bench/gpu.json``. Every part is a process of its own that ends when its time is over; what
was left out is said. ``--device cpu`` goes through the same code in little, and writes only where
``--out`` says.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gpu_memory
import gpu_packing
import torch
from gpu_data import MODELS

from graphids.core.memory import CudaCard, card_constants, device_name, used_bytes

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER.parents[1] / "bench" / "gpu.json"
MINUTES = 9.0
"""Time that all of it may take."""
ENDS: Mapping[str, float] = {"memory": 0.4, "out_of_memory": 0.7, "packing": 0.98}
"""Share of the time by which each part has ended."""
QUICK_MODELS = ("GAT small", "VGAE small")
"""Models whose memory a CPU looks at; torch's tracker cannot follow DGI's two passes in a step."""
NO_GPU = 2
"""Exit code where there is no GPU."""
NO_GPU_MESSAGE = (
    "gpu.py needs a CUDA GPU, and torch sees none; run it on a machine with one and with a CUDA "
    "build of torch, or go through its code in little with --device cpu\n"
)


@dataclass
class Script:
    """The parts, the time that they have, and what did not fit into it."""

    device: torch.device
    """What is measured."""
    minutes: float
    """Time for all parts."""
    began: float = field(default_factory=time.monotonic)
    """When it began."""
    left_out: list[str] = field(default_factory=list)
    """What is missing, and why."""

    def part(self, name: str, script: str, *arguments: str) -> list[dict[str, Any]]:
        """Runs a part in a process of its own, with an empty folder as its first argument.

        Args:
            name: Key of ``ENDS``.
            script: File beside this one.
            arguments: Its further arguments.

        Returns:
            The lines that it printed, those before its time was over included.
        """
        left = self.began + 60.0 * self.minutes * ENDS[name] - time.monotonic()
        what = " ".join((name, *arguments))
        if left <= 0:
            self.left_out.append(f"{what}: no time was left")
            return []
        # A machine may have a GPU that is not to be used.
        hidden = {} if self.device.type == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
        print(f"{what} (at most {left:.0f} s)", file=sys.stderr, flush=True)
        with (
            # Here, because a process whose time is over leaves its own behind.
            tempfile.TemporaryDirectory(prefix="gpu-", ignore_cleanup_errors=True) as folder,
            tempfile.TemporaryFile("w+") as said,
        ):
            command = [sys.executable, "-W", "ignore", str(FOLDER / script), folder, *arguments]
            try:
                code = subprocess.run(
                    command, stdout=said, timeout=left, check=False, env=os.environ | hidden
                ).returncode
            except subprocess.TimeoutExpired:
                self.left_out.append(f"{what}: its time was over after {left:.0f} s")
            else:
                if code != 0:
                    self.left_out.append(f"{what}: ended with code {code}")
            said.seek(0)
            return [json.loads(line) for line in said if line.startswith("{")]


def measure(script: Script) -> dict[str, Any]:
    """All parts, and what is said of them."""
    on_gpu = script.device.type == "cuda"
    card = card_constants(script.device) if on_gpu else None
    memory = []
    for model in MODELS if on_gpu else QUICK_MODELS:
        used = used_bytes(script.device) if on_gpu else 0
        found = script.part("memory", "gpu_memory.py", model)
        memory += [gpu_memory.judged(row, card, used) for row in found]
    hunger = script.part("out_of_memory", "gpu_hunger.py")
    rounds = script.part("packing", "gpu_packing.py")
    packing = gpu_packing.judged(rounds, {row["model"]: row["alone_share"] for row in memory})
    rows = {"memory": memory, "out_of_memory": hunger, "packing": packing}
    return {
        "machine": machine(script.device),
        "card": None if card is None else asdict(card),
        **rows,
        "reach": {part: reached(rows[part]) for part in ENDS},
        "left_out": script.left_out,
        "seconds": time.monotonic() - script.began,
    }


def reached(rows: Sequence[Mapping[str, Any]]) -> bool | None:
    """Whether each row reached what it should; none where nothing was measured."""
    return all(row["held"] for row in rows) if rows else None


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures depend on."""
    total = CudaCard(device).total_bytes if device.type == "cuda" else None
    return {"device": device_name(device), "total_bytes": total, "torch": torch.__version__}


def main(arguments: Sequence[str]) -> int:
    """Measures, writes, and tells in one line for each part what came out."""
    parser = argparse.ArgumentParser(description="Figures of a GPU.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="time that it may take")
    parser.add_argument("--out", type=Path, help=f"file to write; for a GPU {RESULTS.name}")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.stderr.write(NO_GPU_MESSAGE)
        return NO_GPU
    found = measure(Script(torch.device(given.device), given.minutes))
    text = json.dumps(found, indent=1) + "\n"
    out = given.out or (RESULTS if given.device == "cuda" else None)
    if out is None:
        sys.stdout.write(text)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
    for name, held in found["reach"].items():
        how = "not measured" if held is None else "held" if held else "missed"
        print(f"{name}: {how}", file=sys.stderr)
    for line in found["left_out"]:
        print(f"left out: {line}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
