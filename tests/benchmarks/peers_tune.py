"""The benchmark grid on Ray Tune as its documentation shows it: a function, a trial a row and seed.

Default settings: a new process for each trial, one core each; every trial trains its own chain.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import ray
from peers_grid import GRID
from ray import tune

FOLDER = Path(__file__).parent


def train(config: dict[str, Any]) -> None:
    """One row with one seed; a worker imports this folder's modules itself."""
    sys.path.insert(0, config["folder"])
    from peers_loop import Rows  # the worker's path is set a line above

    tune.report(Rows(shared=False).row(config["variant"], config["seed"]))


def main() -> None:
    """Runs all rows as one search over a grid."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    # Never a cluster that happens to run on this machine.
    ray.init("local", include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        results = tune.Tuner(
            train,
            param_space={
                "folder": str(FOLDER),
                "variant": tune.grid_search([variant.name for variant in GRID.variants]),
                "seed": tune.grid_search(list(GRID.seeds)),
            },
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
    ray.shutdown()
    found: dict[str, dict[str, Any]] = {}
    for result in results:
        row = {
            key: result.metrics[key]
            for key in ("auroc", "epochs", "steps")
            if key in result.metrics
        }
        found.setdefault(result.config["variant"], {})[str(result.config["seed"])] = row
    arguments.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
