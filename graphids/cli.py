"""The command line: ``graphids VERB`` = ``python grids/main.py VERB``.

Only declarations stand here, so that ``--help`` and the reading verbs answer at once: a verb's
module, and with it torch or Ray, is imported when the verb is called.
"""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from graphids import options as opt
from graphids.imports import uncollected

app = typer.Typer(
    help="Ablation grids of CAN intrusion detectors: declared in Python, run on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DEFAULT_STORE = Path("runs")


@app.command("list")
def list_grids() -> None:
    """Names the grids and the question that each answers."""
    _run("list_grids")


@app.command()
def plan(
    grid: opt.GridName,
    data: opt.Data = None,
    store: opt.Store = DEFAULT_STORE,
    seeds: opt.Seeds = None,
    datasets: opt.Datasets = None,
    settings: opt.Settings = None,
    probe: opt.Probing = True,
    as_json: opt.AsJson = False,
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
    grid: opt.GridName,
    data: opt.Data = None,
    store: opt.Store = DEFAULT_STORE,
    seeds: opt.Seeds = None,
    datasets: opt.Datasets = None,
    settings: opt.Settings = None,
    as_json: opt.AsJson = False,
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
    grid: opt.GridName,
    data: opt.Data = None,
    store: opt.Store = DEFAULT_STORE,
    address: opt.Address = None,
    seeds: opt.Seeds = None,
    datasets: opt.Datasets = None,
    settings: opt.Settings = None,
    only: Annotated[
        str | None, typer.Option("--only", help="`failed`: run only what failed or was skipped.")
    ] = None,
    dry_run: opt.DryRun = False,
    max_concurrent: opt.MaxConcurrent = None,
    memory_limit: opt.MemoryLimit = None,
    fuse: opt.Fuse = True,
    probe: opt.Probing = True,
    dashboard: opt.Dashboard = True,
    verbose: opt.Verbose = 1,
    commit: opt.Commit = None,
) -> None:
    """Runs what is not committed yet of a grid, then prints its table."""
    _run(
        "run",
        starts_ray=not (address or dry_run),
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
def seeds(
    grid: opt.GridName,
    until: opt.Until = "decided",
    most: opt.Most = 20,
    metric: opt.Metric = "mcc",
    subset: opt.Subset = None,
    margin: opt.Margin = None,
    data: opt.Data = None,
    store: opt.Store = DEFAULT_STORE,
    address: opt.Address = None,
    datasets: opt.Datasets = None,
    settings: opt.Settings = None,
    dry_run: opt.DryRun = False,
    max_concurrent: opt.MaxConcurrent = None,
    memory_limit: opt.MemoryLimit = None,
    fuse: opt.Fuse = True,
    probe: opt.Probing = True,
    dashboard: opt.Dashboard = True,
    verbose: opt.Verbose = 1,
    commit: opt.Commit = None,
) -> None:
    """Adds seeds to rows that are not told apart yet, by a rule that is declared first."""
    _run(
        "seeds",
        starts_ray=not (address or dry_run),
        grid=grid,
        until=until,
        most=most,
        metric=metric,
        subset=subset,
        margin=margin,
        data=data,
        store=store,
        address=address,
        datasets=datasets,
        settings=settings,
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
def status(
    grid: opt.GridName, store: opt.Store = DEFAULT_STORE, as_json: opt.AsJson = False
) -> None:
    """Tells how many trials are done, running, pending, failed and skipped; needs no Ray."""
    _run("status", grid=grid, store=store, as_json=as_json)


@app.command()
def table(
    grid: opt.GridName,
    store: opt.Store = DEFAULT_STORE,
    kind: opt.Kind = None,
    metric: opt.Metric = "mcc",
    dataset: opt.Dataset = None,
    subset: opt.Subset = None,
    policy: opt.PolicyNames = None,
    lead_in: Annotated[
        float, typer.Option("--lead-in", help="Seconds of a capture that a policy may read.")
    ] = 5.0,
    allow_mixed: opt.AllowMixed = False,
    style: opt.Style = None,
    as_json: opt.AsJson = False,
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
    grid: opt.GridName,
    out: Annotated[Path, typer.Option("--out", resolve_path=True, help="Page to write.")],
    store: opt.Store = DEFAULT_STORE,
    figures: Annotated[
        Path | None,
        typer.Option(
            "--figures", resolve_path=True, help="Folder for the figures as SVG and PNG files."
        ),
    ] = None,
    metric: opt.Metric = "mcc",
    dataset: opt.Dataset = None,
    allow_mixed: opt.AllowMixed = False,
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
    grid: opt.GridName,
    row: Annotated[str, typer.Argument(metavar="ROW", help="A row of its table.")],
    store: opt.Store = DEFAULT_STORE,
    as_json: opt.AsJson = False,
) -> None:
    """Tells what is behind a row: settings, seeds, captures, versions, fingerprints."""
    _run("why", grid=grid, row=row, store=store, as_json=as_json)


@app.command()
def query(
    sql: Annotated[
        str,
        typer.Argument(metavar="SQL", help="A select over results, scores, plan and trials."),
    ],
    store: opt.Store = DEFAULT_STORE,
    style: opt.Style = None,
    as_json: opt.AsJson = False,
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


def _run(verb: str, *, starts_ray: bool = False, **arguments: Any) -> None:
    """Imports the module of a verb and calls it; the one place where an import waits for its use.

    With ``starts_ray`` a local Ray starts meanwhile, and ends after the verb.

    Raises:
        typer.Exit: with the verb's exit code; 2 and the message for a request that cannot be met.
    """
    errors = importlib.import_module("graphids.commands.errors")
    with ExitStack() as ended, errors.as_exit_codes():
        if starts_ray:
            ahead = importlib.import_module("graphids.runner.ahead")
            ended.enter_context(ahead.local_ray(dashboard=arguments["dashboard"]))
        with uncollected():
            module = importlib.import_module(f"graphids.commands.{verb}")
        code = module.main(**arguments)
    raise typer.Exit(code or 0)
