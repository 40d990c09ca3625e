"""The command line as a user calls it, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def command(verb: str, *arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "grids" / "main.py"), verb, *map(str, arguments)]


def call(verb: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {
        k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "GRAPHIDS_STORE")
    }
    return subprocess.run(
        command(verb, *arguments), capture_output=True, text=True, check=False, env=environment
    )


def run(grid: Path, store: Path, *more: object) -> subprocess.CompletedProcess[str]:
    return call("run", grid, "--store", store, "--no-dashboard", "--verbose", 0, *more)


def status(grid: Path, store: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call("status", grid, "--store", store, "--json").stdout)
    return found


def times(store: Path) -> dict[str, tuple[float, float]]:
    """Start and end of every trial by label, from the manifests."""
    manifests = [json.loads(p.read_text()) for p in store.glob("outputs/*/manifest.json")]
    return {m["label"]: (m["started"], m["ended"]) for m in manifests}
