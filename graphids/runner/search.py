"""A Tune searcher that suggests ready trials, the longest path first: the grid runs as a dataflow.

It suggests a trial the moment its inputs are committed, ``None`` while everything that is left
waits for something that runs, and ``FINISHED`` when nothing is left that runs or can run. Before
the first trial of a shape that was never measured it suggests a probe of that shape, where it can
before the last input of the trial is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ray.tune.search import Searcher

from graphids.runner.jobs import Fate, Job, Knowledge
from graphids.runner.packing import MOST_RETRIES
from graphids.runner.plan import Plan
from graphids.stages.protocol import Together

MOST_TOGETHER = 16
"""Most trials of one process: what it has not committed yet is lost with it."""
OUT_OF_MEMORY = ("oom", "died")
"""Kinds of failure after which a trial runs again with more memory: a process that was killed
could not tell why, and memory is the common reason."""


class ReadyTrials(Searcher):
    """Hands out the trials of a plan in the order in which their inputs appear."""

    def __init__(
        self,
        plan: Plan,
        committed: Iterable[str],
        wanted: Iterable[str],
        knowledge: Knowledge | None = None,
    ) -> None:
        """Takes the graph of trials.

        Args:
            plan: The graph of trials.
            committed: Fingerprints that the store holds: they are not run again.
            wanted: Fingerprints to run, with everything upstream of them.
            knowledge: What is asked while the grid runs.
        """
        super().__init__()
        self.plan = plan
        self.knowledge = knowledge or Knowledge()
        self.done = set(committed)
        self.failed: set[str] = set()
        self.skipped: set[str] = set()
        self.running: dict[str, Job] = {}
        self.attempts: dict[str, int] = {}
        self.stopped: str | None = None
        self._fates: dict[str, Fate] = {}
        self._probed: set[str] = set()
        self._ahead: list[Job] = []
        self._pending: dict[str, Any] = {}
        self._freed = False
        self._readers = plan.dependents()
        order = plan.priorities()
        self.waiting = sorted(_closure(plan, wanted) - self.done, key=lambda key: -order[key])

    # Tune takes the word FINISHED here; its own hint leaves that out.
    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The next job as Tune's settings."""
        # What runs may come back with the need of more memory: FINISHED is the last word.
        if self.stopped or not (self.waiting or self.running):
            return str(Searcher.FINISHED)
        job = self._next() or self._keeping()
        if job is None:
            return None
        config = {**job.config(), **self.knowledge.reserve(job)}
        if job.awaits is not None and self._in_the_way(config):
            return None
        if job.probe is None:
            for key in job.keys:
                self.waiting.remove(key)
        else:
            self._probed.add(job.probe)
        self.running[trial_id] = job
        self._pending[trial_id] = config.get("bundle")
        return config

    def begin(self, trial_id: str) -> None:
        """A job has been given to a worker."""
        self._pending.pop(trial_id, None)

    def _next(self) -> Job | None:
        """What can run now; a group that is not whole yet only where nothing else can."""
        while self._ahead:
            job = self._ahead.pop(0)
            if job.probe not in self._probed and job.keys[0] in self.waiting:
                return job
        incomplete: Job | None = None
        seen: set[str] = set()
        probing = {job.probe for job in self.running.values()}
        for key in self.waiting:
            if key in seen or not self._ready(key):
                continue
            shape = self.knowledge.unmeasured(key)
            if shape is None:
                group = self._group(key)
                ready = tuple(other for other in group if self._ready(other))
                keys = ready[:MOST_TOGETHER]
                job = Job(keys=keys, label=self._label(keys), attempt=self.attempts.get(key, 0))
                if len(ready) >= min(len(group), MOST_TOGETHER):
                    return job
                incomplete = incomplete or job
                seen.update(group)
            elif shape not in self._probed:
                return self._probe(key, shape)
            elif shape not in probing:
                # It was probed in vain: the trial runs on an estimate.
                attempt = self.attempts.get(key, 0)
                return Job(keys=(key,), label=self.plan.trials[key].label, attempt=attempt)
        return incomplete

    def _probe(self, key: str, shape: str) -> Job:
        """A probe of the shape of a trial."""
        return Job(keys=(key,), label=f"probe {self.plan.trials[key].label}", probe=shape)

    def _probe_ahead(self, key: str) -> None:
        """Has a trial measured that waits for another input: that one's end frees many at once."""
        if key in self.waiting and not self._ready(key) and self._prepared(key):
            shape = self.knowledge.unmeasured(key)
            if shape is not None:
                self._ahead.append(self._probe(key, shape))

    def _keeping(self) -> Job | None:
        """A job for a worker that nothing can use before another job has ended.

        Tune keeps one idle worker at most and ends the others, and the imports of a new one take
        seconds. At the start of a run this is how workers are warmed.
        """
        works = any(job.awaits is None for job in self.running.values())
        if not works or not self.waiting:
            return None
        return Job(keys=(), label="keep a worker", awaits=self.knowledge.told())

    def _in_the_way(self, config: Mapping[str, Any]) -> bool:
        """Whether a job that only keeps a worker could take what one waits for that works.

        Until the first job has ended every worker is yet to come, and one like another.
        """
        return any(
            bundle != config.get("bundle") or (self._freed and self.running[job].awaits is None)
            for job, bundle in self._pending.items()
        )

    def _ready(self, key: str) -> bool:
        """Whether a trial's inputs are all committed."""
        return set(self.plan.trials[key].upstream.values()) <= self.done

    def _prepared(self, key: str) -> bool:
        """Whether the datasets at the beginning of a trial's chain are committed."""
        upstream = self.plan.trials[key].upstream.values()
        return all(map(self._prepared, upstream)) if upstream else key in self.done

    def _group(self, key: str) -> Sequence[str]:
        """Waiting trials that may share a process with a trial, itself included."""
        trial = self.plan.trials[key]
        alone = key in self.attempts or not isinstance(trial.stage, Together)
        if alone or not self.knowledge.together:
            return [key]
        return [
            other
            for other in self.waiting
            if self.plan.trials[other].stage == trial.stage
            and self.plan.trials[other].dataset == trial.dataset
            and other not in self.attempts
        ]

    def _label(self, keys: Sequence[str]) -> str:
        """Name of a job: its only trial's, or the first one's and how many there are."""
        first = self.plan.trials[keys[0]].label
        return first if len(keys) == 1 else f"{first} and {len(keys) - 1} seeds more"

    def fate(self, trial_id: str) -> Fate:
        """What becomes of the trials of a job that ended with an error; asked by whoever is first.

        A trial that ran out of memory runs again, at most ``MOST_RETRIES`` times; its neighbours in
        the same process are not touched.
        """
        if trial_id not in self._fates:
            fate = self._fates[trial_id] = Fate()
            for key in self.running[trial_id].keys:
                if self.running[trial_id].probe or self.knowledge.is_committed(key):
                    continue
                kind = (self.knowledge.failure(key) or {"kind": "died"})["kind"]
                again = kind in OUT_OF_MEMORY and self.attempts.get(key, 0) < MOST_RETRIES
                (fate.again if again else fate.failed).append(key)
        return self._fates[trial_id]

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Frees what waited for the trials, skips it where they failed, or queues them again."""
        fate = self.fate(trial_id) if error else Fate()
        job = self.running.pop(trial_id)
        self.begin(trial_id)
        self._freed = True
        if job.probe:
            return
        for key in fate.again:
            self.attempts[key] = self.attempts.get(key, 0) + 1
            self.waiting.insert(0, key)
        for key in fate.failed:
            self.failed.add(key)
            self._skip(key)
        done = set(job.keys) - set(fate.failed) - set(fate.again)
        self.done |= done
        # Datasets are behind everything: what else reads only one is measured when its turn comes.
        trained = [key for key in job.keys if key in done and self.plan.trials[key].upstream]
        for key in trained:
            for reader in self._readers[key]:
                self._probe_ahead(reader)

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
