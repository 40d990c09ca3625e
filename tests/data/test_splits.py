"""Splits by blocks of time: sizes, embargo, classes, and the audit that nothing is shared."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
import torch
from torch import Tensor
from traffic import random_graphs, random_messages

from graphids.data.packed import PackedGraphs, build_graphs, concatenate
from graphids.data.splits import Part, audit, class_counts, class_notes, split, split_capture
from graphids.data.windows import overlap_reach

T, S, C, E = Part.TRAIN, Part.STOP, Part.CALIBRATION, Part.EMBARGO


def labels(n: int, *attacks: range) -> Tensor:
    y = torch.zeros(n, dtype=torch.int64)
    for block in attacks:
        y[list(block)] = 1
    return y


def runs(part: Tensor) -> list[tuple[Part, int]]:
    return [(Part(p), len(list(group))) for p, group in groupby(part.tolist())]


def obvious_start(y: list[int]) -> int:
    """The validation block by trying every start."""
    n = len(y)
    length = n // 5
    starts = range(n - length, -1, -1)
    if sum(y) in (0, n):
        return n - length
    for s in starts:
        block = y[s : s + length]
        if sum(block) / sum(y) >= 0.1 and 0 in block:
            return s
    return max(starts, key=lambda s: (sum(y[s : s + length]), 0 in y[s : s + length], s))


def test_an_attack_free_capture_is_validated_on_its_end() -> None:
    assert runs(split_capture(labels(100), 1)) == [(T, 79), (E, 1), (S, 10), (E, 1), (C, 9)]


def test_d15_the_latest_block_with_enough_attacks_validates_and_later_windows_train() -> None:
    """D-15: windows after the validation block are training windows."""
    y = labels(100, range(40, 60))
    assert runs(split_capture(y, 1)) == [(T, 57), (E, 1), (S, 10), (E, 1), (C, 9), (E, 1), (T, 21)]


def test_the_embargo_is_as_wide_as_the_overlap() -> None:
    y = labels(100, range(40, 60))
    assert runs(split_capture(y, 3)) == [(T, 55), (E, 3), (S, 9), (E, 3), (C, 8), (E, 3), (T, 19)]


@pytest.mark.parametrize("seed", range(40))
def test_the_block_is_the_one_that_trying_every_start_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 60))
    y = torch.from_numpy((rng.random(n) < rng.choice([0, 0.02, 0.3, 0.97, 1])).astype(np.int64))
    part = split_capture(y, 1)
    start = obvious_start(y.tolist())
    inside = torch.zeros(n, dtype=torch.bool)
    inside[start : start + n // 5] = True
    assert part.eq(S).any()
    assert bool((inside | ~(part.eq(S) | part.eq(C))).all())
    assert bool((part[start : start + n // 5] != T).all())
    assert int(part.eq(T).sum()) >= n - n // 5 - 2


def test_where_no_block_will_do_the_one_with_most_attacks_validates() -> None:
    """All attacks but one contiguous run fill every block that has enough of them."""
    y = labels(20, range(20))
    y[0] = 0
    assert runs(split_capture(y, 1))[0] == (S, 2)
    dense = labels(40, range(8), range(9, 17), range(18, 26), range(27, 35), range(36, 40))
    assert runs(split_capture(dense, 1))[-1] == (C, 3)


@pytest.mark.parametrize(("late", "start"), [(1, 68), (2, 80)])
def test_a_tenth_of_the_attacks_is_rounded_up(late: int, start: int) -> None:
    """One of eleven attack windows is less than a tenth."""
    y = labels(100, range(59 + late, 70), range(90, 90 + late))
    assert int(y.sum()) == 11
    assert int(split_capture(y, 1).eq(S).nonzero().min()) == start


@pytest.mark.parametrize("n", range(13))
def test_short_captures_are_split_without_error(n: int) -> None:
    part = split_capture(labels(n), 1)
    assert part.numel() == n
    assert int(part.eq(S).sum()) == int(n >= 5)


def packed(window: int, stride: int) -> PackedGraphs:
    rng = np.random.default_rng([window, stride])
    return concatenate(
        [
            build_graphs(random_messages(rng, n, attack_rate=rate), window, stride)
            for n, rate in ((4000, 0.0), (3000, 0.01), (5000, 0.002), (30, 0.0))
        ]
    )


@pytest.mark.parametrize(("window", "stride"), [(20, 20), (20, 19), (20, 10), (20, 7), (20, 1)])
def test_parts_share_no_window_and_no_message(window: int, stride: int) -> None:
    graphs = packed(window, stride)
    part = split(graphs, overlap_reach(window, stride))
    assert set(part.tolist()) == set(Part)
    assert all(count == 0 for pair in audit(graphs, part).values() for count in pair.values())
    for a, b in ((T, S), (T, C), (S, C)):
        assert not messages_of(graphs, part == a, window) & messages_of(graphs, part == b, window)


def messages_of(graphs: PackedGraphs, chosen: Tensor, window: int) -> set[tuple[int, int]]:
    """Capture and row of every message of the chosen windows."""
    pairs = zip(graphs.capture[chosen].tolist(), graphs.first_message[chosen].tolist(), strict=True)
    return {(capture, row) for capture, first in pairs for row in range(first, first + window)}


def test_the_audit_finds_what_a_random_split_shares() -> None:
    graphs = packed(20, 10)
    part = torch.randint(3, (len(graphs),), generator=torch.Generator().manual_seed(0))
    shared = audit(graphs, part)
    for a, b in ((T, S), (T, C), (S, C)):
        both = messages_of(graphs, part == a, 20) & messages_of(graphs, part == b, 20)
        assert shared[f"{a.name}-{b.name}".lower()] == {"windows": 0, "messages": len(both)}
    twice = graphs.select(torch.tensor([0, 0]))
    assert audit(twice, torch.tensor([T, C]))["train-calibration"] == {"windows": 1, "messages": 20}


def test_settings_of_a_split_are_named_where_they_are_wrong() -> None:
    for reach, unit in ((-1, 1), (0, 0)):
        with pytest.raises(ValueError, match="reach must be at least 0 and unit 1"):
            split(random_graphs(0, 20), reach, unit=unit)


def test_captures_are_split_one_by_one() -> None:
    parts = [random_graphs(seed, 50) for seed in range(3)]
    whole = split(concatenate(parts), 0)
    assert torch.equal(whole, torch.cat([split_capture(p.y, 1) for p in parts]))
    assert split(random_graphs(0, 0), 0).numel() == 0


def test_parts_that_lack_a_class_are_named() -> None:
    graphs = packed(20, 20)
    free = graphs.select((graphs.capture == 0).nonzero().flatten())
    counts = class_counts(free, split(free, 0))
    assert sum(n for part in counts.values() for n in part.values()) == len(free)
    assert class_notes(counts) == (
        "train: no attack window",
        "stop: no attack window",
        "calibration: no attack window",
    )
