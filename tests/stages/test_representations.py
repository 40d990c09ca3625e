"""What prepare makes of the captures: sequences, scales, scopes, relative inputs, bad rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_runs import CLASSIFY, TINY_GAT, run, value

from graphids.data.datasets import open_dataset
from graphids.data.scaling import Scaler
from graphids.data.splits import Part
from graphids.grid.trial import Trial
from graphids.stages import Prepare
from graphids.stages.dataset import Prepared
from graphids.stages.handoff import Handoff
from graphids.stages.representation import LEAD_IN, POOLED

TEST = "test_01_known_vehicle_known_attack"


@pytest.mark.parametrize(
    "stage",
    [
        Prepare(sequence_length=3),
        Prepare(sequence_length=2, sequence_stride=2, stride=50),
        Prepare(scales=(50, 100), stride=50),
        Prepare(relative_inputs=True),
    ],
    ids=["sequence", "overlapping_sequence", "multi_scale", "relative"],
)
def test_a_classifier_trains_on_every_representation(stage: Prepare) -> None:
    handoff = run(stage, {}, None)
    assert all(shared == {"windows": 0, "messages": 0} for shared in handoff.meta["audit"].values())
    assert handoff.meta["source_boundaries"] == 0
    data = Prepared.of(handoff)
    assert (data.train.step is not None) == (stage.sequence_length > 1)
    found = run(replace(CLASSIFY, data=stage, model=TINY_GAT), {"data": handoff})
    assert value(found, TEST, "n_windows") == len(data.tests[TEST])
    assert value(found, TEST, "auroc") is not None


def test_a_sequence_is_judged_by_its_last_window(prepared: Handoff) -> None:
    alone, joined = (Prepared.of(h) for h in (prepared, run(Prepare(sequence_length=3), {}, None)))
    single, sequence = alone.tests[TEST], joined.tests[TEST]
    label = {
        (int(c), int(f)): int(y)
        for c, f, y in zip(single.capture, single.first_message, single.y, strict=True)
    }
    assert [
        label[int(c), int(f)] for c, f in zip(sequence.capture, sequence.first_message, strict=True)
    ] == sequence.y.tolist()


def test_the_scaler_is_fitted_on_benign_windows_not_on_sequences(prepared: Handoff) -> None:
    """A sequence whose last window is benign may hold attacks before it."""
    sequences = run(Prepare(sequence_length=3), {}, None)
    # The embargo of sequences is wider, so a few training windows fewer are left to fit on.
    for handoff in (prepared, sequences):
        assert Scaler.from_tensors(handoff.files["scaler"].tensors).x_scale.shape == (35,)
    first, second = (h.files["scaler"].tensors["x_center"] for h in (prepared, sequences))
    torch.testing.assert_close(first, second, rtol=0.05, atol=0.5)


def test_vocabulary_scopes(prepared: Handoff) -> None:
    ids = {
        scope: set(run(Prepare(vocabulary=scope), {}, None).meta["vocabulary"]["ids"])
        for scope in ("benign", "all")
    }
    train = set(prepared.meta["vocabulary"]["ids"])
    assert ids["benign"] < train < ids["all"]


def test_windows_keep_what_simple_detectors_read(prepared: Handoff) -> None:
    """Pooled features and the lead-in are unscaled and do not follow how nodes are described."""
    relative = run(Prepare(relative_inputs=True, scaler="robust"), {}, None)
    for name in ("train", TEST):
        for tensor in (POOLED, LEAD_IN):
            first, second = (h.files[name].tensors[tensor] for h in (prepared, relative))
            assert torch.equal(first, second)
            assert len(first) == len(prepared.files[name].tensors["y"])
    x = [h.files[TEST].tensors["x"] for h in (prepared, relative)]
    assert not torch.equal(*x)


def write_damaged(root: Path, bad_rows: int) -> None:
    """A dataset of two captures of 20,000 rows, some without a label."""
    header = "timestamp,arbitration_id,data_field,attack\n"
    for subset, attack in (("train_01_attack_free", 0), ("train_02_with_attacks", 1)):
        folder = root / "own" / subset
        folder.mkdir(parents=True)
        rows = [
            f"{1.0 + i / 1000:.6f},{0x100 + i % 7:03X},{i % 256:02X}00,{attack * (i % 50 == 0):d}\n"
            for i in range(20_000)
        ]
        rows[100 : 100 + bad_rows] = ["1.1,ZZZ,00,0\n"] * bad_rows
        (folder / "dos.csv").write_text(header + "".join(rows))


def prepare_own(root: Path, stage: Prepare) -> Handoff:
    trial = Trial(
        fingerprint="0" * 64,
        stage=stage,
        dataset="own",
        dataset_digest=open_dataset("own", root).digest,
        seed=None,
        label="",
        data_root=root,
    )
    return stage.run(trial, {}, lambda metrics: None)


def test_bad_rows_stop_the_trial_or_are_counted(tmp_path: Path) -> None:
    write_damaged(tmp_path, 3)
    with pytest.raises(ValueError, match="line 102"):
        prepare_own(tmp_path, Prepare())
    rows = prepare_own(tmp_path, Prepare(on_bad="quarantine")).meta["rows"]
    for account in rows.values():
        assert account["bad"] == {"hex": 3}
        assert account["in"] == 20_000 == account["kept"] + sum(account["bad"].values())
    strict = Prepare(on_bad="quarantine", max_bad_share=1e-5)
    with pytest.raises(ValueError, match=r"19,997 of 20,000 rows kept.*above max_bad_share"):
        prepare_own(tmp_path, strict)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Prepare(vocabulary="test"), "vocabulary must be one of"),
        (lambda: Prepare(on_bad="skip"), "on_bad must be one of"),
        (lambda: Prepare(sequence_length=0), "sequence_length must be at least 2"),
        (lambda: Prepare(scales=(50,), sequence_length=2), "exclude one another"),
        (lambda: Prepare(scales=(50, 50)), "distinct lengths"),
        (lambda: Prepare(lead_in_s=0.0), "lead_in_s must be positive"),
        (lambda: Prepare(max_bad_share=1.0), "max_bad_share must lie in"),
    ],
)
def test_settings_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
    assert Prepare(window=100).single_windows() == Prepare(scales=(50, 100)).single_windows()
    assert Part.TRAIN == 0
