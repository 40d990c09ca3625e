"""A 500 kbit/s CAN bus: how long a frame takes and which waiting message goes next."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

NS_PER_BIT = 2000
"""Nanoseconds of one bit at 500 kbit/s."""
_CRC_POLYNOMIAL = 0x4599
_UNSTUFFED_BITS = (
    13  # CRC delimiter, acknowledge slot and delimiter, end of frame, interframe space
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """Messages that nodes want to send, or that were sent: columns of one length ``N``."""

    time_ns: np.ndarray
    """When each is ready to be sent; after the bus, when its last bit was received; int64."""
    arbitration_id: np.ndarray
    """11-bit ids, int64; the lowest of those that wait is sent first."""
    dlc: np.ndarray
    """Payload bytes of each, int64."""
    payload: np.ndarray
    """Bytes ``[N, 8]``, uint8, 0 beyond ``dlc``."""
    attack: np.ndarray
    """True for messages that an attacker sends."""

    def __len__(self) -> int:
        """Number of messages."""
        return len(self.time_ns)

    def take(self, rows: np.ndarray) -> Traffic:
        """The messages at these positions, or where this mask is true."""
        return Traffic(
            time_ns=self.time_ns[rows],
            arbitration_id=self.arbitration_id[rows],
            dlc=self.dlc[rows],
            payload=self.payload[rows],
            attack=self.attack[rows],
        )


def join(parts: list[Traffic]) -> Traffic:
    """All messages of the parts, ordered by time; equal times stay in the order of the parts."""
    time_ns = np.concatenate([part.time_ns for part in parts])
    return Traffic(
        time_ns=time_ns,
        arbitration_id=np.concatenate([part.arbitration_id for part in parts]),
        dlc=np.concatenate([part.dlc for part in parts]),
        payload=np.concatenate([part.payload for part in parts]),
        attack=np.concatenate([part.attack for part in parts]),
    ).take(np.argsort(time_ns, kind="stable"))


def frame_bits(arbitration_id: np.ndarray, dlc: np.ndarray, payload: np.ndarray) -> np.ndarray:
    """Bits of each standard data frame on the wire ``[N]``, interframe space included.

    ISO 11898-1: start, id, RTR, IDE, r0, DLC, data and CRC-15 are stuffed: after five equal bits
    one of the other value follows, which counts for the next five. Eight bytes make 111 bits and up
    to 24 stuff bits.
    """
    head = (arbitration_id[:, None] >> np.arange(10, -1, -1)) & 1
    length = (dlc[:, None] >> np.arange(3, -1, -1)) & 1
    zero = np.zeros((len(dlc), 1), dtype=np.int64)
    data = np.unpackbits(payload, axis=1)
    bits = np.concatenate([zero, head, zero, zero, zero, length, data], axis=1).astype(np.int16)
    columns = np.ascontiguousarray(bits.T)
    used = 19 + 8 * dlc
    crc = np.zeros(len(dlc), dtype=np.int16)
    for place, bit in enumerate(columns):
        feedback = (bit ^ (crc >> 14)) & 1
        step = ((crc << 1) & 0x7FFF) ^ (feedback * _CRC_POLYNOMIAL)
        crc = np.where(place < used, step, crc).astype(np.int16)
    last, run = np.full(len(dlc), -1, dtype=np.int16), np.zeros(len(dlc), dtype=np.int16)
    stuffed = np.zeros(len(dlc), dtype=np.int64)
    for place in range(len(columns) + 15):
        from_crc = (crc >> np.clip(14 - (place - used), 0, 14)) & 1
        bit = (
            from_crc if place >= len(columns) else np.where(place < used, columns[place], from_crc)
        )
        on_wire = place < used + 15
        run = np.where(bit == last, run + 1, 1)
        full = on_wire & (run == 5)
        stuffed += full
        last = np.where(full, 1 - bit, bit)
        run = np.where(full, 1, run)
    return used + 15 + _UNSTUFFED_BITS + stuffed


def transmit(wanted: Traffic) -> Traffic:
    """What a logger on the bus receives, in the order of transmission.

    Arbitration is by priority and does not interrupt: when the bus falls idle the lowest id that
    waits is sent, and of equal ids the one that waits longest. A message's time becomes that of its
    end, in whole microseconds as loggers give it.

    Args:
        wanted: messages ordered by the time at which they are ready.
    """
    duration = (NS_PER_BIT * frame_bits(wanted.arbitration_id, wanted.dlc, wanted.payload)).tolist()
    ready, ids = wanted.time_ns.tolist(), wanted.arbitration_id.tolist()
    waiting: list[tuple[int, int]] = []
    order: list[int] = []
    ends: list[int] = []
    now, arrived, count = 0, 0, len(ready)
    while len(order) < count:
        if not waiting:
            now = max(now, ready[arrived])
        while arrived < count and ready[arrived] <= now:
            heapq.heappush(waiting, (ids[arrived], arrived))
            arrived += 1
        chosen = heapq.heappop(waiting)[1]
        now += duration[chosen]
        order.append(chosen)
        ends.append(now)
    sent = wanted.take(np.array(order, dtype=np.int64))
    microseconds = np.array(ends, dtype=np.int64) // 1000
    return Traffic(
        time_ns=microseconds * 1000,
        arbitration_id=sent.arbitration_id,
        dlc=sent.dlc,
        payload=sent.payload,
        attack=sent.attack,
    )
