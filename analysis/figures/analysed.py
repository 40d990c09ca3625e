"""Committed analyses of a grid as figures read them, and how many of them a report shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors.numpy import load

from analysis.figures.figure import Figure
from analysis.figures.results import Results
from graphids.store.outputs import SHORT

DATASETS = 4
"""Data sets whose analyses a report shows; all of them are in the store."""


@dataclass(frozen=True, kw_only=True)
class Analysed:
    """One committed analysis."""

    name: str
    """Its name in the grid."""
    seed: int
    """Seed of the detectors that it looks at."""
    of: Mapping[str, str]
    """Name of the row behind each role, such as ``detector``."""
    meta: Mapping[str, Any]
    """Facts of its manifest."""
    tensors: Mapping[str, np.ndarray]
    """Its numbers, checked against the manifest."""


Draw = Callable[[Results, str, Sequence[Analysed]], Iterator[Figure]]
"""Makes figures of the committed analyses of one data set, of which there is one at least."""


def analysed_figures(
    results: Results, stage: str, title: str, what: str, draw: Draw
) -> Iterator[Figure]:
    """Figures of one kind of analysis on each data set; sentences where there is nothing to show.

    Args:
        results: The rows and their results.
        stage: Name of the stage, which names its file and its figures as well.
        title: Title of a figure that shows nothing.
        what: What it would show, for the sentence that says so.
        draw: Makes the figures of a data set.

    Raises:
        DamagedOutputError: A committed file is not what its manifest says.
    """
    declared = results.study.analyses.filter(stage=stage)
    if declared.is_empty():
        caption = f"The grid declares no analysis of {what}: there is nothing to show."
        yield Figure(name=stage, title=title, caption=caption)
        return
    for dataset in results.datasets[:DATASETS]:
        found = analysed(results, dataset, stage)
        if found:
            yield from draw(results, dataset, found)
            continue
        caption = f"No analysis of {what} is committed yet."
        title_here = f"{title}{results.on(dataset)}"
        yield Figure(name=results.name(stage, dataset), title=title_here, caption=caption)
    others = results.datasets[DATASETS:]
    if others:
        caption = (
            f"Shown are the analyses of the first {DATASETS} of {len(results.datasets)} data sets; "
            f"those of {', '.join(others)} are in the store."
        )
        yield Figure(name=f"{stage}-others", title=f"{title}, other data sets", caption=caption)


def analysed(results: Results, dataset: str, stage: str) -> list[Analysed]:
    """The committed analyses of one kind on a data set, in the order of the grid.

    Raises:
        DamagedOutputError: A committed file is not what its manifest says.
    """
    study = results.study
    planned = study.analyses.filter(dataset=dataset, stage=stage)
    planned = planned.sort("position", "seed", maintain_order=True)
    names = _names(results, dataset)
    found = []
    for name, seed, key in planned.select("variant", "seed", "fingerprint").iter_rows():
        told = study.more_manifests([key]).get(key)
        if told is None:
            continue
        content = study.outputs.read(study.folders[key[:SHORT]], f"{stage}.safetensors", told)
        if content is None:
            continue
        sources = {role: source for role, source in told["upstream"].items() if role != "data"}
        found.append(
            Analysed(
                name=name,
                seed=seed,
                of={role: names.get(source, source[:SHORT]) for role, source in sources.items()},
                meta=told["meta"],
                tensors=load(content),
            )
        )
    return found


def told_seeds(found: Sequence[Analysed]) -> str:
    """``seed 0``, or the seeds where there are several."""
    seeds = sorted({one.seed for one in found})
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def shown_of(shown: int, total: int, what: str) -> str:
    """A sentence about what is left out; empty where nothing is."""
    return f" Shown are the first {shown} of {total} {what}." if shown < total else ""


def heading(one: Analysed, role: str, found: Sequence[Analysed]) -> str:
    """The row that an analysis is of, with its seed where there are analyses of several."""
    several = len({other.seed for other in found}) > 1
    return f"{one.of[role]}, seed {one.seed}" if several else one.of[role]


def _names(results: Results, dataset: str) -> dict[str, str]:
    """What each trial of a data set is called: the row that it is, else its label."""
    study = results.study
    labels = study.plan.filter(dataset=dataset).select("fingerprint", "label")
    rows = study.rows.filter(dataset=dataset).select("fingerprint", "variant")
    # A trial that stands in several rows of one name is named once; the first row wins.
    return dict(labels.iter_rows()) | dict(rows.reverse().iter_rows())
