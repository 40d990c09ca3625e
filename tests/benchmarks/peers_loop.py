"""The benchmark grid as one Python loop, with PyG loaders and Lightning.

Without ``--shared`` every row trains its own chain; with it what rows have in common is kept in
variables, as a careful author does by hand. Torch takes the threads that it takes by itself, or
those of ``--threads``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peers_training as peer
import torch
from peers_grid import GRID

from graphids.stages.dataset import Prepared
from graphids.stages.handoff import Handoff


class Rows:
    """The rows of the table; what was made once is made again where nothing is shared."""

    def __init__(self, *, shared: bool) -> None:
        self.kept: dict[tuple[object, ...], Any] | None = {} if shared else None

    def row(self, variant: str, seed: int) -> dict[str, Any]:
        """Trains what one row needs, and returns its figures."""
        prepared = self._prepared()
        if variant in ("mlp", "weighted_avg"):
            return {"auroc": peer.fused(variant, self._states(prepared, seed), seed)}
        if variant == "vgae":
            detector = self._autoencoder(prepared, seed)
        else:
            detector = self._classifier(prepared, variant, seed)
        auroc = peer.evaluated(detector, prepared)
        return {"auroc": auroc, "epochs": detector.epochs, "steps": detector.steps}

    def _prepared(self) -> Prepared:
        return self._keep(("data",), peer.prepare)

    def _autoencoder(self, prepared: Prepared, seed: int) -> peer.Detector:
        return self._keep(("vgae", seed), lambda: peer.autoencoder(prepared, seed))

    def _classifier(self, prepared: Prepared, loss: str, seed: int) -> peer.Detector:
        return self._keep((loss, seed), lambda: peer.classifier(prepared, loss, seed))

    def _states(self, prepared: Prepared, seed: int) -> Handoff:
        def make() -> Handoff:
            vgae = self._autoencoder(prepared, seed)
            return peer.states(vgae, self._classifier(prepared, "ce", seed), prepared)

        return self._keep(("states", seed), make)

    def _keep(self, key: tuple[object, ...], make: Callable[[], Any]) -> Any:
        """What was made under ``key``, made now where it was not or must not be kept."""
        if self.kept is None:
            return make()
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]


def main() -> None:
    """Runs all rows, one after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--shared", action="store_true")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    rows = Rows(shared=arguments.shared)
    found = {
        variant.name: {seed: rows.row(variant.name, seed) for seed in GRID.seeds}
        for variant in GRID.variants
    }
    arguments.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
