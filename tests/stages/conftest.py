"""What the stages of one chain hand on, made once for all tests."""

from __future__ import annotations

import pytest
from stage_runs import AUTOENCODE, CLASSIFY, EXTRACT, run

from graphids.stages import Prepare
from graphids.stages.handoff import Handoff


@pytest.fixture(scope="session")
def prepared() -> Handoff:
    return run(Prepare(), {}, None)


@pytest.fixture(scope="session")
def classified(prepared: Handoff) -> Handoff:
    return run(CLASSIFY, {"data": prepared})


@pytest.fixture(scope="session")
def autoencoded(prepared: Handoff) -> Handoff:
    return run(AUTOENCODE, {"data": prepared})


@pytest.fixture(scope="session")
def extracted(prepared: Handoff, autoencoded: Handoff, classified: Handoff) -> Handoff:
    inputs = {"data": prepared, "autoencoder": autoencoded, "classifier": classified}
    return run(EXTRACT, inputs)
