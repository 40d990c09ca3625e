"""Simulated vehicles: which messages each sends, how often, and how they are driven.

Vehicles of one maker share about two thirds of their ids and what those bytes mean; vehicles of
different makers share no id. Everything is integer arithmetic on numbers of a seeded generator, so
that the same vehicle sends the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from graphids.data.simulate_bus import Traffic, join
from graphids.data.simulate_payloads import (
    MS,
    TICK_NS,
    MessageType,
    engine_roles,
    gearbox_roles,
    other_roles,
    render,
)

MAKERS: Mapping[int, str] = {1: "A", 2: "A", 3: "A", 4: "B"}
"""Maker of each vehicle by its number."""

_POOL, _CORE, _OWN, _EVENTS = 56, 20, 9, 3
_RPM, _GEAR = 3, 8  # places of the engine and the gearbox message in a maker's sorted core ids
_PERIODS_MS = (10, 10, 20, 20, 20, 50, 50, 50, 100, 100, 100, 200, 200, 500, 500, 1000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vehicle:
    """A vehicle and all messages that it sends."""

    number: int
    """Number that file names end with."""
    messages: tuple[MessageType, ...]
    """By ascending id."""
    rpm: MessageType
    """Message that carries the engine speed."""
    gear: MessageType
    """Message that carries the gear."""


def vehicle(number: int) -> Vehicle:
    """The vehicle of this number, the same at every call.

    Raises:
        ValueError: no vehicle has this number.
    """
    if number not in MAKERS:
        raise ValueError(f"no simulated vehicle has number {number}; numbers are {sorted(MAKERS)}")
    maker = sorted(set(MAKERS.values())).index(MAKERS[number])
    ids = np.random.default_rng(77).permutation(np.arange(0x040, 0x700))
    pool = ids[maker * _POOL : (maker + 1) * _POOL]
    core, others = np.sort(pool[:_CORE]), pool[_CORE:]
    own = np.random.default_rng([78, number]).permutation(others)[:_OWN]
    low, high = int(pool.min()), int(pool.max())
    types = {}
    for place, arbitration_id in enumerate([*core.tolist(), *own.tolist()]):
        rng = np.random.default_rng([79, maker, arbitration_id])
        rank = (arbitration_id - low) * (len(_PERIODS_MS) - 1) // (high - low)
        period = _PERIODS_MS[min(rank + int(rng.integers(0, 2)), len(_PERIODS_MS) - 1)] * MS
        roles = other_roles(rng, np.random.default_rng([80, number, arbitration_id]))
        if place == _RPM:
            period, roles = 10 * MS, engine_roles()
        elif place == _GEAR:
            period, roles = 20 * MS, gearbox_roles()
        event = place >= len(core) + len(own) - _EVENTS
        types[arbitration_id] = MessageType(
            arbitration_id=arbitration_id,
            period_ns=(400 + 300 * (place % _EVENTS)) * MS if event else period,
            event=event,
            roles=roles,
        )
    return Vehicle(
        number=number,
        messages=tuple(types[key] for key in sorted(types)),
        rpm=types[int(core[_RPM])],
        gear=types[int(core[_GEAR])],
    )


def drive(duration_ns: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Driving state at every tick of a trip, by channel, int64 in 0 to 65535.

    The speed follows targets that change every one to four seconds; gear, engine speed, throttle
    and brake follow from it, so that the signals of different messages agree with one another.
    """
    ticks = duration_ns // TICK_NS + 2
    changes = rng.integers(100, 400, size=ticks // 100 + 2)
    targets = np.repeat(rng.integers(0, 42_000, size=len(changes)), changes)[:ticks]
    speeds, speed = [], int(rng.integers(0, 30_000))
    for target in targets.tolist():
        speed += (target - speed) >> 7
        speeds.append(speed)
    speed_now = np.array(speeds, dtype=np.int64)
    gear = np.searchsorted(np.array([300, 6000, 12_000, 19_000, 27_000, 35_000]), speed_now)
    ratio = np.array([0, 60, 36, 25, 19, 15, 13])
    wheel = np.cumsum(rng.integers(-40, 41, size=ticks)) + 32_768
    return {
        "speed": speed_now,
        "gear": gear.astype(np.int64),
        "rpm": 7000 + (speed_now * ratio[gear] >> 4),
        "throttle": np.clip((targets - speed_now) * 2 + 4000, 0, 65_535),
        "brake": np.clip(speed_now - targets - 1000, 0, 65_535),
        "steering": np.clip(wheel, 0, 65_535),
        "temperature": np.minimum(20_000 + 2 * np.arange(ticks), 52_000),
    }


def genuine(
    kind: MessageType, state: Mapping[str, np.ndarray], duration_ns: int, rng: np.random.Generator
) -> Traffic:
    """All messages of one type that a vehicle wants to send during a trip."""
    if kind.event:
        count = 1 + 3 * duration_ns // kind.period_ns
        gaps = rng.integers(kind.period_ns // 3, 2 * kind.period_ns, size=count)
        bursts = np.cumsum(gaps)
        sizes = rng.integers(2, 25, size=len(bursts))
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        time_ns = np.sort(np.repeat(bursts, sizes) + within * 2 * MS)
    else:
        count = duration_ns // kind.period_ns + 2
        # A clock is off by up to 100 parts in a million; a sender is late by up to 4 % of a period.
        period = kind.period_ns + int(rng.integers(-100, 101)) * kind.period_ns // 1_000_000
        late = rng.integers(0, kind.period_ns // 50, size=(2, count)).sum(axis=0)
        time_ns = int(rng.integers(0, period)) + np.arange(count) * period + late
    time_ns = time_ns[time_ns < duration_ns]
    counter = np.arange(len(time_ns)) + int(rng.integers(0, 256))
    payload = render(kind, state, time_ns, counter, rng)
    return Traffic(
        time_ns=time_ns,
        arbitration_id=np.full(len(time_ns), kind.arbitration_id, dtype=np.int64),
        dlc=np.full(len(time_ns), len(kind.roles), dtype=np.int64),
        payload=payload,
        attack=np.zeros(len(time_ns), dtype=bool),
    )


def everyday(
    of: Vehicle, state: Mapping[str, np.ndarray], duration_ns: int, rng: np.random.Generator
) -> Traffic:
    """Everything that a vehicle wants to send during a trip, by time."""
    return join([genuine(kind, state, duration_ns, rng) for kind in of.messages])
