"""Whether the rows of a table compare: the same windows, seeds, metrics and batches.

A difference that the settings of the rows declare, such as another length of the windows, is what
the study asks about: these rows are told, and never paired. One that no setting explains is an
error of whoever filled the store, and the table is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from analysis.tables.mixed import Difference
from analysis.tables.recomputed import named
from analysis.tables.seeds import off_rule
from analysis.tables.study import Study, is_test

COUNTS = ("n_windows", "n_attacks")


def differences(study: Study, cells: pl.DataFrame) -> tuple[Difference, ...]:
    """Everything that keeps rows of a data set from being compared.

    Args:
        study: The rows and their results.
        cells: What ``decisions.cells`` gives of it.
    """
    return (
        *study.differences,
        *_windows(cells, declared=False),
        *_seeds(study),
        *_metrics(study),
        *_batches(study),
    )


def other_windows(cells: pl.DataFrame) -> tuple[str, ...]:
    """Rows that their own settings test on other windows than the baseline."""
    return tuple(difference.text for difference in _windows(cells, declared=True))


def _windows(cells: pl.DataFrame, *, declared: bool) -> Iterator[Difference]:
    """Rows with other windows than the first row that has any, told once a subset."""
    tested = cells.filter(pl.col("n_windows").is_not_null()).unique(
        ["dataset", "subset", "fingerprint"], keep="first", maintain_order=True
    )
    first = tested.unique(["dataset", "subset"], keep="first", maintain_order=True)
    known = first.select("dataset", "subset", *COUNTS, "prepare", first="variant")
    odd = tested.join(known, on=["dataset", "subset"], suffix="_first", maintain_order="left")
    odd = odd.filter(pl.any_horizontal(pl.col(n).ne_missing(pl.col(f"{n}_first")) for n in COUNTS))
    same_data = pl.col("prepare").eq_missing(pl.col("prepare_first"))
    odd = odd.filter(~same_data if declared else same_data).unique(
        ["dataset", "subset", "variant"], keep="first", maintain_order=True
    )
    for row in odd.iter_rows(named=True):
        yield Difference(
            dataset=row["dataset"],
            what="windows",
            variants=(row["variant"],),
            text=f"{row['variant']} on {row['dataset']} / {row['subset']}: "
            f"{row['n_windows']:,.0f} windows, {row['n_attacks'] or 0:,.0f} of them attacks; "
            f"{row['first']} has {row['n_windows_first']:,.0f} and "
            f"{row['n_attacks_first'] or 0:,.0f}",
        )


def _seeds(study: Study) -> Iterator[Difference]:
    """Rows that were planned with other seeds than the first row, or than a declared rule gives."""
    if study.rule is not None:
        for dataset, variant, seeds in off_rule(study.rows, study.rule):
            yield Difference(
                dataset=dataset,
                what="seeds",
                variants=(variant,),
                text=f"{variant} on {dataset} was planned with seeds {_list(seeds)}, which the "
                "declared rule that adds seeds has not asked for (it gives the first "
                f"{_list(list(study.rule.sizes))} of {_list(list(study.rule.seeds))}); "
                "`graphids seeds GRID` gives them theirs",
            )
        return
    planned = study.rows.group_by("dataset", "variant", maintain_order=True).agg(
        pl.col("seed").unique().sort()
    )
    for (dataset,), found in planned.group_by("dataset", maintain_order=True):
        usual = found["seed"][0].to_list()
        for variant, seeds in found.select("variant", "seed").iter_rows():
            if seeds != usual:
                yield Difference(
                    dataset=str(dataset),
                    what="seeds",
                    variants=(variant,),
                    text=f"{variant} on {dataset} was planned with seeds {_list(seeds)}, "
                    f"{found['variant'][0]} with {_list(usual)}",
                )


def _metrics(study: Study) -> Iterator[Difference]:
    """Rows whose metrics are of another version, and cannot be computed again without scores."""
    names = dict(
        study.metrics.filter(is_test())
        .group_by("fingerprint")
        .agg(pl.col("metric").unique().sort().str.join(", "))
        .iter_rows()
    )

    versions = {
        key: f"{named(version)} ({names[key]})"
        for key, version in study.versions.items()
        if key in names
    }
    yield from _odd(study.rows, versions, "metrics", ["dataset"], "has metrics of {}")


def _batches(study: Study) -> Iterator[Difference]:
    """Rows that end in one stage, and ran on other devices or held another part of a batch."""

    def batch(manifest: Mapping[str, Any]) -> str:
        holds = manifest.get("holds")
        whole = "whole batches" if holds is None else f"batches split at {holds[0]:,} nodes"
        return f"{whole} on {manifest.get('device', 'an unknown device')}"

    found = {key: batch(manifest) for key, manifest in study.manifests.items()}
    yield from _odd(study.rows, found, "batch", ["dataset", "stage"], "ran with {}")


def _odd(
    rows: pl.DataFrame, values: Mapping[str, str], what: str, within: list[str], verb: str
) -> Iterator[Difference]:
    """Rows with another value than the first one has, within each data set or stage."""
    if len(set(values.values())) < 2:
        return
    held = pl.DataFrame(
        {"fingerprint": list(values), "value": list(values.values())},
        schema={"fingerprint": pl.String, "value": pl.String},
    )
    known = rows.join(held, on="fingerprint", maintain_order="left")
    for _, found in known.group_by(within, maintain_order=True):
        usual, first = found["value"][0], found["variant"][0]
        odd = found.filter(pl.col("value") != usual)
        for variant, value in (
            odd.unique(["variant", "value"], maintain_order=True)
            .select("variant", "value")
            .iter_rows()
        ):
            yield Difference(
                dataset=found["dataset"][0],
                what=what,
                variants=(variant,),
                text=f"{variant} on {found['dataset'][0]} {verb.format(value)}, "
                f"{first} {verb.format(usual)}",
            )


def _list(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds))
