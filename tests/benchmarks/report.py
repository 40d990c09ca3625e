"""Where benchmarks write what they measured: ``bench/results.json`` and ``bench/results.md``."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

FOLDER = Path(__file__).resolve().parents[2] / "bench"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Seconds:
    """How long one way takes."""

    warm: float
    """Median of its later calls."""
    cold: float
    """Its first call in this process."""


def interleaved(
    ours: Callable[[], object], theirs: Callable[[], object], *, repeats: int = 5
) -> tuple[float, float]:
    """Median seconds of both, run in turns so that a drifting machine treats them alike."""
    first, second = _medians((ours, theirs), repeats)
    return first, second


def cold_and_warm(
    *ways: Callable[[], Any], same: Callable[..., None], repeats: int = 5
) -> list[Seconds]:
    """Seconds of the first calls and of the later ones, which are taken once outputs are equal.

    Args:
        ways: ours and those of the peers, none of which ran before in this process.
        same: takes the outputs of the first calls in that order, and raises where they differ.
        repeats: later calls of each, in turns.
    """
    outputs, cold = zip(*(timed(way) for way in ways), strict=True)
    same(*outputs)
    del outputs
    return [
        Seconds(warm=warm, cold=first)
        for warm, first in zip(_medians(ways, repeats), cold, strict=True)
    ]


def _medians(ways: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each, run in turns."""
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(repeats):
        for way, taken in zip(ways, seconds, strict=True):
            taken.append(timed(way)[1])
    return [statistics.median(taken) for taken in seconds]


def timed(way: Callable[[], T]) -> tuple[T, float]:
    """What a call gives, and its seconds."""
    start = time.perf_counter()
    output = way()
    return output, time.perf_counter() - start


def record(
    *,
    case: str,
    peer: str,
    ours: float,
    theirs: float,
    unit: str,
    reach: float | None,
    larger_is_better: bool = True,
    why: str = "",
    cold: tuple[float, float] | None = None,
) -> float:
    """Writes one measured case, in place of an earlier one of that name, and prints it.

    A ratio below ``reach`` is recorded as missed; it is no failure.

    Args:
        case: what was measured.
        peer: what it was measured against.
        ours: our figure in ``unit``.
        theirs: the peer's figure in ``unit``.
        unit: what the figures count.
        reach: the ratio to reach; None for a row that informs and judges nothing.
        larger_is_better: whether the ratio is ours / theirs, else theirs / ours.
        why: what a reader must know to judge the figures, and what limits them.
        cold: our figure and the peer's at the first call, where ``ours`` and ``theirs`` are warm.

    Returns:
        How many times better ours is.
    """
    ratio = ours / theirs if larger_is_better else theirs / ours
    row = {
        "case": case,
        "peer": peer,
        "ours": ours,
        "theirs": theirs,
        "unit": unit,
        "ratio": ratio,
        "reach": reach,
        "held": None if reach is None else ratio >= reach,
        "why": why,
        "cold_ours": cold[0] if cold else None,
        "cold_theirs": cold[1] if cold else None,
        "machine": machine(),
    }
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / "results.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    rows = [r for r in rows if (r["case"], r["peer"]) != (case, peer)] + [row]
    path.write_text(json.dumps(rows, indent=1) + "\n")
    (FOLDER / "results.md").write_text(markdown(rows))
    first = f" (first call {cold[0]:,.3g} and {cold[1]:,.3g})" if cold else ""
    print(
        f"\n{case}: {ours:,.3g} {unit}, {peer}: {theirs:,.3g} {unit}{first}, "
        f"ratio {ratio:.1f} ({_judgement(row)}) {why}"
    )
    return ratio


def machine() -> dict[str, Any]:
    """What the figures depend on: versions, and the cores that this process may use."""
    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "ray": version("ray"),
        "cores": len(os.sched_getaffinity(0)),
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """All cases as a table, those of other versions or cores told apart by their last column."""
    lines = [
        "| case | peer | ours | theirs | unit | ratio | to reach | held "
        "| first call, ours | first call, theirs | remarks |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        held = {None: "", True: "yes", False: "no"}[row["held"]]
        numbers = [_number(row.get(key)) for key in ("ours", "theirs", "cold_ours", "cold_theirs")]
        lines.append(
            f"| {row['case']} | {row['peer']} | {numbers[0]} | {numbers[1]} | {row['unit']} "
            f"| {row['ratio']:.1f} | {_number(row['reach'])} | {held} "
            f"| {numbers[2]} | {numbers[3]} | {row['why']} |"
        )
    return "\n".join(lines) + "\n\n" + _machines(rows) + "\n"


def _machines(rows: list[dict[str, Any]]) -> str:
    """The versions and cores behind the rows, each combination once."""
    found = {
        ", ".join(f"{name} {value}" for name, value in row["machine"].items())
        for row in rows
        if "machine" in row
    }
    return "Measured with " + "; and with ".join(sorted(found)) + "."


def _number(value: float | None) -> str:
    """A figure in a cell; empty where there is none."""
    return "" if value is None else f"{value:,.4g}"


def _judgement(row: dict[str, Any]) -> str:
    """Whether a row reached what it should."""
    if row["held"] is None:
        return "nothing to reach"
    return f"to reach {row['reach']:g}: {'held' if row['held'] else 'missed'}"
