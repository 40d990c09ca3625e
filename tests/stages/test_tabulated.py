"""Metrics from stored scores are, to the last bit, those that the trial tabulated itself."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from graphids.data.messages import ATTACK_CODES
from graphids.stages.handoff import Handoff, write_handoff
from graphids.store.results import METRICS_FILE, SCORES_FILE
from graphids.store.tabulated import tabulate

NAMES = {code: name for name, code in ATTACK_CODES.items()}


@pytest.mark.parametrize("which", ["classified", "autoencoded"])
def test_stored_scores_give_what_the_trial_tabulated(
    which: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    handoff: Handoff = request.getfixturevalue(which)
    write_handoff(handoff, tmp_path)
    own, scores = (pl.read_parquet(tmp_path / name) for name in (METRICS_FILE, SCORES_FILE))
    splits = own["split"].unique(maintain_order=True)
    key, threshold = own["fingerprint"][0], handoff.meta["threshold"]
    assert own["attack"].n_unique() > 3
    assert tabulate(key, scores, threshold, NAMES, splits).equals(own)
    moved = tabulate(key, scores, threshold + 0.1, NAMES, splits)
    assert not moved.equals(own), "the threshold is the trial's own"
