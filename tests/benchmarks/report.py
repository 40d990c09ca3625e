"""Where benchmarks write what they measured: ``bench/results.json`` and ``bench/results.md``."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "bench"


def interleaved(
    ours: Callable[[], object], theirs: Callable[[], object], *, repeats: int = 5
) -> tuple[float, float]:
    """Median seconds of both, run in turns so that a drifting machine treats them alike."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for run, taken in zip((ours, theirs), seconds, strict=True):
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def record(
    *,
    case: str,
    peer: str,
    ours: float,
    theirs: float,
    unit: str,
    reach: float,
    larger_is_better: bool = True,
    why: str = "",
) -> float:
    """Writes one measured case, in place of an earlier one of that name, and prints it.

    Args:
        case: what was measured.
        peer: what it was measured against.
        ours: our figure in ``unit``.
        theirs: the peer's figure in ``unit``.
        unit: what the figures count.
        reach: the ratio to reach.
        larger_is_better: whether the ratio is ours / theirs, else theirs / ours.
        why: what a reader must know to judge the figures.

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
        "held": ratio >= reach,
        "why": why,
    }
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / "results.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    rows = [r for r in rows if (r["case"], r["peer"]) != (case, peer)] + [row]
    path.write_text(json.dumps(rows, indent=1) + "\n")
    (FOLDER / "results.md").write_text(_markdown(rows))
    print(
        f"\n{case}: {ours:,.3g} {unit}, {peer}: {theirs:,.3g} {unit}, "
        f"ratio {ratio:.1f} (to reach {reach:g}: {'held' if ratio >= reach else 'missed'}) {why}"
    )
    return ratio


def _markdown(rows: list[dict]) -> str:
    """All cases as a table."""
    lines = [
        "| case | peer | ours | theirs | unit | ratio | to reach | held | remarks |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['case']} | {r['peer']} | {r['ours']:,.4g} | {r['theirs']:,.4g} | {r['unit']} "
        f"| {r['ratio']:.1f} | {r['reach']:g} | {'yes' if r['held'] else 'no'} | {r['why']} |"
        for r in rows
    ]
    return "\n".join(lines) + "\n"
