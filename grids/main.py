"""The script for ``ray job submit --working-dir . -- python grids/main.py run GRID``.

The environment is set here and nowhere else in Python: libraries read some of it at import.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Runs the command line."""
    # The code beside this script runs, in the workers too, also where another copy is installed.
    root = str(Path(__file__).resolve().parents[1])
    sys.path.insert(0, root)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        path for path in (root, os.environ.get("PYTHONPATH")) if path
    )
    defaults = {
        # Tune's own log files are never read, and writing them costs most of an empty trial.
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "60",
        # Tune's workers have an environment of their own: those that Ray starts ahead serve none.
        "RAY_prestart_worker_first_driver": "0",
        # A trial without a GPU of its own must not see the others'.
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    }
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        # A job works in a temporary copy of its folder, which changes with every edit.
        defaults["GRAPHIDS_STORE"] = str(Path.home() / "graphids-runs")
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    from graphids.cli import app

    app()


if __name__ == "__main__":
    main()
