"""Ray Tune over trials that do nothing, as a script: when each trial ended goes to a file."""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune


class Ends(tune.Callback):
    """Notes when each trial ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called in the driver's loop."""
        self.times.append(time.time())


def nothing(config: dict[str, Any]) -> None:
    """Imports what a trial of that kind needs, and reports one epoch."""
    for name in config["libraries"]:
        importlib.import_module(name)
    tune.report({"epoch": 0.0, "seed": config["seed"]})


def main() -> None:
    """Runs as many trials as asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--reuse-actors", action="store_true")
    parser.add_argument("--library", action="append", default=[])
    arguments = parser.parse_args()
    ends = Ends()
    # Never a cluster that happens to run on this machine.
    ray.init("local", include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        results = tune.Tuner(
            nothing,
            param_space={
                "seed": tune.grid_search(list(range(arguments.trials))),
                "libraries": arguments.library,
            },
            tune_config=tune.TuneConfig(reuse_actors=arguments.reuse_actors),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[ends]),
        ).fit()
    ray.shutdown()
    seeds = sorted(result.metrics["seed"] for result in results)
    arguments.out.write_text(json.dumps({"ends": ends.times, "seeds": seeds}))


if __name__ == "__main__":
    main()
