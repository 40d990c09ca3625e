"""Simulated traffic is deterministic, obeys the bus, and no trivial detector solves it."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import polars as pl
import pytest
import torch

from graphids.data.datasets import open_dataset
from graphids.data.logs import read_log
from graphids.data.messages import attack_code, attack_name
from graphids.data.simulate import simulate_capture, simulation_digest, write_dataset
from graphids.data.simulate_attacks import ATTACKS
from graphids.data.simulate_bus import NS_PER_BIT, Traffic, frame_bits, transmit
from graphids.data.simulate_settings import GENERATOR_VERSION, SIMULATED, CaptureConfig
from graphids.data.simulate_vehicles import MAKERS, vehicle
from graphids.data.splits import Part, split_capture

WINDOW = 100
CONTENT = "ee5b44cd9cae72b502718d5deefae566f2453f067f76966dcecd7cbc8e923e77"


@pytest.fixture(scope="session")
def small() -> dict[str, pl.DataFrame]:
    """Messages of every capture of ``sim_small``, by name."""
    return {config.path: simulate_capture(config) for config in SIMULATED["sim_small"]}


def windows(table: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids ``[G, 100]``, durations ``[G]`` and labels ``[G]`` of a capture's windows."""
    count = len(table) // WINDOW
    ids, time_ns, attack = (
        table[name].to_numpy()[: count * WINDOW].reshape(count, WINDOW)
        for name in ("arbitration_id", "time_ns", "attack")
    )
    return ids, time_ns[:, -1] - time_ns[:, 0], attack.any(axis=1)


def pooled(small, subset: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows of all captures of the subsets whose names start so."""
    parts = [windows(table) for name, table in small.items() if name.startswith(subset)]
    ids, durations, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return ids, durations, labels


def test_content_changes_only_with_the_generator_version(small):
    digest = hashlib.sha256()
    for name in sorted(small):
        digest.update(_bytes(small[name]))
    assert (GENERATOR_VERSION, digest.hexdigest()) == (1, CONTENT), (
        "the same settings give other messages: raise GENERATOR_VERSION and note the new digest"
    )


def _bytes(table: pl.DataFrame) -> bytes:
    """Every column of a message table as bytes."""
    return b"".join(table[name].to_numpy().tobytes() for name in table.columns)


def test_dataset_digest_follows_settings(monkeypatch):
    before = simulation_digest("sim_small")
    first, *others = SIMULATED["sim_small"]
    changed = (dataclasses.replace(first, seed=first.seed + 1), *others)
    monkeypatch.setattr("graphids.data.simulate.SIMULATED", {"sim_small": changed})
    assert simulation_digest("sim_small") != before


def test_written_dataset_reads_back_equal(small, tmp_path):
    folder = write_dataset("sim_small", tmp_path)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.csv.gz")}
    assert set(files) == set(small)
    for name, path in files.items():
        assert read_log(path).equals(small[name]), name
    opened = open_dataset("sim_small", None)
    (tmp_path / "copy").mkdir()
    folder.rename(tmp_path / "copy" / "mine")
    copy = open_dataset("mine", tmp_path / "copy")
    assert [c.name for c in copy.train] == [c.name for c in opened.train]
    assert {k: [c.name for c in v] for k, v in copy.tests.items()} == {
        k: [c.name for c in v] for k, v in opened.tests.items()
    }
    with pytest.raises(ValueError, match="sim_small"):
        write_dataset("hcrl_sa", tmp_path)


def test_size_and_classes_of_the_small_dataset(small):
    assert 150_000 <= sum(map(len, small.values())) <= 160_000
    for subset in ("test_01", "test_02", "test_03", "test_04", "test_06"):
        labels = pooled(small, subset)[2]
        assert 15 <= labels.sum() <= 0.6 * len(labels), subset
    assert not pooled(small, "test_05")[2].any()


def test_both_halves_of_validation_have_enough_of_both_classes(small):
    counts = dict.fromkeys(((part, y) for part in Part for y in (0, 1)), 0)
    for name in (name for name in small if name.startswith("train")):
        y = torch.from_numpy(windows(small[name])[2].astype(np.int64))
        for part, label in zip(split_capture(y, 1).tolist(), y.tolist(), strict=True):
            counts[Part(part), label] += 1
    for half in (Part.STOP, Part.CALIBRATION):
        assert counts[half, 0] >= 100
        assert counts[half, 1] >= 10


@pytest.mark.parametrize("config", SIMULATED["sim_small"], ids=lambda config: config.stem)
def test_attacks_follow_a_lead_in_and_carry_the_code_of_the_name(small, config):
    table = small[config.path]
    attacks = table.filter(table["attack"])
    if config.attack in {"none", "suppress"}:
        assert attacks.is_empty()
        return
    code = attack_code(config.path)
    assert attack_name(code) == config.attack
    assert attacks["attack_type"].unique().to_list() == [code]
    lead_in = (attacks["time_ns"][0] - table["time_ns"][0]) / 1e9
    assert lead_in >= min(5, 0.2 * config.duration_ms / 1000)
    gaps = np.diff(attacks["time_ns"].to_numpy())
    assert (gaps > 100e6).sum() >= 1, "there is more than one interval"


def test_the_suppressed_messages_are_missing(small):
    for config in (c for c in SIMULATED["sim_small"] if c.attack == "suppress"):
        free = simulate_capture(dataclasses.replace(config, attack="none"))
        assert len(free) - len(small[config.path]) >= 50


def test_a_bus_carries_one_frame_at_a_time(small):
    for table in small.values():
        bits = frame_bits(
            table["arbitration_id"].to_numpy().astype(np.int64),
            table["dlc"].to_numpy().astype(np.int64),
            table["payload"].to_numpy(),
        )
        gaps = np.diff(table["time_ns"].to_numpy())
        assert (gaps >= bits[1:] * NS_PER_BIT - 1000).all(), "times are whole microseconds"


def slow_frame_bits(arbitration_id: int, payload: bytes) -> int:
    """Bits of a frame by writing it out and stuffing it bit by bit."""
    text = "0" + f"{arbitration_id:011b}" + "000" + f"{len(payload):04b}"
    text += "".join(f"{byte:08b}" for byte in payload)
    crc = 0
    for bit in text:
        feedback = int(bit) ^ (crc >> 14)
        crc = ((crc << 1) & 0x7FFF) ^ (0x4599 if feedback else 0)
    wire = ""
    for bit in text + f"{crc:015b}":
        wire += bit
        if wire[-5:] in {"00000", "11111"} and len(wire) >= 5:
            wire += "1" if bit == "0" else "0"
    return len(wire) + 13


def test_frame_length_agrees_with_stuffing_bit_by_bit():
    rng = np.random.default_rng(3)
    dlc = rng.integers(0, 9, 300)
    payload = (rng.integers(0, 256, (300, 8)) * rng.integers(0, 2, (300, 8))).astype(np.uint8)
    payload[:, 3:] = payload[:, 2:3]
    payload = (payload * (np.arange(8) < dlc[:, None])).astype(np.uint8)
    ids = rng.integers(0, 0x800, 300) >> rng.integers(0, 11, 300)
    expected = [
        slow_frame_bits(int(i), row[:n].tobytes())
        for i, n, row in zip(ids, dlc, payload, strict=True)
    ]
    assert frame_bits(ids, dlc, payload).tolist() == expected
    assert max(expected) <= 135


def test_the_lowest_waiting_id_goes_first_and_nothing_is_interrupted():
    ready = np.array([0, 1000, 2000, 3000])
    wanted = Traffic(
        time_ns=ready,
        arbitration_id=np.array([0x700, 0x300, 0x100, 0x100]),
        dlc=np.full(4, 8),
        payload=np.arange(32, dtype=np.uint8).reshape(4, 8),
        attack=np.zeros(4, dtype=bool),
    )
    sent = transmit(wanted)
    assert sent.arbitration_id.tolist() == [0x700, 0x100, 0x100, 0x300]
    assert sent.payload[1, 0] == 16, "of equal ids the one that waits longest"
    lengths = frame_bits(sent.arbitration_id, sent.dlc, sent.payload) * NS_PER_BIT
    assert sent.time_ns.tolist() == (np.cumsum(lengths) // 1000 * 1000).tolist()


def test_vehicles_of_one_maker_share_ids_and_others_none():
    ids = {n: {kind.arbitration_id for kind in vehicle(n).messages} for n in MAKERS}
    for first in MAKERS:
        assert 20 <= len(ids[first]) <= 40
        for second in MAKERS:
            if first != second:
                shared = ids[first] & ids[second]
                assert bool(shared) == (MAKERS[first] == MAKERS[second])
                assert shared != ids[first]


@pytest.mark.parametrize("number", MAKERS)
def test_counters_count_and_checksums_fit(number):
    config = CaptureConfig(
        subset="x", stem=f"free-{number}", vehicle=number, duration_ms=1500, seed=number
    )
    table = simulate_capture(config)
    rows = table.filter(table["arbitration_id"] == vehicle(number).rpm.arbitration_id)
    payload = rows["payload"].to_numpy().astype(int)
    assert set(np.diff(payload[:, 6]) % 16) == {1}
    expected = (payload[:, :7].sum(axis=1) + vehicle(number).rpm.arbitration_id) % 256
    assert (payload[:, 7] == expected).all()
    assert len(set(map(tuple, payload[:, 1:3]))) > 10, "the engine speed varies"


def f1(decision: np.ndarray, truth: np.ndarray) -> float:
    return 2 * (decision & truth).sum() / (decision.sum() + truth.sum())


def test_no_trivial_detector_solves_a_subset(small):
    ids, durations, labels = pooled(small, "train")
    vocabulary, shortest = np.unique(ids[~labels]), durations[~labels].min()
    for subset in ("test_01", "test_02", "test_03", "test_04", "test_06"):
        ids, durations, labels = pooled(small, subset)
        decisions = {
            "id look-up": (~np.isin(ids, vocabulary)).any(axis=1),
            "timing": durations < shortest,
            "always attack": np.ones(len(labels), dtype=bool),
        }
        for name, decision in decisions.items():
            assert f1(decision, labels) < 0.95, f"{name} on {subset}"


def test_every_attack_follows_a_long_enough_lead_in():
    for config in (c for name in SIMULATED for c in SIMULATED[name] if c.attack != "none"):
        assert config.lead_in_ms >= min(5000, 0.2 * config.duration_ms), config.path


def test_every_attack_is_in_the_small_dataset():
    assert {c.attack for c in SIMULATED["sim_small"]} == {"none", *ATTACKS}


def test_settings_that_cannot_be_are_refused():
    config = SIMULATED["sim_small"][-1]
    with pytest.raises(ValueError, match="shorten the lead-in"):
        dataclasses.replace(config, lead_in_ms=config.duration_ms)
    with pytest.raises(ValueError, match="intervals"):
        dataclasses.replace(config, intervals=0)
    with pytest.raises(ValueError, match="number 9"):
        simulate_capture(dataclasses.replace(config, vehicle=9))
    with pytest.raises(ValueError, match="named 'magic'"):
        simulate_capture(dataclasses.replace(config, attack="magic"))


@pytest.mark.slow
def test_the_large_dataset_is_ten_times_the_small_one(small):
    count = sum(len(simulate_capture(config)) for config in SIMULATED["sim_large"])
    assert 9 <= count / sum(map(len, small.values())) <= 11
