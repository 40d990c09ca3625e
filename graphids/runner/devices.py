"""The device of this process as packing sees it, for verbs that need no cluster."""

from __future__ import annotations

import os

from graphids.core.memory import card_constants, device_name, trial_device
from graphids.core.resident import system_bytes
from graphids.runner.packing import Device

PROCESS_BYTES = 700 * 2**20
"""Resident memory of a worker with its libraries, before a probe has measured it."""
USABLE_SHARE = 0.7
"""Share of a machine's free memory that Ray offers to tasks; the rest is for its object store."""


def read_card() -> Device:
    """The GPU of this process; its cores are for the caller to say."""
    device = trial_device()
    card = card_constants(device)
    return Device(
        name=device_name(device),
        accelerated=True,
        total_bytes=card.total_bytes,
        others_bytes=card.others_bytes,
        cores=os.cpu_count() or 1,
        process_bytes=card.context_bytes + card.workspace_bytes,
        context_bytes=card.context_bytes,
        overhead=card.reserved_ratio,
    )


def local_device() -> Device:
    """What trials of a local run would run on."""
    if trial_device().type == "cuda":
        return read_card()
    return Device(
        name="this machine",
        accelerated=False,
        total_bytes=int(USABLE_SHARE * system_bytes()),
        cores=os.cpu_count() or 1,
        process_bytes=PROCESS_BYTES,
    )
