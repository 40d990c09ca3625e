"""Id encoders: unknown and hidden rows, construction by path and by typed settings."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from graphids.core.batch import GraphBatch
from graphids.core.models import VGAE, build_encoder
from graphids.core.models.id_encoding import (
    HIDDEN_ID,
    UNK_INDEX,
    HashEncodingCfg,
    HashIdEncoder,
    IdEncodingCfg,
    LookupEncodingCfg,
    LookupIdEncoder,
    encoding_cfg,
)

PACKAGE = "graphids.core.models.id_encoding"
LOOKUP, HASH = f"{PACKAGE}.LookupIdEncoder", f"{PACKAGE}.HashIdEncoder"


def test_d28_the_unknown_row_is_trained_by_dropping_ids() -> None:
    ids = torch.arange(1, 500)
    for p_unk_drop, trained in ((0.5, True), (0.0, False)):
        encoder = LookupIdEncoder(500, 4, p_unk_drop=p_unk_drop)
        encoder(ids).sum().backward()
        assert bool(encoder.table.weight.grad[UNK_INDEX].abs().sum() > 0) is trained


def test_d28_an_untrained_unknown_row_is_neutral() -> None:
    for encoder in (LookupIdEncoder(10, 4), HashIdEncoder(8, 4)):
        assert encoder(torch.tensor([encoder.unknown_value])).abs().sum() == 0


@pytest.mark.parametrize("path", [LOOKUP, HASH])
def test_ids_are_dropped_in_training_alone(path: str) -> None:
    encoder = build_encoder(path, 1000, 3, p_unk_drop=0.5)
    ids = torch.arange(1, 1000)
    assert 300 < int((encoder(ids) == 0).all(-1).sum()) < 700
    assert not (encoder.eval()(ids) == 0).all(-1).any()


@pytest.mark.parametrize("path", [LOOKUP, HASH])
def test_a_hidden_id_is_its_own_and_never_dropped(path: str) -> None:
    encoder = build_encoder(path, 10, 3, p_unk_drop=0.9, mask_index=9)
    assert encoder.mask_value == (9 if encoder.reads == "node_id" else HIDDEN_ID)
    hidden = encoder(torch.full((500,), encoder.mask_value))
    assert torch.equal(hidden, hidden[:1].expand(500, 3))
    assert int((encoder(torch.full((500,), 8)) == 0).all(-1).sum()) > 300
    encoder.eval()
    known = [n for n in range(10) if n != encoder.mask_value]
    assert (torch.cdist(hidden[:1], encoder(torch.tensor(known))) > 1e-3).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"id_encoder_kwargs": {"p_unk_drop": 0.9}},
        {"id_encoder_cfg": LookupEncodingCfg(p_unk_drop=0.9)},
    ],
)
def test_the_row_of_unknown_ids_learns_nothing_from_hidden_nodes(
    settings: dict[str, object], make_batch: Callable[..., GraphBatch]
) -> None:
    batch = make_batch()
    model = VGAE(num_ids=20, in_channels=35, **settings)  # type: ignore[arg-type]
    everything = torch.ones(batch.num_nodes, dtype=torch.bool)
    model(batch, everything).reconstruction.sum().backward()
    gradient = model.net.input.id_encoder.table.weight.grad
    assert gradient[UNK_INDEX].abs().sum() == 0
    assert gradient[20].abs().sum() > 0


def test_an_autoencoder_hides_nodes_from_a_hash_as_well(
    make_batch: Callable[..., GraphBatch],
) -> None:
    batch = make_batch()
    model = VGAE(num_ids=20, in_channels=35, id_encoder_cfg=HashEncodingCfg()).eval()
    other = replace(batch, arbitration_id=batch.arbitration_id + 1)
    everything = torch.ones(batch.num_nodes, dtype=torch.bool)
    shown, hidden = (
        torch.allclose(model(batch, mask).z, model(other, mask).z) for mask in (None, everything)
    )
    assert (shown, hidden) == (False, True)


def test_an_encoder_says_which_ids_it_reads(make_batch: Callable[..., GraphBatch]) -> None:
    batch = make_batch()
    assert LookupIdEncoder(20, 4).ids_of(batch) is batch.node_id
    assert HashIdEncoder(64, 4).ids_of(batch) is batch.arbitration_id


@pytest.mark.parametrize(
    ("path", "cfg"),
    [
        (LOOKUP, LookupEncodingCfg(embedding_dim=7, p_unk_drop=0.2)),
        (HASH, HashEncodingCfg(embedding_dim=7, p_unk_drop=0.2, k=3, num_buckets=50)),
    ],
)
def test_built_by_path_or_by_settings(path: str, cfg: IdEncodingCfg) -> None:
    plain = cfg.to_plain()
    assert encoding_cfg(plain) == cfg
    assert cfg.class_path == path
    by_path = build_encoder(path, 12, **{k: v for k, v in plain.items() if k != "kind"})  # type: ignore[arg-type]
    for encoder in (by_path, cfg.build(12)):
        assert (encoder.out_dim, encoder.p_unk_drop) == (7, 0.2)
        assert encoder(torch.tensor([0, 11])).shape == (2, 7)


def test_a_kind_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="of kind 'hash2'; there are lookup, hash"):
        encoding_cfg({"kind": "hash2"})


def test_an_unknown_path_is_an_error_and_imports_nothing() -> None:
    before = set(sys.modules)
    with pytest.raises(ValueError, match=r"antigravity\.Encoder.*not registered"):
        build_encoder("antigravity.Encoder", 12, 5)
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    "settings", [{"p_unk_drop": 1.0}, {"p_unk_drop": -0.1}, {"embedding_dim": 0}]
)
@pytest.mark.parametrize("kind", [LookupEncodingCfg, HashEncodingCfg])
def test_ranges(kind: type[IdEncodingCfg], settings: dict[str, float]) -> None:
    name = next(iter(settings))
    with pytest.raises(ValueError, match=name):
        kind(**settings)
    with pytest.raises(ValueError, match=name):
        build_encoder(kind.class_path, 12, **{"embedding_dim": 4, **settings})  # type: ignore[arg-type]
