"""A lenient read loses bad rows alone, and says how many for which reason."""

from __future__ import annotations

import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_samples import LINES, content, random_rows

from graphids.data import log_lines
from graphids.data.datasets import TRAIN_SUBSETS, Capture, DatasetError, open_dataset
from graphids.data.logs import LogError, read_log, read_log_quarantined
from graphids.data.quarantine import MAX_EXAMPLES, Quarantine

BYTES = st.sampled_from([bytes([b]) for b in b"09afFGRTrt,,##.: ()x-\t\0\xff"])


def write(folder: Path, text: bytes, name: str = "gear.csv") -> Path:
    path = folder / name
    path.write_bytes(text)
    return path


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """A log's dialect and its lines, all but the first open to damage."""
    dialect = draw(st.sampled_from(sorted(LINES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lines = content(dialect, random_rows(rng, draw(st.integers(2, 12)))).splitlines()
    for _ in range(draw(st.integers(0, 6))):
        i = draw(st.integers(1, len(lines) - 1))
        line = lines[i]
        a = draw(st.integers(0, len(line)))
        b = draw(st.sampled_from([a, a, a + 1, a + 2, len(line)]))
        lines[i] = line[:a] + draw(st.sampled_from([b"", b"", draw(BYTES)])) + line[b:]
    return dialect, lines


def readable(folder: Path, first: bytes, line: bytes, *, cut: bool) -> bool:
    """Whether a strict read takes this line, after a first one that it takes."""
    try:
        read_log(write(folder, first + b"\n" + line + b"\n" * (not cut), "gear-alone.csv"))
    except LogError:
        return False
    return True


@given(damaged(), st.booleans())
@settings(max_examples=120, deadline=None)
def test_exactly_the_rows_that_a_strict_read_refuses_are_left_out(
    tmp_path_factory: pytest.TempPathFactory, log: tuple[str, list[bytes]], cut: bool
) -> None:
    """R4.2: rows in = rows kept + bad rows, and the rest is read as if they had never been."""
    folder, (dialect, lines) = tmp_path_factory.mktemp("logs"), log
    path = write(folder, b"\n".join(lines) + b"\n" * (not cut))
    full = [i for i, line in enumerate(lines) if line.strip(b" \t\r\v\f")]
    good = [
        i
        for i in full
        if i == 0 or readable(folder, lines[0], lines[i], cut=cut and i == len(lines) - 1)
    ]
    header = int(dialect == "csv")
    if len(good) == header:
        with pytest.raises(LogError):
            read_log_quarantined(path)
        return
    table, quarantine = read_log_quarantined(path)
    clean = write(folder, b"".join(lines[i] + b"\n" for i in good), "gear-clean.csv")
    assert table.equals(read_log(clean))
    assert read_log(path, on_bad="quarantine").equals(table)
    assert quarantine.rows_in == len(full) - header
    assert quarantine.rows_kept == table.height == len(good) - header
    assert quarantine.rows_bad == sum(quarantine.bad.values()) == len(full) - len(good)
    bad_lines = [i + 1 for i in full if i not in good]
    assert [fault.line for fault in quarantine.examples] == bad_lines[:MAX_EXAMPLES]
    if bad_lines:
        with pytest.raises(LogError, match=f"line {bad_lines[0]}, column"):
            read_log(path)
    else:
        assert read_log(path).equals(table)


CSV = b"timestamp,arbitration_id,data_field,attack\n1.0,0F1,00,0\n"
HCRL = b"1.0,0316,1,05,R\n"
CANDUMP = b"(1.0) can0 044#11\n"


@pytest.mark.parametrize(
    ("good", "line", "kind"),
    [
        (CSV, b"abc,0F1,00,0\n", "time"),
        (CSV, b"1e99,0F1,00,0\n", "time"),
        (CSV, b"1.0,0G1,00,0\n", "hex"),
        (CSV, b"1.0,0F1,123,0\n", "hex"),
        (CSV, b"1.0,20000000,00,0\n", "id_range"),
        (CSV, b"1.0,0F1,001122334455667788,0\n", "dlc_long"),
        (CSV, b"1.0,0F1,00,2\n", "label"),
        (CSV, b"1.0,0F1,00\n", "fields"),
        (CSV, b"1.0,0F1,0\x000,0\n", "nul"),
        (CSV, b"1.0,0F1,00", "truncated_tail"),
        (HCRL, b"1.0,0316,8,05,R\n", "dlc_short"),
        (HCRL, b"1.0,0316,1,05,06,R\n", "dlc_long"),
        (HCRL, b"1.0,0316,12,05,R\n", "dlc"),
        (HCRL, b"1.0,0316,1,05,Q\n", "label"),
        (CANDUMP, b"(1.0) can0 044##111\n", "can_fd"),
        (CANDUMP, b"(1.0) can0 20000001#11\n", "error_frame"),
        (CANDUMP, b"(1.0) can0 800#11\n", "id_range"),
        (CANDUMP, b"(1.0) can0 044#11", "truncated_tail"),
    ],
)
def test_rows_are_counted_by_the_kind_of_their_fault(
    tmp_path: Path, good: bytes, line: bytes, kind: str
) -> None:
    table, quarantine = read_log_quarantined(write(tmp_path, good + line))
    assert table.height == 1
    assert quarantine.bad == {kind: 1}
    assert str(quarantine) == f"1 of 2 rows kept; left out: 1 {kind}"
    assert quarantine.examples[0].line == 1 + good.count(b"\n")
    assert quarantine.bad_share == 0.5
    assert pickle.loads(pickle.dumps(quarantine)) == quarantine
    assert asdict(quarantine)["bad"] == {kind: 1}


def test_only_the_first_examples_are_kept_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_lines, "_BLOCK", 64)
    path = write(tmp_path, CSV + b"1.0,0F1,00,0\n1.0,0F1,00,9\n" * 50)
    table, quarantine = read_log_quarantined(path)
    assert (table.height, quarantine.bad) == (51, {"label": 50})
    assert [fault.line for fault in quarantine.examples] == [4, 6, 8, 10, 12][:MAX_EXAMPLES]
    assert quarantine.examples[0].excerpt == "'9'"


def test_a_log_without_one_good_row_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, CSV.splitlines()[0] + b"\n1.0,0F1,00,x\n" + b"x\n" * 3)
    with pytest.raises(LogError, match=r"line 2, .*no row of 4 can be read"):
        read_log_quarantined(path)
    with pytest.raises(ValueError, match=r"on_bad must be one of raise, quarantine \(got 'skip'\)"):
        read_log(path, on_bad="skip")  # type: ignore[arg-type]


def test_an_account_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(ValueError, match="5 rows are not 3 kept and 1 bad"):
        Quarantine(rows_in=5, rows_kept=3, bad={"hex": 1})
    assert Quarantine().bad_share == 0


def test_captures_pass_it_on(tmp_path: Path) -> None:
    path = write(tmp_path, CSV + b"x\n")
    capture = Capture(dataset="d", subset=TRAIN_SUBSETS[1], name="gear.csv", source=path)
    with pytest.raises(LogError):
        capture.read()
    assert capture.read("quarantine").height == 1
    table, quarantine = capture.read_quarantined()
    assert (table.height, quarantine.bad) == (1, {"fields": 1})
    simulated = open_dataset("sim_small", None).train[0]
    table, quarantine = simulated.read_quarantined()
    assert quarantine.rows_kept == quarantine.rows_in == table.height


@pytest.mark.parametrize("subset", [*TRAIN_SUBSETS, "test_01"])
def test_captures_without_labels_are_attack_free_ones(tmp_path: Path, subset: str) -> None:
    """Messages without a label would count as benign."""
    path = write(tmp_path, CANDUMP * 3, "drive.log")
    capture = Capture(dataset="d", subset=subset, name="drive.log", source=path)
    if subset == TRAIN_SUBSETS[0]:
        assert capture.read().height == capture.read_quarantined()[0].height == 3
        return
    for read in (capture.read, capture.read_quarantined):
        with pytest.raises(DatasetError, match="3 of 3 messages of drive"):
            read()
