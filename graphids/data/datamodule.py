"""What a Lightning Trainer and a model are given: loaders over the parts of a packed dataset."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from graphids.core.budget import Budget
from graphids.data.loader import BudgetLoader
from graphids.data.messages import ATTACK_CODES, attack_name
from graphids.data.packed import PackedGraphs
from graphids.data.splits import Part


class GraphDataModule(LightningDataModule):
    """Loaders over training captures, split into parts, and over test sets.

    Training batches differ from epoch to epoch, in number too, so a Trainer needs
    ``reload_dataloaders_every_n_epochs=1``.
    """

    def __init__(
        self,
        train: PackedGraphs,
        part: Tensor,
        tests: Mapping[str, PackedGraphs],
        budget: Budget,
        seed: int,
        benign_only: bool = False,
        *,
        index: Tensor | None = None,
        holds: tuple[int, int] | None = None,
    ) -> None:
        """Sets up the loaders.

        Args:
            train: scaled windows of the training captures.
            part: part of each of them ``[G]``, values of ``Part``.
            tests: scaled windows of each test set, by name.
            budget: nodes and edges of a batch; its fewest batches count for training alone.
            seed: draws the order of training batches.
            benign_only: train on benign windows alone; validation is not filtered.
            index: the training windows to train on ``[n]``, int64 without repeats; all by default.
                Other loaders are not filtered.
            holds: nodes and edges that the device holds at once, where that is less than a batch;
                evaluation batches are cut to it, training batches are for the trainer to split.

        Raises:
            ValueError: if parts and windows do not match, if vocabularies differ, if ``index``
                holds what is no window to train on, or if nothing is left to train on.
        """
        super().__init__()
        if part.shape != train.y.shape:
            raise ValueError(f"part has shape {tuple(part.shape)}, there are {len(train)} windows")
        for name, graphs in tests.items():
            if graphs.num_ids != train.num_ids:
                raise ValueError(
                    f"test set {name!r} has {graphs.num_ids} ids, training has {train.num_ids}: "
                    "map it with the training vocabulary (PackedGraphs.with_vocabulary)"
                )
        self.train = train
        self.part = part
        self.tests = dict(tests)
        self.budget = budget
        self._eval_budget = budget.within(holds)
        in_training = part == Part.TRAIN
        self._benign = (in_training & (train.y == 0)).nonzero().flatten()
        kind = "benign training" if benign_only else "training"
        usable = self._benign if benign_only else in_training.nonzero().flatten()
        if index is not None:
            usable = _checked(index, usable, kind)
        if usable.numel() == 0:
            raise ValueError(
                f"no {kind} window among {len(train)}; check the split of the captures"
            )
        self._train_loader = BudgetLoader(
            train, budget, generator=torch.Generator().manual_seed(seed), index=usable
        )

    @property
    def num_ids(self) -> int:
        """Size of the vocabulary, the unknown id included."""
        return self.train.num_ids

    @property
    def in_channels(self) -> int:
        """Node features."""
        return self.train.num_features

    @property
    def num_classes(self) -> int:
        """Benign and attack."""
        return 2

    @property
    def test_names(self) -> tuple[str, ...]:
        """Names of the test sets, in the order of ``test_dataloader()``."""
        return tuple(self.tests)

    @property
    def attack_names(self) -> dict[int, str]:
        """Name of each attack code."""
        return {code: attack_name(code) for code in sorted({0, *ATTACK_CODES.values()})}

    def train_dataloader(self) -> BudgetLoader:
        """Training windows, a new order each epoch; the same loader at each call."""
        return self._train_loader

    def val_dataloader(self) -> BudgetLoader:
        """First halves of the validation blocks: early stopping."""
        return self._fixed(Part.STOP)

    def calibration_dataloader(self) -> BudgetLoader:
        """Second halves of the validation blocks: thresholds and calibration."""
        return self._fixed(Part.CALIBRATION)

    def train_eval_dataloader(self) -> BudgetLoader:
        """Benign training windows in fixed order."""
        return BudgetLoader(self.train, self._eval_budget, index=self._benign)

    def test_dataloader(self) -> list[BudgetLoader]:
        """Every window of each test set in fixed order, by ``test_names``."""
        return [BudgetLoader(graphs, self._eval_budget) for graphs in self.tests.values()]

    def _fixed(self, part: Part) -> BudgetLoader:
        """Windows of one part in fixed order."""
        index = (self.part == part).nonzero().flatten()
        return BudgetLoader(self.train, self._eval_budget, index=index)


def _checked(index: Tensor, usable: Tensor, kind: str) -> Tensor:
    """``index``, once it is known to choose among the ``usable`` windows, each at most once."""
    if index.dtype != torch.int64 or index.dim() != 1:
        raise ValueError(
            f"index must be int64 [n], positions of windows (got {index.dtype} "
            f"{tuple(index.shape)}); take nonzero().flatten() of a mask"
        )
    foreign = index[~torch.isin(index, usable)]
    if foreign.numel():
        raise ValueError(
            f"index holds {foreign.numel()} positions that are no {kind} window, "
            f"the first {int(foreign[0])}; choose among part == Part.TRAIN"
        )
    if index.unique().numel() < index.numel():
        raise ValueError("index holds a window twice; an epoch sees each window once")
    return index
