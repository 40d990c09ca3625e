"""What the bytes of simulated messages mean, and their values at a moment of a trip.

Constants, counters, checksums, flags and signals of the driving state, in integers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MS = 1_000_000
"""Nanoseconds of a millisecond."""
TICK_NS = 10 * MS
"""Time between two values of the driving state."""

_CHANNELS = ("speed", "rpm", "throttle", "brake", "steering", "temperature")


@dataclass(frozen=True, kw_only=True, slots=True)
class ByteRole:
    """What one byte of a message carries."""

    kind: str
    """``constant``, ``counter``, ``checksum``, ``walk``, or of a channel ``high`` and ``low`` byte,
    ``exact`` value times the gain, or ``flag``."""
    value: int = 0
    """The constant, the counter's mask, or the gain of a signal in 1/256."""
    channel: str = ""
    """Driving-state channel of a signal or flag."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageType:
    """A message that a vehicle sends again and again."""

    arbitration_id: int
    """11-bit id."""
    period_ns: int
    """Time between two messages; of an event, the mean time between two bursts."""
    event: bool
    """True where it is sent in bursts when something happens, not periodically."""
    roles: tuple[ByteRole, ...]
    """What each byte carries; their number is the payload's length."""


def render(
    kind: MessageType,
    state: Mapping[str, np.ndarray],
    time_ns: np.ndarray,
    counter: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Payloads of one message type at these times under this driving state ``[N, 8]``, uint8."""
    tick = time_ns // TICK_NS
    payload = np.zeros((len(time_ns), 8), dtype=np.int64)
    for place, role in enumerate(kind.roles):
        if role.kind == "constant":
            payload[:, place] = role.value
        elif role.kind == "counter":
            payload[:, place] = counter & role.value
        elif role.kind in {"high", "low"}:
            signal = state[role.channel][tick] * role.value >> 8
            noise = rng.integers(0, 4, size=len(tick))
            payload[:, place] = signal >> 8 if role.kind == "high" else (signal & 0xFC) + noise
        elif role.kind == "flag":
            payload[:, place] = (state[role.channel][tick] > 2000) * role.value
        elif role.kind == "walk":
            walk = np.cumsum(rng.integers(-1, 2, size=len(tick))) + role.value
            payload[:, place] = np.abs(walk % 510 - 255)
        elif role.kind == "exact":
            payload[:, place] = state[role.channel][tick] * role.value
    payload &= 0xFF
    for place, role in enumerate(kind.roles):
        if role.kind == "checksum":
            payload[:, place] = (payload[:, :place].sum(axis=1) + kind.arbitration_id) & 0xFF
    return payload.astype(np.uint8)


def engine_roles() -> tuple[ByteRole, ...]:
    """Bytes of the message with the engine speed."""
    return (
        ByteRole(kind="constant", value=0x05),
        ByteRole(kind="high", channel="rpm", value=256),
        ByteRole(kind="low", channel="rpm", value=256),
        ByteRole(kind="high", channel="throttle", value=256),
        ByteRole(kind="constant", value=0x00),
        ByteRole(kind="walk", value=0x40),
        ByteRole(kind="counter", value=0x0F),
        ByteRole(kind="checksum"),
    )


def gearbox_roles() -> tuple[ByteRole, ...]:
    """Bytes of the message with the gear."""
    return (
        ByteRole(kind="exact", channel="gear", value=0x10),
        ByteRole(kind="high", channel="speed", value=256),
        ByteRole(kind="low", channel="speed", value=256),
        ByteRole(kind="constant", value=0x7F),
        ByteRole(kind="flag", channel="brake", value=0x01),
        ByteRole(kind="constant", value=0x00),
        ByteRole(kind="counter", value=0x0F),
        ByteRole(kind="checksum"),
    )


def other_roles(maker: np.random.Generator, one: np.random.Generator) -> tuple[ByteRole, ...]:
    """Bytes of another message: ``maker`` decides what they mean, ``one`` the constants."""
    length = int(maker.choice([8, 8, 8, 8, 7, 6, 4, 2]))
    roles: list[ByteRole] = []
    while len(roles) < length:
        kind = str(
            maker.choice(["signal", "signal", "byte", "constant", "constant", "flag", "walk"])
        )
        channel, gain = str(maker.choice(_CHANNELS)), int(maker.integers(64, 257))
        if kind == "signal":
            roles.append(ByteRole(kind="high", channel=channel, value=gain))
            roles.append(ByteRole(kind="low", channel=channel, value=gain))
        elif kind == "byte":
            roles.append(ByteRole(kind="high", channel=channel, value=gain))
        elif kind == "flag":
            roles.append(ByteRole(kind="flag", channel=channel, value=1 << int(maker.integers(8))))
        elif kind == "walk":
            roles.append(ByteRole(kind="walk", value=int(maker.integers(0, 256))))
        else:
            value = int(one.integers(0, 256)) if maker.integers(0, 3) == 0 else 0
            roles.append(ByteRole(kind="constant", value=value))
    roles = roles[:length]
    if length >= 6 and maker.integers(0, 2):
        roles[-2:] = [ByteRole(kind="counter", value=0x0F), ByteRole(kind="checksum")]
    return tuple(roles)
