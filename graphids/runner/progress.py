"""What a run tells while it runs: the ledger's events and one line of progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ray import tune

from graphids.runner.search import ReadyTrials
from graphids.store.disk import is_disk_full
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
        """A job has been given to a worker: former failures of its trials are past."""
        self.search.begin(trial.trial_id)
        if trial.config["probe"]:
            self._note("probing", shape=trial.config["probe"], label=trial.config["label"])
            return
        for key in trial.config["fingerprints"]:
            self._write(key, "started", partial(self.ledger.forgive, key))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The outputs of a job are committed, or a shape is measured."""
        if trial.config["probe"]:
            self._note("probed", shape=trial.config["probe"], label=trial.config["label"])
            return
        for key in trial.config["fingerprints"]:
            self._write(key, "done")
            self._line(key, "done")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Some of a job failed: its own account is in the store, or its worker died without one."""
        if trial.config["probe"]:
            # Its trials run all the same, on an estimate: what is wrong with them they tell.
            self._note("probe_failed", shape=trial.config["probe"], label=trial.config["label"])
            return
        fate = self.search.fate(trial.trial_id)
        for key in trial.config["fingerprints"]:
            failure = self.ledger.failure(key) or died(self.search.plan.trials[key].label)
            if key in fate.again:
                self._again(key, failure, trial.config)
            elif key in fate.failed:
                self._failed(key, failure)
            else:
                # The worker died after its commit: the disk is the truth.
                self._write(key, "done")
                self._line(key, "done")

    def _again(self, key: str, failure: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """A trial that ran out of memory is queued once more, and its history kept."""
        self._write(
            key,
            "rescheduled",
            attempt=config["attempt"] + 1,
            reserved=config.get("reserved"),
            error=failure["error"],
        )
        label = self.search.plan.trials[key].label
        sys.stdout.write(f"out of memory, queued again with more: {label}\n")

    def _failed(self, key: str, failure: dict[str, Any]) -> None:
        """A trial's failure stands."""
        if failure["kind"] in ("disk", "lease"):
            self.search.stop(failure["kind"])
        self._write(key, "failed", lambda: self.ledger.fail(key, failure))
        self._line(key, "FAILED", f": {failure['error'].splitlines()[0]}")

    def _write(
        self, key: str, event: str, before: Callable[[], None] = lambda: None, **details: Any
    ) -> None:
        """Notes an event of a trial."""
        label = self.search.plan.trials[key].label
        self._note(event, before, fingerprint=key, label=label, **details)

    def _note(self, event: str, before: Callable[[], None] = lambda: None, **details: Any) -> None:
        """Notes an event; a store that is full or was lost ends the run, not this process."""
        try:
            check_fencing(self.ledger.root, self.fencing)
            before()
            self.ledger.append(self.run, event, **details)
        except LeaseLostError:
            self.search.stop("lease")
        except OSError as error:
            if not is_disk_full(error):
                raise
            self.search.stop("disk")

    def _line(self, key: str, how: str, why: str = "") -> None:
        """One line: what happened, trials ended, running, left, time to go."""
        self.ended.add(key)
        # Tune may tell its callbacks before its searcher that a trial has ended.
        running = {k for job in self.search.running.values() if not job.probe for k in job.keys}
        running -= self.ended
        ahead = sum(self.costs[k] for k in self.search.waiting)
        ahead += 0.5 * sum(self.costs[k] for k in running)
        pace = (time.monotonic() - self.began) / sum(self.costs[k] for k in self.ended)
        left = self.total - len(self.ended) - len(running) - len(self.search.skipped)
        sys.stdout.write(
            f"[{len(self.ended)}/{self.total}] {how}: {self.search.plan.trials[key].label}{why} "
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
