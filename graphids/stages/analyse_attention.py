"""Which messages a classifier attends to, in a few windows, by the ids that stood on the bus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphids.core.memory import trial_device
from graphids.core.models import GAT
from graphids.data.loader import gather_batch
from graphids.data.packed import PackedGraphs
from graphids.grid.trial import Trial
from graphids.stages.analyse_models import LIGHT
from graphids.stages.classify import Classify
from graphids.stages.dataset import Prepared
from graphids.stages.detect import load_detector
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.protocol import Demand, Report, Sizes, Stage

ATTENTION_FILE = "attention"
MOST = 50
"""Windows beyond which nobody looks."""


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Attention weights of a trained classifier in a few test windows: any convolution has them.

    Each attack window stands before a benign one of the same test subset; attack types take turns.
    Where there is no attack window all are benign.
    """

    name: ClassVar[str] = "attention"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    classifier: Classify
    """The stage that trains the classifier."""
    windows: int = 12
    """Most windows, at most ``MOST``; drawn at random."""

    def __post_init__(self) -> None:
        if not 2 <= self.windows <= MOST:
            raise ValueError(f"windows must lie between 2 and {MOST} (got {self.windows})")

    def upstream(self) -> Mapping[str, Stage]:
        """The prepared dataset and the classifier."""
        return {"data": self.classifier.data, "classifier": self.classifier}

    def demand(self, inputs: Sizes) -> Demand:
        """A core, for a second."""
        return LIGHT

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Reads the weights of every convolution, window by window.

        The file holds windows ``W`` with nodes ``V`` and edges ``E`` as the convolutions see them:
        ``arbitration_id [V]``; ``edge_index [2, E]``, source and target, numbered in the window;
        ``weights [layers, E, heads]``, which add up to 1 over the edges into a node; ``node_ptr``
        and ``edge_ptr [W + 1]``; ``label``, ``attack_type``, ``split``, ``capture``,
        ``first_message`` and ``score [W]``.

        Raises:
            ValueError: No test subset has a window.
        """
        prepared, model = Prepared.of(inputs["data"]), load_detector(inputs["classifier"])
        assert isinstance(model, GAT)
        chosen = list(_chosen(prepared.tests, self.windows // 2, trial.seed or 0))
        if not chosen:
            raise ValueError(
                f"no test subset of {trial.dataset} has a window to look at; leave this analysis "
                "out for it"
            )
        found: dict[str, list[Tensor]] = {}
        for name, index in chosen:
            one = _window(model, prepared.tests[name], index)
            one["split"] = torch.tensor([list(prepared.tests).index(name)])
            for key, values in one.items():
                found.setdefault(key, []).append(values.cpu())
        report({"windows": float(len(chosen))})
        along = {"edge_index": 1, "weights": 1}
        tensors = {key: torch.cat(parts, along.get(key, 0)) for key, parts in found.items()}
        for what in ("node", "edge"):
            counts = tensors.pop(f"{what}s")
            tensors[f"{what}_ptr"] = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
        return Handoff(files={ATTENTION_FILE: TensorFile(tensors)}, meta=_meta(prepared, model))


def _meta(prepared: Prepared, model: GAT) -> dict[str, Any]:
    """Names behind the numbers of the file."""
    return {
        "splits": list(prepared.tests),
        "attack_names": {str(code): name for code, name in prepared.attack_names.items()},
        "conv": model.hparams["conv_type"],
        "threshold": model.decision_threshold,
    }


@torch.no_grad()
def _window(model: GAT, graphs: PackedGraphs, index: int) -> dict[str, Tensor]:
    """What is kept of one window."""
    batch = gather_batch(graphs, torch.tensor([index])).to(trial_device())
    layers = model.attention_weights(batch)
    edges = layers[0][0]
    return {
        "arbitration_id": batch.arbitration_id,
        "edge_index": edges,
        "weights": torch.stack([weights for _, weights in layers]),
        "nodes": torch.tensor([batch.num_nodes]),
        "edges": torch.tensor([edges.shape[1]]),
        "label": batch.y,
        "attack_type": batch.attack_type,
        "capture": graphs.capture[index : index + 1],
        "first_message": graphs.first_message[index : index + 1],
        "score": model.predict_scores(batch),
    }


def _chosen(tests: Mapping[str, PackedGraphs], most: int, seed: int) -> Iterator[tuple[str, int]]:
    """An attack window, a benign one of its subset where there is one, and so on, ``most`` times.

    Attack types take turns, and so do the subsets of each of them. Without any attack benign
    windows alone, the subsets in turn.
    """
    chance = torch.Generator().manual_seed(seed)
    by_type: dict[int, list[list[tuple[str, int]]]] = {}
    benign: dict[str, list[int]] = {}
    for name, graphs in tests.items():
        order = torch.randperm(len(graphs), generator=chance)
        benign[name] = order[graphs.y[order] == 0].tolist()
        attacks = order[graphs.y[order] == 1]
        for code in graphs.attack_type[attacks].unique().tolist():
            own = attacks[graphs.attack_type[attacks] == code].tolist()
            by_type.setdefault(code, []).append([(name, index) for index in own])
    turns = _in_turn([list(_in_turn(lists)) for _, lists in sorted(by_type.items())])
    for name, index in islice(turns, most):
        yield name, index
        if benign[name]:
            yield name, benign[name].pop()
    if not by_type:
        rest = _in_turn([[(name, index) for index in own] for name, own in benign.items()])
        yield from islice(rest, most)


def _in_turn(lists: list[list[tuple[str, int]]]) -> Iterator[tuple[str, int]]:
    """One of each list, then the next of each, until all are empty."""
    for row in zip_longest(*lists):
        yield from (one for one in row if one is not None)
