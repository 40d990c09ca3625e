"""Which windows the vocabulary is read from."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from graphids.data.packed import PackedGraphs
from graphids.data.splits import Part
from graphids.data.vocabulary import Vocabulary

SCOPES = ("train", "benign", "all")
"""Training windows; benign ones among them; training windows and every test set."""


def vocabulary_of(
    train: PackedGraphs, part: Tensor, tests: Iterable[PackedGraphs], scope: str = "train"
) -> Vocabulary:
    """Vocabulary of the windows in ``scope``; those of validation blocks never bear on it.

    ``all`` is for ablation alone: it knows the ids of the vehicles that tests hold out.

    Args:
        train: graphs of the training captures.
        part: part of each of them ``[G]``, values of ``Part``.
        tests: graphs of the test sets; read with the scope ``all`` alone.
        scope: one of ``SCOPES``.

    Raises:
        ValueError: if there is no such scope, or no window in it.
    """
    if scope not in SCOPES:
        raise ValueError(f"vocabulary scope must be one of {', '.join(SCOPES)} (got {scope!r})")
    chosen = part == Part.TRAIN
    if scope == "benign":
        chosen &= train.y == 0
    ids = [train.arbitration_id[chosen.repeat_interleave(train.num_nodes)]]
    if scope == "all":
        ids += [graphs.arbitration_id for graphs in tests]
    known = torch.cat(ids)
    if known.numel() == 0:
        raise ValueError(
            f"no window in the vocabulary scope {scope!r} among {len(train)} of training captures; "
            "check the split, or choose the scope 'train'"
        )
    return Vocabulary.from_ids(known)
