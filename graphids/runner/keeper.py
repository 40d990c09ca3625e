"""The process that owns the objects of one node.

It imports neither torch nor a stage, so that it is there before the first trial.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import ray
from safetensors import safe_open

from graphids.store.outputs import DamagedOutputError, OutputStore


class Keeper:
    """Owns the objects of one node, the least recently used ones dropped over a limit."""

    def __init__(self, root: str, limit_bytes: float) -> None:
        self.store = OutputStore(Path(root))
        self.limit = limit_bytes
        self.kept: OrderedDict[str, tuple[ray.ObjectRef, int]] = OrderedDict()
        self.loads: dict[str, int] = {}

    def fetch(self, fingerprint: str) -> list[ray.ObjectRef]:
        """Reference to a committed output, read from disk on first use.

        In a list, because a bare reference that is returned would be resolved into its value.

        Raises:
            DamagedOutputError: if the output is not what its manifest says.
        """
        if fingerprint not in self.kept:
            content, size = self._load(fingerprint)
            self.kept[fingerprint] = (ray.put(content), size)
            self.loads[fingerprint] = self.loads.get(fingerprint, 0) + 1
        self.kept.move_to_end(fingerprint)
        while len(self.kept) > 1 and sum(size for _, size in self.kept.values()) > self.limit:
            self.kept.popitem(last=False)
        return [self.kept[fingerprint][0]]

    def counts(self) -> dict[str, int]:
        """How often each output was read from disk."""
        return dict(self.loads)

    def _load(self, fingerprint: str) -> tuple[dict[str, Any], int]:
        """A committed output as numpy arrays, checked, and its bytes."""
        folder = self.store.find(fingerprint)
        if folder is None:
            raise DamagedOutputError(
                f"output {fingerprint[:12]} is not in {self.store.root}; run the grid again"
            )
        manifest = self.store.verify(folder)
        files, size = {}, 0
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="np") as stored:
                tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
                files[path.stem] = {"tensors": tensors, "header": stored.metadata() or {}}
            size += sum(array.nbytes for array in tensors.values())
        return {"files": files, "meta": manifest["meta"]}, size
