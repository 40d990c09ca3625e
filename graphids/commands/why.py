"""``why``: everything behind a row of a table, back to the fingerprints of its trials."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from analysis.provenance import Why, why
from graphids.commands.errors import as_request
from graphids.commands.names import grid_name


def main(*, grid: str, row: str, store: Path, as_json: bool) -> int:
    """Prints settings, seeds, captures, versions, thresholds and the difference to the baseline."""
    with as_request():
        found = why(store, grid_name(grid), row)
    if as_json:
        sys.stdout.write(json.dumps(found.to_dict(), indent=1) + "\n")
    else:
        sys.stdout.write("\n".join(_lines(found)) + "\n")
    return 0


def _lines(found: Why) -> Iterator[str]:
    """The answer as lines for a reader."""
    place = f", level {found.level} of axis {found.axis}" if found.axis else ""
    yield f"{found.row} of grid {found.grid}: stage {found.stage}{place}"
    if found.aliases:
        yield f"also called {', '.join(found.aliases)}"
    if found.baseline:
        yield f"\nDifference to the baseline {found.baseline}:"
        width = max(map(len, found.differences), default=0)
        yield from (
            f"  {name:<{width}}  {theirs} -> {ours}"
            for name, (theirs, ours) in found.differences.items()
        )
        if not found.differences:
            yield "  none among the committed trials"
    yield "\nSettings that are not their defaults:"
    width = max(map(len, found.settings), default=0)
    yield from (f"  {name:<{width}}  {value}" for name, value in found.settings.items())
    yield "\nTrials:"
    for trial in found.trials:
        yield f"  {trial.dataset}, seed {trial.seed}: {trial.fingerprint}"
        yield f"    output {trial.folder}"
        yield f"    captures {trial.dataset_digest}"
        commit = trial.commit or "not known"
        yield f"    run {trial.run}, commit {commit}, device {trial.device}"
        if trial.threshold is not None:
            note = f" ({trial.threshold_note})" if trial.threshold_note else ""
            yield f"    threshold {trial.threshold:.6g} by {trial.threshold_rule}{note}"
    for note in found.notes:
        yield f"  {note}"
    versions = {", ".join(f"{k} {v}" for k, v in trial.versions.items()) for trial in found.trials}
    yield "\nVersions:"
    yield from (f"  {line}" for line in sorted(versions))
    for dataset, subsets in found.captures.items():
        yield f"\nCaptures of {dataset}:"
        for subset, names in subsets.items():
            yield f"  {subset}: {', '.join(name.rpartition('/')[2] for name in names)}"
