"""The options of the command line that several verbs share, and the longer ones of single verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

GridName = Annotated[
    str, typer.Argument(metavar="GRID", help="A grid by name, or a file of yours.")
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", envvar="GRAPHIDS_DATA", resolve_path=True, help="Folder of the raw datasets."
    ),
]
Store = Annotated[
    Path,
    typer.Option(
        "--store", envvar="GRAPHIDS_STORE", resolve_path=True, help="Folder of the store."
    ),
]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Seeds, such as 0-4 or 0,2,5.")]
Datasets = Annotated[str | None, typer.Option("--datasets", help="Datasets, separated by commas.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="A setting, such as classify.model.heads=8.")
]
Address = Annotated[
    str | None, typer.Option("--address", envvar="RAY_ADDRESS", help="Ray cluster to join.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")]
MaxConcurrent = Annotated[
    int | None, typer.Option(min=1, help="Most jobs at once; as many as cores by default.")
]
MemoryLimit = Annotated[
    float | None, typer.Option(min=0.0, help="Most GiB of a device that trials may use.")
]
Fuse = Annotated[bool, typer.Option(help="Whether seeds of a short trial may share one process.")]
Probing = Annotated[
    bool, typer.Option("--probe/--no-probe", help="Whether to measure what was never measured.")
]
Dashboard = Annotated[bool, typer.Option(help="Whether a local Ray has a dashboard.")]
Verbose = Annotated[int, typer.Option(help="What Tune prints: 0, 1 or 2.", min=0, max=2)]
Commit = Annotated[str | None, typer.Option(envvar="GRAPHIDS_COMMIT", help="Commit of the source.")]
Metric = Annotated[str, typer.Option(help="Metric that rows are compared by.")]
Dataset = Annotated[str | None, typer.Option(help="Only this data set.")]
Subset = Annotated[
    str | None, typer.Option(help="Only test subsets whose name begins so: test_01.")
]
Kind = Annotated[
    str | None,
    typer.Option(
        help="ablation (default), metrics, leaderboard, effect_size, expected_max, "
        "tie_candidates, main_results, test_results, per_attack, kd_transfer, thresholds, "
        "cost or dataset_summary."
    ),
]
PolicyNames = Annotated[
    str | None,
    typer.Option(
        help="Threshold policies, separated by commas: fixed, max_f1, youden, "
        "benign_quantile, lead_in_max, lead_in_quantile, centred, or all."
    ),
]
AllowMixed = Annotated[
    bool, typer.Option("--allow-mixed", help="Show rows that do not compare, and mark them.")
]
Style = Annotated[
    str | None,
    typer.Option("--format", help="md, html, latex, csv, parquet or json, to standard output."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Most = Annotated[int, typer.Option("--max", min=1, help="Most seeds of a row, at most 20.")]
Margin = Annotated[
    float | None,
    typer.Option(help="Difference that does not matter: an interval within it decides as well."),
]
Until = Annotated[
    str, typer.Option(help="`decided`: until the interval of every row excludes zero.")
]
