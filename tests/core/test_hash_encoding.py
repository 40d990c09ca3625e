"""The hash encoder: its hash functions, the size of its table, and what it says of unseen ids."""

from __future__ import annotations

import inspect

import pytest
import torch

from graphids.core.models.id_encoding import HashEncodingCfg, HashIdEncoder

STANDARD_IDS = torch.arange(2048)


def distinct(encoder: HashIdEncoder) -> int:
    """Different bucket sets of the standard ids; a sum does not tell an order of buckets."""
    return int(encoder.buckets(STANDARD_IDS).sort(dim=-1).values.unique(dim=0).shape[0])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("num_buckets", [512, 1000, 2048])
def test_d27_probes_differ_and_full_collisions_are_rare(seed: int, num_buckets: int) -> None:
    encoder = HashIdEncoder(num_buckets, 2, k=2, seed=seed)
    buckets = encoder.buckets(STANDARD_IDS)
    assert int(buckets.min()) >= 0
    assert int(buckets.max()) < num_buckets
    equal = (buckets[:, 0] == buckets[:, 1]).float().mean()
    assert equal < 10 / num_buckets
    # Among random pairs of buckets 2048 ^ 2 / num_buckets ^ 2 ids are not told apart.
    assert 2048 - distinct(encoder) <= 3 + 3 * (2048 / num_buckets) ** 2


@pytest.mark.parametrize("seed", range(5))
def test_no_bucket_draws_ids_at_equal_distances(seed: int) -> None:
    """An arithmetic sequence fills the buckets as evenly as random ids do."""
    encoder = HashIdEncoder(512, 2, seed=seed)
    for distance in (1, 2, 3, 5, 16, 100, 256):
        buckets = encoder.buckets(torch.arange(512) * distance)
        assert int(torch.bincount(buckets[:, 0], minlength=512).max()) <= 12


def test_extended_ids_are_hashed_whole() -> None:
    encoder = HashIdEncoder(2048, 2)
    ids = torch.tensor([0x0CF00400, 0x0CF00401, 0x1FFFFFFF, 0x400, 0x401])
    assert encoder.buckets(ids).unique(dim=0).shape[0] == 5


def test_probes_are_as_many_as_asked_and_the_seed_decides() -> None:
    one, same, other = (HashIdEncoder(64, 2, k=4, seed=seed) for seed in (3, 3, 4))
    assert one.buckets(STANDARD_IDS).shape == (2048, 4)
    assert one.multipliers.unique().numel() == 4
    assert torch.equal(one.buckets(STANDARD_IDS), same.buckets(STANDARD_IDS))
    assert not torch.equal(one.buckets(STANDARD_IDS), other.buckets(STANDARD_IDS))
    assert "multipliers" in one.state_dict()


def test_the_state_carries_the_hash_functions() -> None:
    one, other = HashIdEncoder(64, 2, seed=1), HashIdEncoder(64, 2, seed=2)
    other.load_state_dict(one.state_dict())
    assert torch.equal(other(STANDARD_IDS), one(STANDARD_IDS))


def test_d27_unseen_ids_differ_from_one_another() -> None:
    encoder = HashIdEncoder.from_vocab_size(40, embedding_dim=8).eval()
    unseen = encoder(torch.tensor([0x7A1, 0x7A2, 0x5FF]))
    assert (torch.cdist(unseen, unseen) + torch.eye(3) > 0.1).all()


def test_a_vector_is_the_sum_of_its_buckets() -> None:
    encoder = HashIdEncoder(16, 3, k=3)
    ids = torch.tensor([5, 1000])
    for row, number in zip(encoder(ids), ids, strict=True):
        places = encoder.buckets(number.unsqueeze(0))[0]
        assert torch.allclose(row, sum(encoder.table.weight[int(place)] for place in places))


def test_vectors_are_as_long_as_those_of_a_table() -> None:
    for k in (1, 2, 4):
        lengths = HashIdEncoder(4096, 64, k=k)(STANDARD_IDS).detach().square().mean()
        assert 0.8 < float(lengths) < 1.3


@pytest.mark.parametrize(
    ("num_ids", "settings", "buckets"),
    [
        (1, {}, 8),
        (2, {}, 8),
        (3, {}, 16),
        (100, {}, 512),
        (128, {}, 512),
        (129, {}, 1024),
        (100, {"num_buckets_factor": 1}, 128),
        (100, {"num_buckets": 2048}, 2048),
    ],
)
def test_buckets_for_a_vocabulary(num_ids: int, settings: dict[str, int], buckets: int) -> None:
    encoder = HashIdEncoder.from_vocab_size(num_ids, embedding_dim=4, **settings)
    assert encoder.table.weight.shape == (buckets, 4)
    assert HashEncodingCfg(**settings).build(num_ids).num_buckets == buckets


def test_the_signature_is_the_contract() -> None:
    found = inspect.signature(HashIdEncoder.from_vocab_size).parameters.values()
    assert [(p.name, p.default) for p in found] == [
        ("num_ids", inspect.Parameter.empty),
        ("embedding_dim", inspect.Parameter.empty),
        ("k", 2),
        ("seed", 42),
        ("num_buckets_factor", 4),
        ("num_buckets", None),
    ]
    assert [p.kind for p in found][1:] == [inspect.Parameter.KEYWORD_ONLY] * 5


@pytest.mark.parametrize(
    "settings", [{"num_buckets": 1}, {"num_buckets": 0}, {"k": 0}, {"num_buckets_factor": 0}]
)
def test_ranges(settings: dict[str, int]) -> None:
    name = next(iter(settings))
    with pytest.raises(ValueError, match=f"{name} must be at least"):
        HashEncodingCfg(**settings)
    if name != "num_buckets_factor":
        with pytest.raises(ValueError, match=f"{name} must be at least"):
            HashIdEncoder(**{"num_buckets": 16, "embedding_dim": 4, **settings})
