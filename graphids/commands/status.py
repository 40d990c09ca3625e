"""``status``: how far a grid is, from the store alone; works while it runs."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import polars as pl

from graphids.commands.errors import as_request
from graphids.commands.names import grid_name
from graphids.store.lease import is_alive, read_holder
from graphids.store.ledger import ENDED, Ledger
from graphids.store.outputs import SHORT, OutputStore
from graphids.store.results import read_plans

STATES = ("done", "running", "pending", "failed", "skipped")


def main(*, grid: str, store: Path, as_json: bool) -> int:
    """Prints how many trials are in each state, and why some failed."""
    name = grid_name(grid)
    with as_request():
        trials = read_plans(store, name).unique("fingerprint", keep="first", maintain_order=True)
    ledger = Ledger(store)
    states = trial_states(trials, store, ledger)
    counts = {state: list(states.values()).count(state) for state in STATES}
    analyses = [states[key] for key in trials.filter(role="analysis")["fingerprint"]]
    failed = [key for key, state in states.items() if state == "failed"]
    failures = [{"fingerprint": key, **(ledger.failure(key) or {})} for key in failed]
    if as_json:
        found = {
            "grid": name,
            "states": counts,
            "analyses": dict(Counter(analyses)),
            "failures": failures,
        }
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return 0
    sys.stdout.write(", ".join(f"{counts[state]} {state}" for state in STATES) + "\n")
    if analyses:
        own = Counter(analyses)
        told = ", ".join(f"{own[state]} {state}" for state in STATES if own[state])
        sys.stdout.write(f"analyses among them: {told}\n")
    for row in trials.iter_rows(named=True):
        if states[row["fingerprint"]] == "running":
            sys.stdout.write(f"running: {row['label']}\n")
    for failure in failures:
        sys.stdout.write(f"failed: {failure['label']}: {failure['error'].splitlines()[0]}\n")
    return 0


def trial_states(trials: pl.DataFrame, store: Path, ledger: Ledger) -> dict[str, str]:
    """State of every trial of a grid by fingerprint."""
    committed = OutputStore(store).committed()
    running, failed = _running(store, ledger), ledger.failures()
    states: dict[str, str] = {}
    for key in trials["fingerprint"]:
        if key[:SHORT] in committed:
            states[key] = "done"
        elif key in running:
            states[key] = "running"
        else:
            states[key] = "failed" if key[:SHORT] in failed else "pending"
    _mark_skipped(trials, states)
    return states


def _mark_skipped(trials: pl.DataFrame, states: dict[str, str]) -> None:
    """What waits for a failed trial will not run: it is skipped."""
    upstream = {row["fingerprint"]: row["upstream"] for row in trials.iter_rows(named=True)}
    changed = True
    while changed:
        changed = False
        for key, sources in upstream.items():
            blocked = any(states[source] in ("failed", "skipped") for source in sources)
            if states[key] == "pending" and blocked:
                states[key] = "skipped"
                changed = True


def _running(store: Path, ledger: Ledger) -> set[str]:
    """Trials that the run that holds the store has started and not ended."""
    holder = read_holder(store / "lease.json")
    if holder is None or not is_alive(holder):
        return set()
    running: set[str] = set()
    for event in ledger.events(holder.run):
        if event["event"] == "started":
            running.add(event["fingerprint"])
        elif event["event"] in ENDED and "fingerprint" in event:
            # A probe ends too, but it is of a shape and no trial.
            running.discard(event["fingerprint"])
    return running
