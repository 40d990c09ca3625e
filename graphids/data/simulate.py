"""Deterministic CAN traffic with attacks: the datasets that need no files.

A vehicle drives, its messages wait for a 500 kbit/s bus, and an attacker joins in after a lead-in
without attacks. The same settings give the same messages on every machine.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl

from graphids.data.logs import write_log
from graphids.data.messages import attack_code, message_table
from graphids.data.simulate_attacks import Scene, Spans, attack
from graphids.data.simulate_bus import transmit
from graphids.data.simulate_payloads import MS
from graphids.data.simulate_settings import GENERATOR_VERSION, SIMULATED, CaptureConfig
from graphids.data.simulate_vehicles import drive, everyday, vehicle

START_NS = 1_700_000_000 * 1000 * MS
"""Time at which every simulated capture starts, in nanoseconds since 1970."""


def simulate_capture(config: CaptureConfig) -> pl.DataFrame:
    """Messages of one simulated capture, as a logger on the bus receives them.

    Args:
        config: vehicle, trip and attack.

    Raises:
        ValueError: no such vehicle or attack.
    """
    duration_ns = config.duration_ms * MS
    rng = np.random.default_rng([config.seed, config.vehicle])
    of, state = vehicle(config.vehicle), drive(duration_ns, rng)
    wanted = attack(
        config.attack,
        Scene(
            vehicle=of,
            state=state,
            traffic=everyday(of, state, duration_ns, rng),
            spans=attack_spans(config, rng),
            lead_in_ns=config.lead_in_ms * MS,
            period_ns=config.period_us * 1000,
            rng=rng,
        ),
    )
    sent = transmit(wanted)
    return message_table(
        time_ns=sent.time_ns + START_NS,
        arbitration_id=sent.arbitration_id,
        dlc=sent.dlc,
        payload=sent.payload,
        attack=sent.attack,
        code=attack_code(config.path),
    )


def attack_spans(config: CaptureConfig, rng: np.random.Generator) -> Spans:
    """When the attacker is active: once, not at once, in each equal part after the lead-in."""
    lead_in = config.lead_in_ms * MS
    part = (config.duration_ms * MS - lead_in) // config.intervals
    active = part * config.active_percent // 100
    idle = part - active
    offsets = rng.integers(idle // 5, idle + 1, size=config.intervals).tolist()
    starts = [lead_in + place * part + offset for place, offset in enumerate(offsets)]
    return [(start, start + active) for start in starts]


def simulation_digest(name: str) -> str:
    """Sha256 over the generator's version and a dataset's settings; generates nothing.

    Raises:
        KeyError: no simulated dataset has this name.
    """
    settings = [asdict(config) for config in SIMULATED[name]]
    text = json.dumps({"version": GENERATOR_VERSION, "captures": settings}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_dataset(name: str, out: Path) -> Path:
    """Writes ``<out>/<name>/<subset>/<capture>.csv.gz`` for every capture of a simulated dataset.

    Reading a file back gives the table of :func:`simulate_capture`.

    Returns:
        The dataset's folder.

    Raises:
        ValueError: no simulated dataset has this name.
    """
    if name not in SIMULATED:
        raise ValueError(f"no simulated dataset is named {name!r}; names are {list(SIMULATED)}")
    folder = out / name
    for config in SIMULATED[name]:
        write_log(simulate_capture(config), folder / config.path)
    return folder
