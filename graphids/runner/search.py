"""A Tune searcher that suggests ready trials, the longest path first: the grid runs as a dataflow.

It suggests a trial the moment its inputs are committed, ``None`` while every trial that is left
waits for one that runs, and ``FINISHED`` when nothing is left that can run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ray.tune.search import Searcher

from graphids.runner.plan import Plan


class ReadyTrials(Searcher):
    """Hands out the trials of a plan in the order in which their inputs appear."""

    def __init__(
        self,
        plan: Plan,
        committed: Iterable[str],
        wanted: Iterable[str],
        is_committed: Callable[[str], bool] = lambda key: False,
    ) -> None:
        """Takes the graph of trials.

        Args:
            plan: The graph of trials.
            committed: Fingerprints that the store holds: they are not run again.
            wanted: Fingerprints to run, with everything upstream of them.
            is_committed: Asks the store, which knows better than a worker that died.
        """
        super().__init__()
        self.plan = plan
        self.done = set(committed)
        self.failed: set[str] = set()
        self.skipped: set[str] = set()
        self.running: dict[str, str] = {}
        self.stopped: str | None = None
        self.is_committed = is_committed
        self._readers = plan.dependents()
        order = plan.priorities()
        self.waiting = sorted(_closure(plan, wanted) - self.done, key=lambda key: -order[key])

    # Tune takes the word FINISHED here; its own hint leaves that out.
    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The settings of the next ready trial: its fingerprint and its label."""
        if self.stopped or not self.waiting:
            return str(Searcher.FINISHED)
        for key in self.waiting:
            if set(self.plan.trials[key].upstream.values()) <= self.done:
                self.waiting.remove(key)
                self.running[trial_id] = key
                return {"fingerprint": key, "label": self.plan.trials[key].label}
        return None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Frees what waited for the trial, or skips it where the trial failed."""
        key = self.running.pop(trial_id)
        if error and not self.is_committed(key):
            self.failed.add(key)
            self._skip(key)
        else:
            self.done.add(key)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing to learn from the metrics of an epoch."""

    def stop(self, reason: str) -> None:
        """Suggests nothing more: the run ends when the running trials have."""
        self.stopped = self.stopped or reason

    def save(self, checkpoint_path: str) -> None:
        """Nothing is saved: the store is the truth, and a run starts from it."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing is restored: the store is the truth, and a run starts from it."""

    def _skip(self, key: str) -> None:
        """Takes everything downstream of a failed trial off the list."""
        for reader in self._readers[key]:
            if reader in self.waiting:
                self.waiting.remove(reader)
                self.skipped.add(reader)
                self._skip(reader)


def _closure(plan: Plan, wanted: Iterable[str]) -> set[str]:
    """Some trials and everything upstream of them."""
    found: set[str] = set()
    stack = list(wanted)
    trials: Mapping[str, Any] = plan.trials
    while stack:
        key = stack.pop()
        if key not in found:
            found.add(key)
            stack.extend(trials[key].upstream.values())
    return found
