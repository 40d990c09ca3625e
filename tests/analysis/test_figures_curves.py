"""What figures of scores are drawn from, against slow and obvious definitions."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.figures.calibration import reliability_frames
from analysis.figures.curves import GRID, curve_frames
from analysis.figures.pareto import PRICES, pareto_frame
from analysis.figures.results import Scored
from analysis.figures.sensitivity import QUANTILES, sensitivity_frame
from analysis.figures.style import BLACK, colours, dashes
from graphids.core.metrics import binary_metrics, expected_calibration_error

WINDOWS = st.lists(
    st.tuples(st.integers(0, 12).map(lambda i: i / 12), st.booleans()), min_size=4, max_size=40
).filter(lambda rows: 0 < sum(label for _, label in rows) < len(rows))


def trial(
    windows: list[tuple[float, bool]], threshold: float | None = 0.5, variant: str = "r"
) -> Scored:
    scores = pl.DataFrame(
        {
            "split": ["validation"] * len(windows) + ["test_01"] * len(windows),
            "score": [score for score, _ in windows] * 2,
            "label": [int(label) for _, label in windows] * 2,
        }
    )
    return Scored(variant=variant, seed=0, threshold=threshold, scores=scores)


def rates(windows: list[tuple[float, bool]], cut: float) -> tuple[float, float, float]:
    """False alarms, recall and precision of ``score >= cut``."""
    flagged = [label for score, label in windows if score >= cut]
    attacks = sum(label for _, label in windows)
    hits = sum(flagged)
    benign = len(windows) - attacks
    return (len(flagged) - hits) / benign, hits / attacks, hits / max(1, len(flagged))


@settings(max_examples=60, deadline=None)
@given(WINDOWS)
def test_a_roc_curve_is_the_line_through_its_cuts(windows: list[tuple[float, bool]]) -> None:
    lines, _ = curve_frames([trial(windows)], "roc")
    drawn = lines.filter(variant="r")["y"].to_numpy()
    cuts = sorted({score for score, _ in windows}, reverse=True)
    points = [(0.0, 0.0), *(rates(windows, cut)[:2] for cut in cuts)]
    for x, y in zip(GRID, drawn, strict=True):
        before = max(p for p in points if p[0] <= x + 1e-9)
        after = [p for p in points if p[0] > x + 1e-9]
        wanted = before[1]
        if after:
            end = min(after)
            wanted += (end[1] - before[1]) * max(0.0, x - before[0]) / (end[0] - before[0])
        assert y == pytest.approx(wanted, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(WINDOWS)
def test_precision_is_that_of_the_strictest_cut_with_the_recall(
    windows: list[tuple[float, bool]],
) -> None:
    lines, _ = curve_frames([trial(windows)], "precision_recall")
    drawn = lines.filter(variant="r")["y"].to_numpy()
    cuts = sorted({score for score, _ in windows}, reverse=True)
    for x, y in zip(GRID, drawn, strict=True):
        wanted = next(p for _, recall, p in (rates(windows, c) for c in cuts) if recall >= x - 1e-9)
        assert y == pytest.approx(wanted)


@settings(max_examples=30, deadline=None)
@given(WINDOWS, st.floats(0.0, 1.1))
def test_operating_points_are_the_metrics_of_the_threshold(
    windows: list[tuple[float, bool]], threshold: float
) -> None:
    found = binary_metrics(
        [score for score, _ in windows], [label for _, label in windows], threshold
    )
    for kind, names in (("roc", ("fpr", "recall")), ("precision_recall", ("recall", "precision"))):
        _, points = curve_frames([trial(windows, threshold)], kind)  # type: ignore[arg-type]
        assert points.select("x", "y").row(0) == pytest.approx(tuple(found[n] for n in names))


def test_curves_of_seeds_are_averaged_and_chance_is_the_share_of_attacks() -> None:
    good, bad = [(0.9, True), (0.1, False)], [(0.1, True), (0.9, False)]
    lines, _ = curve_frames([trial(good), trial(bad)], "roc")
    assert lines.filter(variant="r", x=0.0)["y"][0] == pytest.approx(0.5)
    chance, _ = curve_frames([trial(good)], "precision_recall")
    assert set(chance.filter(variant="")["y"]) == {0.5}


def test_a_subset_without_a_class_has_no_curve() -> None:
    lines, points = curve_frames([trial([(0.5, False), (0.2, False)])], "roc")
    assert lines.is_empty()
    assert points.is_empty()


@settings(max_examples=40, deadline=None)
@given(WINDOWS)
def test_gaps_of_the_bins_add_up_to_the_calibration_error(
    windows: list[tuple[float, bool]],
) -> None:
    bins, errors = reliability_frames([trial(windows)])
    gaps = (bins["predicted"] - bins["observed"]).abs() * bins["windows"]
    wanted = expected_calibration_error([s for s, _ in windows], [a for _, a in windows])
    assert errors["ece"][0] == pytest.approx(wanted)
    assert gaps.sum() / len(windows) == pytest.approx(wanted)
    assert bins["windows"].sum() == len(windows)


def test_scores_that_are_no_probabilities_have_no_reliability() -> None:
    odd = trial([(3.0, True), (0.2, False)], variant="odd")
    bins, errors = reliability_frames([trial([(0.9, True), (0.1, False)]), odd])
    assert errors["variant"].to_list() == ["r"]
    assert set(bins["variant"]) == {"r"}


@settings(max_examples=30, deadline=None)
@given(WINDOWS, st.floats(0.0, 1.0))
def test_sensitivity_is_the_metric_at_each_quantile(
    windows: list[tuple[float, bool]], threshold: float
) -> None:
    frame = sensitivity_frame([trial(windows, threshold)])
    scores, labels = [s for s, _ in windows], [a for _, a in windows]
    for metric in ("f1", "fpr"):
        own = frame.filter(metric=metric)
        line = own.filter(~pl.col("chosen"))["value"].to_list()
        wanted = [binary_metrics(scores, labels, float(np.quantile(scores, q))) for q in QUANTILES]
        assert line == pytest.approx([found[metric] for found in wanted])
        chosen = own.filter("chosen").row(0, named=True)
        assert chosen["value"] == pytest.approx(binary_metrics(scores, labels, threshold)[metric])
        assert chosen["quantile"] == pytest.approx(np.mean([s < threshold for s in scores]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=12),
)
def test_the_front_holds_what_nothing_beats(rows: list[tuple[int, int]]) -> None:
    names = [f"r{i}" for i in range(len(rows))]
    scores = pl.DataFrame(
        {
            "variant": names,
            "role": "row",
            "baseline": False,
            "value": [quality / 6 for _, quality in rows],
        }
    )
    costs = pl.DataFrame({"variant": names, "parameters": [price for price, _ in rows]})
    frame = pareto_frame(scores, costs, PRICES[0])
    front = set(frame.filter("front").select("price", pl.col("quality") * 6).rows())
    wanted = {
        (float(price), float(quality))
        for price, quality in rows
        if not any((p <= price and q > quality) or (p < price and q >= quality) for p, q in rows)
    }
    assert {(p, round(q)) for p, q in front} == {(p, round(q)) for p, q in wanted}


def test_a_row_without_a_cost_is_left_out() -> None:
    scores = pl.DataFrame(
        {"variant": ["a", "b", "c"], "role": "row", "baseline": False, "value": [0.1, 0.2, 0.3]}
    )
    costs = pl.DataFrame({"variant": ["a", "b", "c"], "parameters": [0, None, 5]})
    assert pareto_frame(scores, costs, PRICES[0])["variant"].to_list() == ["c"]


def test_rows_are_told_apart_by_colour_and_by_dash_several_baselines_too() -> None:
    """In print a colour alone is lost, and a grid has a baseline for each last stage."""
    names = ["ce", "vgae", "mlp", "focal", "weighted_ce", "random_forest"]
    for scale in (colours, dashes):
        signs = scale(names, names[:3]).to_dict()["range"]
        assert len({str(sign) for sign in signs[:3]}) == 3
        assert len({str(sign) for sign in signs[3:]}) == 3
    assert colours(names, names[:3]).to_dict()["range"][0] == BLACK
