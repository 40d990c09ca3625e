"""What a run tells while it runs: the ledger's events and one line of progress."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from ray import tune

from graphids.runner.search import ReadyTrials
from graphids.store.lease import LeaseLostError, check_fencing
from graphids.store.ledger import Ledger


class Progress(tune.Callback):
    """Writes trial events to the ledger and prints how far the run is."""

    def __init__(
        self,
        ledger: Ledger,
        run: str,
        fencing: int,
        search: ReadyTrials,
        costs: Mapping[str, float],
    ) -> None:
        """Takes what the messages are made of.

        Args:
            ledger: Where events go.
            run: Name of the run.
            fencing: Number of the lease under which it writes.
            search: Knows what is done and what waits.
            costs: Expected relative duration of each trial.
        """
        self.ledger, self.run, self.fencing = ledger, run, fencing
        self.search, self.costs = search, costs
        self.began = time.monotonic()
        self.total = len(search.waiting)
        self.ended: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has been given to a worker: its former failure is past."""
        self._write(trial, "started", lambda: self.ledger.forgive(trial.config["fingerprint"]))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's output is committed."""
        self._write(trial, "done")
        self._line(trial, "done")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed: its own account is in the store, or its worker died without one."""
        key, label = trial.config["fingerprint"], trial.config["label"]
        if self.search.is_committed(key):
            # The worker died after its commit: the disk is the truth.
            self.on_trial_complete(iteration, trials, trial)
            return
        failure = self.ledger.failure(key) or died(label)
        if failure["kind"] in ("disk", "lease"):
            self.search.stop(failure["kind"])
        self._write(trial, "failed", lambda: self.ledger.fail(key, failure))
        self._line(trial, "FAILED", f": {failure['error'].splitlines()[0]}")

    def _write(self, trial: Any, event: str, before: Callable[[], None] = lambda: None) -> None:
        """Notes an event; a store that is full or was lost ends the run, not this process."""
        try:
            check_fencing(self.ledger.root, self.fencing)
            before()
            self.ledger.append(
                self.run,
                event,
                fingerprint=trial.config["fingerprint"],
                label=trial.config["label"],
            )
        except LeaseLostError:
            self.search.stop("lease")
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self.search.stop("disk")

    def _line(self, trial: Any, how: str, why: str = "") -> None:
        """One line: what happened, trials ended, running, left, time to go."""
        self.ended.add(trial.config["fingerprint"])
        # Tune may tell its callbacks before its searcher that a trial has ended.
        running = set(self.search.running.values()) - self.ended
        ahead = sum(self.costs[k] for k in self.search.waiting)
        ahead += 0.5 * sum(self.costs[k] for k in running)
        pace = (time.monotonic() - self.began) / sum(self.costs[k] for k in self.ended)
        left = self.total - len(self.ended) - len(running) - len(self.search.skipped)
        sys.stdout.write(
            f"[{len(self.ended)}/{self.total}] {how}: {trial.config['label']}{why} "
            f"({len(running)} running, {left} left, "
            f"about {clock(ahead * pace)} to go)\n"
        )
        sys.stdout.flush()


def died(label: str) -> dict[str, Any]:
    """The failure of a trial whose worker could not tell what happened."""
    return {
        "label": label,
        "kind": "died",
        "error": "the worker process died without an error of its own; "
        "it was killed or ran out of memory",
        "traceback": "",
        "time": time.time(),
    }


def clock(seconds: float) -> str:
    """A duration as minutes and seconds, or hours and minutes."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes}:{rest:02d} min"
