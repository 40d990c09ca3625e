"""The datasets that are known by name, and the test subsets that each has when it is complete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_FOUR = (
    "test_01_known_vehicle_known_attack",
    "test_02_unknown_vehicle_known_attack",
    "test_03_known_vehicle_unknown_attack",
    "test_04_unknown_vehicle_unknown_attack",
)
_SIX = (*_FOUR, "test_05_suppress", "test_06_masquerade")


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSpec:
    """What is known of a dataset before its files are looked at."""

    name: str
    """Name on the command line, and of its folder under the data root."""
    tests: tuple[str, ...]
    """Test subsets that it has when it is complete."""
    origin: str
    """Vehicles and source, for ``graphids list``."""
    simulated: bool = False
    """True where captures are generated in memory and no files are needed."""


CATALOGUE: Mapping[str, DatasetSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            DatasetSpec(
                name="hcrl_ch",
                tests=(
                    "test_01_DoS",
                    "test_02_fuzzing",
                    "test_03_gear_spoofing",
                    "test_04_rpm_spoofing",
                ),
                origin="HCRL Car-Hacking: Hyundai YF Sonata",
            ),
            DatasetSpec(
                name="hcrl_sa",
                tests=_FOUR,
                origin="HCRL Survival Analysis: Kia Soul, Hyundai Sonata; Chevrolet Spark unknown",
            ),
            DatasetSpec(
                name="set_01",
                tests=_SIX,
                origin="can-train-and-test: Impala, Traverse; Silverado, Forester unknown",
            ),
            DatasetSpec(
                name="set_02",
                tests=_SIX,
                origin="can-train-and-test: Impala, Traverse; Silverado, Forester unknown",
            ),
            DatasetSpec(
                name="set_03",
                tests=_SIX,
                origin="can-train-and-test: Silverado, Forester; Impala, Traverse unknown",
            ),
            DatasetSpec(
                name="set_04",
                tests=_SIX,
                origin="can-train-and-test: Silverado, Forester; Impala, Traverse unknown",
            ),
            DatasetSpec(
                name="sim_small",
                tests=_SIX,
                origin="simulated: four vehicles, about 160,000 messages",
                simulated=True,
            ),
            DatasetSpec(
                name="sim_large",
                tests=_SIX,
                origin="simulated: four vehicles, about 1.6 million messages",
                simulated=True,
            ),
        )
    }
)
"""Datasets that ``--datasets`` knows by name."""
