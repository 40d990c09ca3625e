"""The datasets by name: which captures train, which test, and the digest that identifies them.

A dataset is a folder of subsets; the two training subsets are needed, test subsets may be missing,
which the notes say. A folder of the same layout is a dataset even when no catalogue names it.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from graphids.data.catalogue import CATALOGUE
from graphids.data.digests import content_digests
from graphids.data.logs import OnBad, is_log, read_log, read_log_quarantined
from graphids.data.messages import attack_code
from graphids.data.quarantine import Quarantine
from graphids.data.simulate import simulate_capture, simulation_digest
from graphids.data.simulate_settings import SIMULATED, CaptureConfig

TRAIN_SUBSETS = ("train_01_attack_free", "train_02_with_attacks")
"""Subsets that every dataset has."""
SUFFIXES = (".csv", ".csv.gz", ".log", ".log.gz", ".txt", ".txt.gz")
"""Endings of the files that are captures; texts only where they begin as a log does."""
_TEXTS = (".txt", ".txt.gz")


class DatasetError(ValueError):
    """A dataset that cannot be opened: the message names it and the way out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Capture:
    """One log of one drive: a file, or the settings that generate it."""

    dataset: str
    """Name of its dataset."""
    subset: str
    """Folder that holds it, such as ``train_01_attack_free``."""
    name: str
    """Path relative to the dataset, with forward slashes; unique in the dataset."""
    source: Path | CaptureConfig
    """File to read, or what to generate."""

    @property
    def attack(self) -> int:
        """Attack code that its name stands for; its attack rows carry it."""
        return attack_code(self.name)

    def read(self, on_bad: OnBad = "raise") -> pl.DataFrame:
        """Its messages as a canonical table (:mod:`graphids.data.messages`).

        Args:
            on_bad: what to do with rows that cannot be read (:func:`graphids.data.logs.read_log`).

        Raises:
            LogError: the file cannot be read.
            DatasetError: messages lack labels in a subset whose captures hold attacks.
        """
        if isinstance(self.source, Path):
            return self._labelled(read_log(self.source, on_bad))
        return simulate_capture(self.source)

    def read_quarantined(self) -> tuple[pl.DataFrame, Quarantine]:
        """Its messages that can be read, and an account of the others.

        Raises:
            LogError: no message of the file can be read.
            DatasetError: messages lack labels in a subset whose captures hold attacks.
        """
        if isinstance(self.source, Path):
            table, quarantine = read_log_quarantined(self.source)
            return self._labelled(table), quarantine
        table = simulate_capture(self.source)
        return table, Quarantine(rows_in=table.height, rows_kept=table.height)

    def _labelled(self, table: pl.DataFrame) -> pl.DataFrame:
        """The table, once its messages are known to have the labels that its subset needs."""
        unknown = table["attack"].null_count()
        if unknown and self.subset != TRAIN_SUBSETS[0]:
            raise DatasetError(
                f"{self.dataset}: {unknown:,} of {table.height:,} messages of {self.name} have no "
                f"label, and would count as benign; only {TRAIN_SUBSETS[0]} may hold such captures"
            )
        return table


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """Captures of one dataset, by what they are for."""

    name: str
    """Name it was opened by."""
    digest: str
    """sha256 of its content: subset, name and content of every capture in use."""
    train: tuple[Capture, ...]
    """Captures of both training subsets, by name."""
    tests: Mapping[str, tuple[Capture, ...]]
    """Captures of each test subset, both by name."""
    notes: tuple[str, ...] = ()
    """What a reader of results has to know: missing subsets, captures left out."""


def open_dataset(name: str, data_root: Path | None, *, digest_cache: Path | None = None) -> Dataset:
    """Dataset of this name. Nothing is parsed or generated before ``Capture.read``.

    Captures of identical content are used once: the training copy where there is one, else the
    first by name. The others are left out of the dataset and its digest, and noted.

    Args:
        name: a key of :data:`CATALOGUE`, or a folder of the same layout under ``data_root``.
        data_root: folder that holds the datasets; simulated ones need none.
        digest_cache: JSON file that remembers digests of files by path, size and modification time.

    Raises:
        DatasetError: unknown name, no data root, or a training subset is missing or empty.
        LogError: a file is a broken gzip file.
    """
    spec = CATALOGUE.get(name)
    if spec is not None and spec.simulated:
        return _simulated(name)
    root = _folder(name, data_root)
    expected = spec.tests if spec else ()
    present = {path.name for path in root.iterdir() if path.is_dir()}
    tests = sorted({sub for sub in present if sub.startswith("test_")} | set(expected))
    captures, notes = _scan(name, root, tests)
    contents = content_digests([_path(capture) for capture in captures], digest_cache)
    digests = [contents[_path(capture)] for capture in captures]
    kept, dropped = _once(captures, digests)
    emptied = {c.subset for c in captures} - {c.subset for c, _ in kept}
    dropped += [
        f"{name} has no captures of {subset} but copies of others: it is left out"
        for subset in sorted(emptied)
    ]
    return _assemble(
        name, [capture for capture, _ in kept], _digest_files(kept), (*notes, *dropped)
    )


def _simulated(name: str) -> Dataset:
    """A generated dataset; its digest comes from its settings."""
    captures = [
        Capture(dataset=name, subset=config.subset, name=config.path, source=config)
        for config in SIMULATED[name]
    ]
    return _assemble(name, captures, simulation_digest(name), ())


def _folder(name: str, data_root: Path | None) -> Path:
    """Folder of a real dataset, once its name is known to be one."""
    known = set(CATALOGUE)
    if data_root is not None and data_root.is_dir():
        known |= {p.name for p in data_root.iterdir() if (p / TRAIN_SUBSETS[0]).is_dir()}
    if name not in known and not (data_root is not None and (data_root / name).is_dir()):
        close = difflib.get_close_matches(name, sorted(known), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {sorted(known)}"
        raise DatasetError(f"no dataset is named {name!r}; {hint}")
    if data_root is None:
        raise DatasetError(
            f"dataset {name} is read from files and no data folder is given; "
            "pass --data DIR with the folder that holds it, or use sim_small, which needs none"
        )
    root = data_root / name
    for folder in (data_root, root, *(root / subset for subset in TRAIN_SUBSETS)):
        if not folder.is_dir():
            raise DatasetError(
                f"dataset {name} needs the folder {folder}, which does not exist; "
                "put the captures there, or pass --data DIR with the folder that holds the datasets"
            )
    return root


def _scan(name: str, root: Path, tests: Iterable[str]) -> tuple[list[Capture], list[str]]:
    """Captures on disk, training ones first, each group by name; and what is missing."""
    captures: list[Capture] = []
    notes: list[str] = []
    train: list[Capture] = []
    for subset in TRAIN_SUBSETS:
        found, others = _captures(name, root, subset)
        notes += others
        if not found:
            raise DatasetError(
                f"dataset {name} has no capture under {root / subset}; "
                f"training needs at least one file that ends in {' or '.join(SUFFIXES)}"
            )
        train += found
    captures += sorted(train, key=lambda capture: capture.name)
    for subset in tests:
        found, others = _captures(name, root, subset)
        notes += others
        if not found:
            notes.append(f"{name} has no captures of {subset}: it is left out")
        captures += found
    return captures, notes


def _captures(name: str, root: Path, subset: str) -> tuple[list[Capture], list[str]]:
    """Capture files of one subset, at any depth, by name; and a note for each text that is no log.

    None where the folder is missing.
    """
    captures: list[Capture] = []
    notes: list[str] = []
    for path in sorted((root / subset).rglob("*"), key=lambda path: path.as_posix()):
        ending, title = path.name.lower(), path.relative_to(root).as_posix()
        if path.name.startswith(".") or not ending.endswith(SUFFIXES) or not path.is_file():
            continue
        if ending.endswith(_TEXTS) and not is_log(path):
            notes.append(f"{name}: {title} does not begin as a log does and is left out")
            continue
        captures.append(Capture(dataset=name, subset=subset, name=title, source=path))
    return captures, notes


def _path(capture: Capture) -> Path:
    """File of a capture that is known to be one."""
    if not isinstance(capture.source, Path):
        raise TypeError(f"capture {capture.name} is generated and has no file")
    return capture.source


def _once(
    captures: list[Capture], digests: list[str]
) -> tuple[list[tuple[Capture, str]], list[str]]:
    """First capture of each content with its digest, and a note for each other one."""
    first: dict[str, Capture] = {}
    notes: list[str] = []
    for capture, digest in zip(captures, digests, strict=True):
        kept = first.setdefault(digest, capture)
        if kept is not capture:
            notes.append(
                f"{capture.dataset}: {capture.name} has the same content as {kept.name} "
                "and is left out"
            )
    return [(capture, digest) for digest, capture in first.items()], notes


def _digest_files(captures: list[tuple[Capture, str]]) -> str:
    """Sha256 over the sorted subset, name and content digest of every capture."""
    entries = sorted([capture.subset, capture.name, digest] for capture, digest in captures)
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def _assemble(name: str, captures: list[Capture], digest: str, notes: tuple[str, ...]) -> Dataset:
    """Dataset whose captures stand in the order of their names."""
    ordered = sorted(captures, key=lambda capture: capture.name)
    subsets = sorted({c.subset for c in ordered if c.subset not in TRAIN_SUBSETS})
    return Dataset(
        name=name,
        digest=digest,
        train=tuple(c for c in ordered if c.subset in TRAIN_SUBSETS),
        tests={subset: tuple(c for c in ordered if c.subset == subset) for subset in subsets},
        notes=notes,
    )
