"""Committed outputs of trials: one folder each, found by fingerprint, written once.

A folder appears by one rename after its files and its manifest are on the disk, so it is whole or
absent. Its manifest holds the digest of every file; reading verifies them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphids.store.files import read_json, sha256, sync, write_json

MANIFEST = "manifest.json"
SHORT = 12


class DamagedOutputError(Exception):
    """A committed file is missing or its content is not what the manifest says."""


@dataclass
class OutputStore:
    """The outputs of every trial that was ever committed under one root."""

    root: Path
    """Folder of the store."""
    _known: dict[str, Path] = field(default_factory=dict, init=False, repr=False)

    @property
    def outputs(self) -> Path:
        """Folder of the committed outputs."""
        return self.root / "outputs"

    @property
    def temporary(self) -> Path:
        """Folder of the outputs that are being written."""
        return self.root / "tmp"

    def find(self, fingerprint: str) -> Path | None:
        """Folder of a committed output, ``None`` where there is none."""
        short = fingerprint[:SHORT]
        found = self._known.pop(short, None)
        if found is None or not (found / MANIFEST).is_file():
            found = self._scan(short).get(short)
        if found is not None:
            self._known[short] = found
        return found

    def committed(self) -> dict[str, Path]:
        """Every committed output: the first twelve characters of its fingerprint and its folder."""
        self._known = self._scan()
        return dict(self._known)

    def _scan(self, ending: str = "") -> dict[str, Path]:
        """Folders by the end of their name; without a manifest a folder is not an output."""
        if not self.outputs.is_dir():
            return {}
        # Thousands of folders are listed by their entries alone: a path object each is slower.
        with os.scandir(self.outputs) as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(ending))
        return {
            name[-SHORT:]: self.outputs / name
            for name in names
            if os.path.isfile(f"{self.outputs}/{name}/{MANIFEST}")  # noqa: PTH113
        }

    def begin(self, fingerprint: str) -> Path:
        """A new temporary folder for the files of one trial."""
        folder = self.temporary / f"{fingerprint[:SHORT]}.{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        return folder

    def commit(
        self,
        folder: Path,
        fingerprint: str,
        label: str,
        manifest: Mapping[str, Any],
        still_ours: Callable[[], None] = lambda: None,
    ) -> Path:
        """Makes a temporary folder the committed output of ``fingerprint``.

        Args:
            folder: What :meth:`begin` gave, with the files in it.
            fingerprint: Digest of the trial.
            label: Readable part of the folder's name.
            manifest: What else the manifest holds.
            still_ours: Raises where this run lost the store; called just before the rename.

        Returns:
            The committed folder: an earlier one where the same trial was committed before.
        """
        files = {
            path.relative_to(folder).as_posix(): {
                "sha256": sha256(path),
                "bytes": path.stat().st_size,
            }
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        for name in files:
            sync(folder / name)
        write_json(folder / MANIFEST, {**manifest, "fingerprint": fingerprint, "files": files})
        target = self.outputs / f"{slug(label)}-{fingerprint[:SHORT]}"
        self.outputs.mkdir(parents=True, exist_ok=True)
        still_ours()
        earlier = self.find(fingerprint)
        if earlier is not None:
            shutil.rmtree(folder)
            return earlier
        folder.rename(target)
        sync(self.outputs)
        self._known[fingerprint[:SHORT]] = target
        return target

    def manifest(self, folder: Path) -> dict[str, Any]:
        """The manifest of a committed output."""
        manifest: dict[str, Any] = read_json(folder / MANIFEST)
        return manifest

    def read(self, folder: Path, name: str, manifest: Mapping[str, Any]) -> bytes | None:
        """Content of a committed file that is what its manifest says; none where it lists no such.

        Raises:
            DamagedOutputError: The file is missing or differs.
        """
        expected = manifest["files"].get(name)
        if expected is None:
            return None
        path = folder / name
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise DamagedOutputError(
                f"{path} is missing although its manifest lists it; "
                "move the folder away and run the grid again"
            ) from error
        if hashlib.sha256(content).hexdigest() != expected["sha256"]:
            raise DamagedOutputError(
                f"{path} does not match its manifest; move the folder away and run the grid again"
            )
        return content

    def verify(self, folder: Path) -> dict[str, Any]:
        """Checks every file of a committed output against its manifest, and returns the manifest.

        Raises:
            DamagedOutputError: names the first file that is missing or differs.
        """
        manifest = self.manifest(folder)
        for name, expected in manifest["files"].items():
            path = folder / name
            if not path.is_file():
                raise DamagedOutputError(
                    f"{path} is missing although its manifest lists it; "
                    "move the folder to quarantine and run the grid again"
                )
            found = sha256(path)
            if found != expected["sha256"]:
                raise DamagedOutputError(
                    f"{path} does not match its manifest (sha256 {found[:12]}, expected "
                    f"{expected['sha256'][:12]}); "
                    "move the folder to quarantine and run the grid again"
                )
        return manifest

    def quarantine(self, folder: Path) -> Path:
        """Moves a damaged output out of the way, so that its trial runs again."""
        target = self.root / "quarantine" / f"{folder.name}.{uuid.uuid4().hex[:8]}"
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
        self._known.pop(folder.name[-SHORT:], None)
        return target

    def sweep(self) -> int:
        """Removes what interrupted trials left behind; returns how many folders went."""
        left = list(self.temporary.iterdir()) if self.temporary.is_dir() else []
        for folder in left:
            # A worker that outlives its killed driver for a moment may still write into it.
            shutil.rmtree(folder, ignore_errors=True)
        return len(left)


def slug(label: str) -> str:
    """A label as part of a folder name: letters, digits, ``_`` and ``-``."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", label).strip("-")
