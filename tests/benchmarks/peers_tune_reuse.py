"""The benchmark grid on Ray Tune with reused actors, its shared trials found by hand.

Three searches, one after the other: detectors, features, heads. The stages are ours, and pass their
outputs by files.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import ray
from peers_grid import GRID
from ray import tune

from graphids.commands.loading import plan_grid
from graphids.runner.plan import Plan
from graphids.stages.handoff import Handoff, read_handoff, write_handoff
from graphids.stages.protocol import Stage

WAVES = (("autoencode", "classify"), ("extract",), ("fuse",))
META = "meta.json"


def work(plan: Plan, key: str, root: Path) -> None:
    """Runs one trial on files and leaves its output in a folder."""
    trial = plan.trials[key]
    inputs = {role: read(root / source) for role, source in trial.upstream.items()}
    handoff = cast("Stage", trial.stage).run(trial, inputs, lambda metrics: None)
    folder = root / key
    folder.mkdir()
    write_handoff(handoff, folder)
    (folder / META).write_text(json.dumps(dict(handoff.meta)))


def read(folder: Path) -> Handoff:
    """An output of an earlier trial."""
    return read_handoff(folder, {"meta": json.loads((folder / META).read_text())})


class Worker(tune.Trainable):
    """A trial whose process serves the next one as well."""

    def setup(self, config: dict[str, Any], plan: Plan, root: str) -> None:
        self.plan, self.root = plan, Path(root)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        work(self.plan, self.config["key"], self.root)
        return {"done": True}


def main() -> None:
    """Prepares the data here, then runs the three searches."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path, help="folder of the outputs")
    arguments = parser.parse_args()
    root: Path = arguments.out
    root.mkdir()
    plan = plan_grid(GRID, None, root)
    for key, trial in plan.trials.items():
        if trial.stage.name == "prepare":
            work(plan, key, root)
    # Never a cluster that happens to run on this machine.
    ray.init("local", include_dashboard=False, log_to_driver=False)
    for stages in WAVES:
        keys = [key for key, trial in plan.trials.items() if trial.stage.name in stages]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            results = tune.Tuner(
                tune.with_parameters(Worker, plan=plan, root=str(root)),
                param_space={"key": tune.grid_search(keys)},
                tune_config=tune.TuneConfig(reuse_actors=True),
                run_config=tune.RunConfig(
                    storage_path=folder,
                    verbose=0,
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                ),
            ).fit()
        if results.num_errors:
            sys.exit(f"{results.num_errors} trials of {stages} failed: {results.errors[0]}")
    ray.shutdown()


if __name__ == "__main__":
    main()
