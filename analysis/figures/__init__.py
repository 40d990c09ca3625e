"""Figures of a study as values, drawn without a browser: what each shows and says in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from analysis.figures.attention import attention_figures
from analysis.figures.calibration import reliability_figures
from analysis.figures.curves import curve_figures
from analysis.figures.embeddings import embeddings_figures
from analysis.figures.figure import Figure, to_inline_svg, to_png, to_svg
from analysis.figures.forest import forest_figures
from analysis.figures.fusion import alpha_figures, gate_figures
from analysis.figures.landscape import landscape_figures
from analysis.figures.pareto import pareto_figures
from analysis.figures.ranks import rank_figures
from analysis.figures.results import Results
from analysis.figures.sensitivity import sensitivity_figures
from analysis.figures.similarity import similarity_figures
from analysis.figures.subsets import heat_figures, strip_figures
from analysis.figures.timeline import timeline_figures
from analysis.figures.training import training_figures

Family = Callable[[Results], Iterator[Figure]]

FAMILIES: tuple[Family, ...] = (
    forest_figures,
    heat_figures,
    strip_figures,
    curve_figures,
    sensitivity_figures,
    reliability_figures,
    rank_figures,
    pareto_figures,
    training_figures,
    alpha_figures,
    gate_figures,
    embeddings_figures,
    similarity_figures,
    attention_figures,
    landscape_figures,
    timeline_figures,
)
"""Every family of figures, in the order of a report."""


def all_figures(results: Results) -> Iterator[Figure]:
    """Every figure of a study, those that have nothing to show included.

    Where rows do not compare, every caption says which.

    Args:
        results: The rows and their results, by the decisions of the trials themselves.

    Raises:
        DamagedOutputError: Committed scores or histories are not what their manifest says.
    """
    names = (f"{variant} on {dataset}" for dataset, variant in sorted(results.mixed))
    told = (
        f" ‡ Not to be compared with the other rows: {', '.join(names)}." if results.mixed else ""
    )
    for family in FAMILIES:
        for one in family(results):
            yield one if one.chart is None else replace(one, caption=one.caption + told)


__all__ = ["FAMILIES", "Figure", "Results", "all_figures", "to_inline_svg", "to_png", "to_svg"]
