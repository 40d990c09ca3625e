"""``simulate``: simulated CAN traffic as CSV files in the layout of the real datasets."""

from __future__ import annotations

import sys
from pathlib import Path

from graphids.commands.errors import as_request
from graphids.data.simulate import write_dataset


def main(*, out: Path, datasets: str) -> int:
    """Writes the simulated datasets that are named."""
    for name in datasets.split(","):
        with as_request():
            sys.stdout.write(f"{write_dataset(name, out)}\n")
    return 0
