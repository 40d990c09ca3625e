"""The simulated datasets as values: which vehicle drives, for how long, and what attacks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

GENERATOR_VERSION = 1
"""Raised when the same settings give other messages; part of every simulated dataset's digest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptureConfig:
    """One simulated capture."""

    subset: str
    """Folder that it belongs to."""
    stem: str
    """File name without suffixes; it names the attack and ends with the vehicle's number."""
    vehicle: int
    """Number of the vehicle."""
    duration_ms: int
    """Length of the trip in milliseconds of bus time."""
    seed: int
    """Seed of the trip and of the attack."""
    attack: str = "none"
    """Key of ``simulate_attacks.ATTACKS``, or ``none``."""
    lead_in_ms: int = 0
    """Time before the first attack, in milliseconds."""
    intervals: int = 4
    """How many times the attacker is active, each in an equal part after the lead-in."""
    active_percent: int = 30
    """Share of that time in which the attacker is active."""
    period_us: int = 1000
    """Microseconds between two messages of a flood."""

    def __post_init__(self) -> None:
        if not self.duration_ms > 0 or not 0 <= self.lead_in_ms < self.duration_ms:
            raise ValueError(
                f"{self.path}: a lead-in of {self.lead_in_ms} ms does not fit into a trip of "
                f"{self.duration_ms} ms; shorten the lead-in"
            )
        if self.intervals < 1 or not 0 < self.active_percent <= 100 or self.period_us < 10:
            raise ValueError(
                f"{self.path}: intervals ({self.intervals}) must be at least 1, active_percent "
                f"({self.active_percent}) 1 to 100 and period_us ({self.period_us}) at least 10"
            )

    @property
    def path(self) -> str:
        """Path of its file relative to its dataset."""
        return f"{self.subset}/{self.stem}.csv.gz"


_FREE, _ATTACKED = "train_01_attack_free", "train_02_with_attacks"
_KNOWN_KNOWN = "test_01_known_vehicle_known_attack"
_UNKNOWN_KNOWN = "test_02_unknown_vehicle_known_attack"
_KNOWN_UNKNOWN = "test_03_known_vehicle_unknown_attack"
_UNKNOWN_UNKNOWN = "test_04_unknown_vehicle_unknown_attack"
_SUPPRESS, _MASQUERADE = "test_05_suppress", "test_06_masquerade"


def _captures(*, scale: int, seed: int) -> tuple[CaptureConfig, ...]:
    """The captures of one dataset.

    Training knows vehicles 1 and 2 and the attacks dos, fuzzing, gear and rpm. Vehicle 3 is of the
    same maker as those and vehicle 4 of another.

    Args:
        scale: factor on the length of trips and lead-ins and on the number of attack intervals.
        seed: seed of the first capture; the others count on.
    """
    plan = (
        # subset, file, attack, seconds, lead-in seconds, intervals, active %, period in us
        (_FREE, "attack-free-1", "none", 49, 0, 4, 30, 1000),
        (_FREE, "attack-free-2", "none", 59, 0, 4, 30, 1000),
        (_ATTACKED, "DoS-1", "dos", 12, 4, 8, 16, 700),
        (_ATTACKED, "fuzzing-2", "fuzzing", 15, 4, 8, 25, 3000),
        (_ATTACKED, "gear-1", "gear", 14, 4, 8, 25, 1000),
        (_ATTACKED, "rpm-2", "rpm", 16, 4, 8, 25, 1000),
        (_KNOWN_KNOWN, "DoS-2", "dos", 3, 1, 2, 25, 1000),
        (_KNOWN_KNOWN, "fuzzing-1", "fuzzing", 2, 1, 2, 40, 4000),
        (_KNOWN_KNOWN, "rpm-1", "rpm", 3, 1, 2, 40, 1000),
        (_UNKNOWN_KNOWN, "DoS-3", "dos", 3, 1, 2, 30, 1000),
        (_UNKNOWN_KNOWN, "gear-4", "gear", 4, 1, 2, 40, 1000),
        (_KNOWN_UNKNOWN, "flooding-1", "flooding", 3, 1, 2, 30, 1200),
        (_KNOWN_UNKNOWN, "replay-2", "replay", 4, 1, 2, 40, 1000),
        (_UNKNOWN_UNKNOWN, "flooding-4", "flooding", 3, 1, 2, 30, 1200),
        (_UNKNOWN_UNKNOWN, "replay-3", "replay", 4, 1, 2, 40, 1000),
        (_SUPPRESS, "suppress-1", "suppress", 3, 1, 2, 40, 1000),
        (_SUPPRESS, "suppress-2", "suppress", 4, 1, 2, 40, 1000),
        (_MASQUERADE, "masquerade-1", "masquerade", 4, 1, 2, 40, 1000),
        (_MASQUERADE, "masquerade-2", "masquerade", 4, 1, 2, 40, 1000),
    )
    return tuple(
        CaptureConfig(
            subset=subset,
            stem=stem,
            vehicle=int(stem[-1]),
            duration_ms=1000 * seconds * scale,
            seed=seed + place,
            attack=attack,
            lead_in_ms=1000 * lead_in * scale,
            intervals=intervals * scale,
            active_percent=active,
            period_us=period,
        )
        for place, (subset, stem, attack, seconds, lead_in, intervals, active, period) in enumerate(
            plan
        )
    )


SIMULATED: Mapping[str, tuple[CaptureConfig, ...]] = MappingProxyType(
    {"sim_small": _captures(scale=1, seed=1000), "sim_large": _captures(scale=10, seed=2000)}
)
"""Captures of each simulated dataset."""
