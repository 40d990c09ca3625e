"""What a run tells while it runs: the ledger's events and one line of progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from ray import tune

from graphids.runner.search import ReadyTrials
from graphids.store.ledger import Ledger


class Progress(tune.Callback):
    """Writes trial events to the ledger and prints how far the run is."""

    def __init__(
        self,
        ledger: Ledger,
        run: str,
        search: ReadyTrials,
        costs: Mapping[str, float],
    ) -> None:
        """Takes what the messages are made of.

        Args:
            ledger: Where events go.
            run: Name of the run.
            search: Knows what is done and what waits.
            costs: Expected relative duration of each trial.
        """
        self.ledger, self.run, self.search, self.costs = ledger, run, search, costs
        self.began = time.monotonic()
        self.total = len(search.waiting)
        self.ended: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has been given to a worker."""
        self._note("started", trial.config["fingerprint"], trial.config["label"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's output is committed."""
        key, label = trial.config["fingerprint"], trial.config["label"]
        self._note("done", key, label)
        self._line(key, f"done: {label}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed: its own account is in the store, or its worker died without one."""
        key, label = trial.config["fingerprint"], trial.config["label"]
        failure = self.ledger.failure(key)
        if failure is None:
            failure = {
                "label": label,
                "kind": "died",
                "error": "the worker process died without an error of its own; "
                "it was killed or ran out of memory",
                "traceback": "",
                "time": time.time(),
            }
            self.ledger.fail(key, failure)
        if failure["kind"] == "disk":
            self.search.stop()
        self._note("failed", key, label)
        self._line(key, f"FAILED: {label}: {failure['error'].splitlines()[0]}")

    def _note(self, event: str, fingerprint: str, label: str) -> None:
        """One event for the ledger."""
        self.ledger.append(self.run, event, fingerprint=fingerprint, label=label)

    def _line(self, key: str, what: str) -> None:
        """One line: what happened, trials ended, running, left, time to go."""
        self.ended.add(key)
        # Tune may tell its callbacks before its searcher that a trial has ended.
        running = set(self.search.running.values()) - self.ended
        ahead = sum(self.costs[k] for k in self.search.waiting)
        ahead += 0.5 * sum(self.costs[k] for k in running)
        pace = (time.monotonic() - self.began) / sum(self.costs[k] for k in self.ended)
        left = self.total - len(self.ended) - len(running) - len(self.search.skipped)
        sys.stdout.write(
            f"[{len(self.ended)}/{self.total}] {what} ({len(running)} running, {left} left, "
            f"about {clock(ahead * pace)} to go)\n"
        )
        sys.stdout.flush()


def clock(seconds: float) -> str:
    """A duration as minutes and seconds, or hours and minutes."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes}:{rest:02d} min"
