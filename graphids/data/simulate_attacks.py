"""Attacks on simulated traffic: what is added, removed or changed before the bus decides.

Only messages that the attacker sends are labelled. A suppressed message leaves no row, as in
can-train-and-test, so a capture with suppression alone has no attack rows: its test subset has one
class, and metrics that need two are null there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from graphids.data.simulate_bus import Traffic, join
from graphids.data.simulate_payloads import MS, MessageType, render
from graphids.data.simulate_vehicles import Vehicle

Spans = Sequence[tuple[int, int]]
"""Start and end in nanoseconds of each time in which an attacker is active."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What an attack finds: a vehicle on a trip, and when to act."""

    vehicle: Vehicle
    """The vehicle under attack."""
    state: Mapping[str, np.ndarray]
    """Its driving state by channel, one value per tick."""
    traffic: Traffic
    """What it wants to send, by time."""
    spans: Spans
    """When the attacker is active."""
    lead_in_ns: int
    """Time before the first attack, which a replay may have recorded."""
    period_ns: int
    """Time between two injected messages of a flood."""
    rng: np.random.Generator
    """Source of everything random about the attack."""

    def active(self, traffic: Traffic) -> np.ndarray:
        """Which messages fall into a span ``[N]``."""
        inside = np.zeros(len(traffic), dtype=bool)
        for start, end in self.spans:
            inside |= (traffic.time_ns >= start) & (traffic.time_ns < end)
        return inside

    def sent_as(self, kind: MessageType) -> np.ndarray:
        """Which genuine messages are of one type and fall into a span ``[N]``."""
        return self.active(self.traffic) & (self.traffic.arbitration_id == kind.arbitration_id)

    def flood_times(self) -> np.ndarray:
        """Injection times: every period with a tenth of it as jitter, within the spans."""
        times = [np.arange(start, end, self.period_ns) for start, end in self.spans]
        late = self.rng.integers(0, self.period_ns // 10, size=sum(map(len, times)))
        return np.concatenate(times) + late


def attack(name: str, scene: Scene) -> Traffic:
    """What all nodes and the attacker want to send, by time.

    Args:
        name: a key of :data:`ATTACKS`, or ``none``.
        scene: the vehicle and the times of the attack.

    Raises:
        ValueError: no attack has this name.
    """
    if name == "none":
        return scene.traffic
    if name not in ATTACKS:
        raise ValueError(f"no simulated attack is named {name!r}; names are none, {list(ATTACKS)}")
    return ATTACKS[name](scene)


def dos(scene: Scene) -> Traffic:
    """Id 000, which wins every arbitration, at a high rate."""
    times = scene.flood_times()
    return join([scene.traffic, _forged(times, np.array(0), np.array(8), np.zeros((1, 8)))])


def fuzzing(scene: Scene) -> Traffic:
    """Random ids from the whole range with random payloads; some ids are the vehicle's own."""
    times, rng = scene.flood_times(), scene.rng
    ids = rng.integers(0, 0x800, size=len(times))
    own = np.array([kind.arbitration_id for kind in scene.vehicle.messages])
    ids = np.where(rng.integers(0, 4, size=len(times)) == 0, rng.choice(own, len(times)), ids)
    payload = rng.integers(0, 256, size=(len(times), 8))
    return join([scene.traffic, _forged(times, ids, np.array(8), payload)])


def flooding(scene: Scene) -> Traffic:
    """One of the vehicle's own ids at a high rate, its last genuine payload frozen."""
    kind = _often_sent(scene.vehicle)[2]
    parts = [scene.traffic]
    own = scene.traffic.take(scene.traffic.arbitration_id == kind.arbitration_id)
    times = scene.flood_times()
    latest = np.maximum(np.searchsorted(own.time_ns, [start for start, _ in scene.spans]) - 1, 0)
    for (start, end), row in zip(scene.spans, latest.tolist(), strict=True):
        within = times[(times >= start) & (times < end + scene.period_ns // 10)]
        ids, dlc = own.arbitration_id[row], own.dlc[row]
        parts.append(_forged(within, ids, dlc, own.payload[row : row + 1]))
    return join(parts)


def rpm(scene: Scene) -> Traffic:
    """Right after each genuine engine message one with another plausible engine speed."""
    return _spoof(scene, scene.vehicle.rpm, _other_rpm(scene))


def gear(scene: Scene) -> Traffic:
    """Right after each genuine gearbox message one with another gear."""
    return _spoof(scene, scene.vehicle.gear, {**scene.state, "gear": (scene.state["gear"] + 2) % 7})


def suppress(scene: Scene) -> Traffic:
    """Two often sent messages vanish; no row is labelled because none is left."""
    gone = scene.sent_as(scene.vehicle.rpm) | scene.sent_as(_often_sent(scene.vehicle)[3])
    return scene.traffic.take(~gone)


def masquerade(scene: Scene) -> Traffic:
    """The engine message is silenced, and sent by the attacker at its times with forged speeds."""
    rows = scene.sent_as(scene.vehicle.rpm)
    genuine = scene.traffic.take(rows)
    payload = render(
        scene.vehicle.rpm, _other_rpm(scene), genuine.time_ns, genuine.payload[:, 6], scene.rng
    )
    forged = _forged(genuine.time_ns, genuine.arbitration_id, genuine.dlc, payload)
    return join([scene.traffic.take(~rows), forged])


def replay(scene: Scene) -> Traffic:
    """Messages of six types from the lead-in are sent again on top of the genuine ones."""
    kinds = _often_sent(scene.vehicle)[1:12:2]
    recorded = scene.traffic.take(
        np.isin(scene.traffic.arbitration_id, [kind.arbitration_id for kind in kinds])
        & (scene.traffic.time_ns < scene.lead_in_ns)
    )
    parts = [scene.traffic]
    for start, end in scene.spans:
        since = int(scene.rng.integers(0, max(1, scene.lead_in_ns - (end - start))))
        stretch = recorded.take(
            (recorded.time_ns >= since) & (recorded.time_ns < since + end - start)
        )
        times = stretch.time_ns - since + start
        parts.append(_forged(times, stretch.arbitration_id, stretch.dlc, stretch.payload))
    return join(parts)


ATTACKS: Mapping[str, Callable[[Scene], Traffic]] = MappingProxyType(
    {
        "dos": dos,
        "fuzzing": fuzzing,
        "gear": gear,
        "rpm": rpm,
        "flooding": flooding,
        "suppress": suppress,
        "masquerade": masquerade,
        "replay": replay,
    }
)
"""Attacks by the word that capture names carry (:data:`graphids.data.messages.ATTACK_CODES`)."""


def _forged(time_ns: np.ndarray, ids: np.ndarray, dlc: np.ndarray, payload: np.ndarray) -> Traffic:
    """Attack messages; ids, lengths and payloads are repeated where there is one for all."""
    count = len(time_ns)
    return Traffic(
        time_ns=time_ns,
        arbitration_id=np.broadcast_to(ids, count).astype(np.int64),
        dlc=np.broadcast_to(dlc, count).astype(np.int64),
        payload=np.broadcast_to(payload, (count, 8)).astype(np.uint8),
        attack=np.ones(count, dtype=bool),
    )


def _often_sent(vehicle: Vehicle) -> list[MessageType]:
    """Periodic messages without the engine and gearbox ones, shortest period first, then by id."""
    kinds = [
        kind
        for kind in vehicle.messages
        if not kind.event and kind not in (vehicle.rpm, vehicle.gear)
    ]
    return sorted(kinds, key=lambda kind: (kind.period_ns, kind.arbitration_id))


def _other_rpm(scene: Scene) -> dict[str, np.ndarray]:
    """The driving state with the engine speed of another moment: plausible but wrong."""
    return {**scene.state, "rpm": scene.state["rpm"][::-1]}


def _spoof(scene: Scene, kind: MessageType, state: Mapping[str, np.ndarray]) -> Traffic:
    """A forged message 0.3 to 1 ms after each genuine one, its counter and checksum right."""
    genuine = scene.traffic.take(scene.sent_as(kind))
    payload = render(kind, state, genuine.time_ns, genuine.payload[:, 6], scene.rng)
    times = genuine.time_ns + scene.rng.integers(3 * MS // 10, MS, size=len(genuine))
    return join([scene.traffic, _forged(times, genuine.arbitration_id, genuine.dlc, payload)])
