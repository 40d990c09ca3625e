"""Fixtures that every test package shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No test fails on a clock: a busy machine draws as many examples as an idle one.
settings.register_profile("no_clock", deadline=None)
settings.load_profile("no_clock")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Root of the real captures; tests that need them skip where they are absent."""
    root = Path(os.environ.get("GRAPHIDS_DATA", ROOT.parent / "shared" / "data"))
    if not (root / "hcrl_sa").is_dir():
        pytest.skip(
            f"no real captures under {root}; set GRAPHIDS_DATA to the folder that holds hcrl_sa"
        )
    return root
