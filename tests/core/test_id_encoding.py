"""Id encoders: the unknown row, construction by path and by typed settings."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch

from graphids.core.batch import GraphBatch
from graphids.core.models import VGAE, LookupEncodingCfg, LookupIdEncoder, build_encoder
from graphids.core.models.id_encoding import UNK_INDEX, encoding_cfg

PATH = "graphids.core.models.id_encoding.LookupIdEncoder"


def test_d28_the_unknown_row_is_trained_by_dropping_ids() -> None:
    ids = torch.arange(1, 500)
    for p_unk_drop, trained in ((0.5, True), (0.0, False)):
        encoder = LookupIdEncoder(500, 4, p_unk_drop=p_unk_drop)
        encoder(ids).sum().backward()
        assert bool(encoder.table.weight.grad[UNK_INDEX].abs().sum() > 0) is trained


def test_d28_an_untrained_unknown_row_is_neutral() -> None:
    assert LookupIdEncoder(10, 4)(torch.tensor([UNK_INDEX])).abs().sum() == 0


def test_ids_are_dropped_in_training_alone() -> None:
    encoder = LookupIdEncoder(1000, 3, p_unk_drop=0.5)
    ids = torch.arange(1, 1000)
    assert 300 < int((encoder(ids) == 0).all(-1).sum()) < 700
    assert torch.equal(encoder.eval()(ids), encoder.table(ids))


def test_a_hidden_id_is_never_dropped() -> None:
    encoder = LookupIdEncoder(10, 3, p_unk_drop=0.9, mask_index=9)
    hidden = torch.full((500,), 9)
    assert torch.equal(encoder(hidden), encoder.table(hidden))
    assert int((encoder(hidden - 1) == 0).all(-1).sum()) > 300


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


class RawIds(LookupIdEncoder):
    """An encoder of ids as they stand on the bus."""

    reads = "arbitration_id"


def test_an_autoencoder_refuses_an_encoder_that_cannot_hide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        VGAE, "make_id_encoder", lambda self, num_ids, mask_index: RawIds(num_ids, 4)
    )
    with pytest.raises(ValueError, match=r"RawIds reads arbitration_id"):
        VGAE(num_ids=20, in_channels=35)


def test_built_by_path_or_by_settings() -> None:
    encoder = build_encoder(PATH, 12, 5, p_unk_drop=0.1)
    assert (encoder.out_dim, encoder.p_unk_drop, encoder.reads) == (5, 0.1, "node_id")
    assert encoder(torch.tensor([0, 11])).shape == (2, 5)
    cfg = LookupEncodingCfg(embedding_dim=7, p_unk_drop=0.2)
    assert cfg.build(12).out_dim == 7
    assert encoding_cfg(cfg.to_plain()) == cfg
    with pytest.raises(ValueError, match="no id encoder is of kind 'hash2'"):
        encoding_cfg({"kind": "hash2"})


def test_an_unknown_path_is_an_error_and_imports_nothing() -> None:
    before = set(sys.modules)
    with pytest.raises(ValueError, match=r"antigravity\.Encoder.*not registered"):
        build_encoder("antigravity.Encoder", 12, 5)
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    "settings", [{"p_unk_drop": 1.0}, {"p_unk_drop": -0.1}, {"embedding_dim": 0}]
)
def test_ranges(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        LookupEncodingCfg(**settings)
