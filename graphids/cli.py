"""The command line: ``graphids VERB`` = ``python grids/main.py VERB``.

Only declarations stand here, so that ``--help`` and the reading verbs answer at once: a verb's
module, and with it torch or Ray, is imported when the verb is called.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Ablation grids of CAN intrusion detectors: declared in Python, run on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

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
Probing = Annotated[
    bool, typer.Option("--probe/--no-probe", help="Whether to measure what was never measured.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_STORE = Path("runs")


@app.command("list")
def list_grids() -> None:
    """Names the grids and the question that each answers."""
    _run("list_grids")


@app.command()
def plan(
    grid: GridName,
    data: Data = None,
    store: Store = DEFAULT_STORE,
    seeds: Seeds = None,
    datasets: Datasets = None,
    settings: Settings = None,
    probe: Probing = True,
    as_json: AsJson = False,
) -> None:
    """Shows what a run would do: rows, trials, sharing, what is committed, memory and hours."""
    _run(
        "plan",
        grid=grid,
        data=data,
        store=store,
        seeds=seeds,
        datasets=datasets,
        settings=settings,
        probe=probe,
        as_json=as_json,
    )


@app.command("probe")
def probe_shapes(
    grid: GridName,
    data: Data = None,
    store: Store = DEFAULT_STORE,
    seeds: Seeds = None,
    datasets: Datasets = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Measures memory and speed of every distinct model of a grid on this device."""
    _run(
        "probe",
        grid=grid,
        data=data,
        store=store,
        seeds=seeds,
        datasets=datasets,
        settings=settings,
        as_json=as_json,
    )


@app.command()
def run(
    grid: GridName,
    data: Data = None,
    store: Store = DEFAULT_STORE,
    address: Annotated[
        str | None,
        typer.Option("--address", envvar="RAY_ADDRESS", help="Ray cluster to join."),
    ] = None,
    seeds: Seeds = None,
    datasets: Datasets = None,
    settings: Settings = None,
    only: Annotated[
        str | None, typer.Option("--only", help="`failed`: run only what failed or was skipped.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    max_concurrent: Annotated[
        int | None, typer.Option(min=1, help="Most jobs at once; as many as cores by default.")
    ] = None,
    memory_limit: Annotated[
        float | None, typer.Option(min=0.0, help="Most GiB of a device that trials may use.")
    ] = None,
    fuse: Annotated[
        bool, typer.Option(help="Whether seeds of a short trial may share one process.")
    ] = True,
    probe: Probing = True,
    dashboard: Annotated[bool, typer.Option(help="Whether a local Ray has a dashboard.")] = True,
    verbose: Annotated[int, typer.Option(help="What Tune prints: 0, 1 or 2.", min=0, max=2)] = 1,
    commit: Annotated[
        str | None, typer.Option(envvar="GRAPHIDS_COMMIT", help="Commit of the source.")
    ] = None,
) -> None:
    """Runs what is not committed yet of a grid, then prints its table."""
    _run(
        "run",
        grid=grid,
        data=data,
        store=store,
        address=address,
        seeds=seeds,
        datasets=datasets,
        settings=settings,
        only=only,
        dry_run=dry_run,
        max_concurrent=max_concurrent,
        memory_limit=memory_limit,
        fuse=fuse,
        probe=probe,
        dashboard=dashboard,
        verbose=verbose,
        commit=commit,
    )


@app.command()
def status(grid: GridName, store: Store = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """Tells how many trials are done, running, pending, failed and skipped; needs no Ray."""
    _run("status", grid=grid, store=store, as_json=as_json)


@app.command()
def table(
    grid: GridName,
    store: Store = DEFAULT_STORE,
    kind: Annotated[
        str | None,
        typer.Option(
            help="ablation (default), metrics, leaderboard, effect_size, expected_max, "
            "tie_candidates, main_results, test_results, per_attack, kd_transfer, thresholds, "
            "cost or dataset_summary."
        ),
    ] = None,
    metric: Annotated[str, typer.Option(help="Metric that rows are compared by.")] = "mcc",
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    subset: Annotated[
        str | None, typer.Option(help="Only test subsets whose name begins so: test_01.")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="Threshold policies, separated by commas: fixed, max_f1, youden, "
            "benign_quantile, lead_in_max, lead_in_quantile, centred, or all."
        ),
    ] = None,
    lead_in: Annotated[
        float, typer.Option("--lead-in", help="Seconds of a capture that a policy may read.")
    ] = 5.0,
    allow_mixed: Annotated[
        bool, typer.Option("--allow-mixed", help="Show rows that do not compare, and mark them.")
    ] = False,
    style: Annotated[
        str | None,
        typer.Option("--format", help="md, html, latex, csv, parquet or json, to standard output."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prints a table of a grid from what its runs committed; needs no Ray."""
    _run(
        "table",
        grid=grid,
        store=store,
        style="json" if as_json else style,
        kind=kind,
        metric=metric,
        dataset=dataset,
        subset=subset,
        policy=policy,
        lead_in=lead_in,
        allow_mixed=allow_mixed,
    )


@app.command()
def report(
    grid: GridName,
    out: Annotated[Path, typer.Option("--out", resolve_path=True, help="Page to write.")],
    store: Store = DEFAULT_STORE,
    figures: Annotated[
        Path | None,
        typer.Option(
            "--figures", resolve_path=True, help="Folder for the figures as SVG and PNG files."
        ),
    ] = None,
    metric: Annotated[str, typer.Option(help="Metric that rows are compared by.")] = "mcc",
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    allow_mixed: Annotated[
        bool, typer.Option("--allow-mixed", help="Show rows that do not compare, and mark them.")
    ] = False,
) -> None:
    """Writes one page on a grid: question, design, tables, figures, doubts; needs no Ray."""
    _run(
        "report",
        grid=grid,
        out=out,
        store=store,
        figures=figures,
        metric=metric,
        dataset=dataset,
        allow_mixed=allow_mixed,
    )


@app.command()
def why(
    grid: GridName,
    row: Annotated[str, typer.Argument(metavar="ROW", help="A row of its table.")],
    store: Store = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Tells what is behind a row: settings, seeds, captures, versions, fingerprints."""
    _run("why", grid=grid, row=row, store=store, as_json=as_json)


@app.command()
def query(
    sql: Annotated[
        str,
        typer.Argument(metavar="SQL", help="A select over results, scores, plan and trials."),
    ],
    store: Store = DEFAULT_STORE,
    style: Annotated[
        str | None,
        typer.Option("--format", help="md, html, latex, csv, parquet or json, to standard output."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Answers a question in SQL from what a store holds; needs no Ray."""
    _run("query", sql=sql, store=store, style="json" if as_json else style)


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", resolve_path=True, help="Folder to write into.")],
    datasets: Annotated[str, typer.Option("--datasets", help="Simulated datasets.")] = "sim_small",
) -> None:
    """Writes simulated CAN traffic as CSV files in the layout of the real datasets."""
    _run("simulate", out=out, datasets=datasets)


def _run(verb: str, **arguments: Any) -> None:
    """Imports the module of a verb and calls it; the one place where an import waits for its use.

    Raises:
        typer.Exit: with the verb's exit code; 2 and the message for a request that cannot be met.
    """
    module = importlib.import_module(f"graphids.commands.{verb}")
    errors = importlib.import_module("graphids.commands.errors")
    with errors.as_exit_codes():
        code = module.main(**arguments)
    raise typer.Exit(code or 0)
