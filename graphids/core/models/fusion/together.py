"""All seeds of a fusion head trained in one process, each as though it were alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from graphids.core.models.fusion.bandit import BanditFusionModule
from graphids.core.models.fusion.bandit_learner import BanditLearner
from graphids.core.models.fusion.dqn import DQNFusionModule
from graphids.core.models.fusion.learner import DIVERGED, Learner, Training, heads_of
from graphids.core.models.fusion.mlp import MLPFusionModule, StackedMLP
from graphids.core.models.fusion.moe import MoEFusionModule, StackedMoE
from graphids.core.models.fusion.q_learner import QLearner
from graphids.core.models.fusion.stacked import padded
from graphids.core.models.fusion.supervised import SupervisedLearner
from graphids.core.models.fusion.weighted_avg import StackedWeightedAvg, WeightedAvgModule


def build_learner(trainings: Sequence[Training]) -> Learner:
    """What trains heads of one kind, equal settings and equal numbers of states; a bandit alone.

    Raises:
        TypeError: The kind has no such training, or there are several.
    """
    head = trainings[0].head
    match head:
        case MLPFusionModule():
            return SupervisedLearner(trainings, StackedMLP(heads_of(MLPFusionModule, trainings)))
        case MoEFusionModule():
            return SupervisedLearner(trainings, StackedMoE(heads_of(MoEFusionModule, trainings)))
        case WeightedAvgModule():
            averages = heads_of(WeightedAvgModule, trainings)
            return SupervisedLearner(trainings, StackedWeightedAvg(averages))
        case DQNFusionModule():
            return QLearner(trainings)
        case BanditFusionModule():
            (training,) = trainings
            return BanditLearner(head, training)
    raise TypeError(
        f"{type(head).__name__} has no training of several seeds; train it through a Trainer"
    )


def train_together(
    trainings: Sequence[Training],
    *,
    epochs: int,
    batch_size: int,
    on_epoch: Callable[[int, Mapping[int, Mapping[str, float]]], None],
) -> list[Exception | None]:
    """Trains heads of one kind and equal settings in place.

    What a seed becomes does not depend, to the last bit, on which others train beside it, as long
    as torch runs on one thread. Seeds with other numbers of states or of features go their own way
    in the same epochs.

    Args:
        trainings: The seeds; their heads are left as the last epoch made them.
        epochs: Passes over the states.
        batch_size: Windows of a batch.
        on_epoch: Takes each epoch and its metrics by the index of the seed, diverged ones left out.

    Returns:
        For each seed why it diverged, or none.
    """
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, training in enumerate(trainings):
        alone = isinstance(training.head, BanditFusionModule)
        width = training.head.feature_mean.numel()
        alike[len(training.states), width, index if alone else -1].append(index)
    cohorts = [_Cohort(indices, [trainings[i] for i in indices]) for indices in alike.values()]
    for epoch in range(epochs):
        metrics: dict[int, Mapping[str, float]] = {}
        for cohort in cohorts:
            metrics |= cohort.epoch(batch_size)
        if not metrics:
            break
        on_epoch(epoch, metrics)
    failures = {index: error for cohort in cohorts for index, error in cohort.finish().items()}
    return [failures.get(index) for index in range(len(trainings))]


class _Cohort:
    """Seeds whose tensors have one shape.

    Args:
        indices: Index of each seed among all.
        trainings: The seeds.
    """

    def __init__(self, indices: Sequence[int], trainings: Sequence[Training]) -> None:
        self.indices = indices
        self.orders = [training.order for training in trainings]
        self.num_states = len(trainings[0].states)
        self.learner = build_learner(trainings)
        self.failures: dict[int, Exception] = {}

    def epoch(self, batch_size: int) -> dict[int, dict[str, float]]:
        """One pass over the states; metrics by the index of the seed."""
        if len(self.failures) == len(self.indices):
            return {}
        try:
            self.learner.begin_epoch()
            for rows, used in self._batches(batch_size):
                self.learner.learn(rows, used)
        except DIVERGED as error:
            self.failures = dict.fromkeys(self.indices, error)
        found = {}
        for k, index in enumerate(self.indices):
            if index not in self.failures:
                try:
                    found[index] = self.learner.metrics(k)
                except DIVERGED as error:
                    self.failures[index] = error
        return found

    def _batches(self, batch_size: int) -> Iterator[tuple[Tensor, int]]:
        """Rows ``[K, R]`` of shuffled states, padded with the first state, and how many count."""
        orders = [torch.randperm(self.num_states, generator=g) for g in self.orders]
        for rows in torch.stack(orders).split(batch_size, dim=1):
            used = rows.shape[1]
            yield functional.pad(rows, (0, padded(used) - used)), used

    def finish(self) -> dict[int, Exception]:
        """Leaves the heads trained; failures by the index of the seed."""
        for k, index in enumerate(self.indices):
            if index not in self.failures:
                self.learner.finish(k)
        return self.failures
