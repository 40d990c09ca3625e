"""What was measured on a device, kept beside the outputs: a cache that may be deleted at any time.

One JSON file a (shape, device, torch version), written whole or not at all. Reading is by shape and
kind of device: a driver without a GPU reads what a worker with one has measured.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphids.store.files import read_json, write_json


@dataclass(frozen=True)
class Measurements:
    """The measurements of one store."""

    root: Path
    """Folder of the store."""

    def write(self, shape: str, device: str, torch_version: str, found: Mapping[str, Any]) -> None:
        """Keeps what was measured of a shape on a device."""
        write_json(self._folder(shape) / f"{_slug(device)}-{_slug(torch_version)}.json", found)

    def read(self, shape: str, torch_version: str, *, accelerated: bool) -> list[dict[str, Any]]:
        """What was measured of a shape under this version of torch, on GPUs or on processors."""
        found = []
        for path in sorted(self._folder(shape).glob(f"*-{_slug(torch_version)}.json")):
            try:
                entry: dict[str, Any] = read_json(path)
            except ValueError:
                # A cache that cannot be read is measured anew.
                continue
            if entry["accelerated"] is accelerated:
                found.append(entry)
        return found

    def write_sizes(self, prepared: str, found: Mapping[str, Any]) -> None:
        """Keeps how large a prepared dataset is, by the fingerprint of its trial."""
        write_json(self._sizes(prepared), found)

    def read_sizes(self, prepared: str) -> dict[str, Any] | None:
        """How large a prepared dataset is, where it was once prepared for a plan."""
        try:
            found: dict[str, Any] = read_json(self._sizes(prepared))
        except (FileNotFoundError, ValueError):
            return None
        return found

    def _sizes(self, prepared: str) -> Path:
        """Where the sizes of one prepared dataset lie."""
        return self.root / "cache" / "sizes" / f"{prepared[:12]}.json"

    def _folder(self, shape: str) -> Path:
        """Where the measurements of one shape lie."""
        return self.root / "cache" / "probes" / shape


def _slug(text: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", text)
