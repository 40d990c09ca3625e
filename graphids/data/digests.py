"""Content digests of capture files, remembered between runs by path, size and modification time.

The digest is that of the decompressed text, so a capture keeps it however it was compressed.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from graphids.data.log_lines import open_log

_BLOCK = 1 << 20


def content_digests(paths: Sequence[Path], cache: Path | None = None) -> dict[Path, str]:
    """sha256 of the decompressed content of each file, in hex.

    Args:
        paths: plain or gzip files.
        cache: JSON file to read known digests from and to add new ones to. One that cannot be
            understood counts as empty.

    Raises:
        LogError: a file is a broken gzip file.
    """
    known = _load(cache)
    digests: dict[Path, str] = {}
    fresh: dict[str, list[int | str]] = {}
    for path in paths:
        stat = path.stat()
        key = str(path.resolve())
        entry = known.get(key)
        if entry is not None and entry[:2] == [stat.st_size, stat.st_mtime_ns]:
            digests[path] = str(entry[2])
            continue
        digests[path] = _digest(path)
        fresh[key] = [stat.st_size, stat.st_mtime_ns, digests[path]]
    if cache is not None and fresh:
        _save(cache, known | fresh)
    return digests


def _digest(path: Path) -> str:
    """Sha256 of one file's decompressed content."""
    digest = hashlib.sha256()
    with open_log(path) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _load(cache: Path | None) -> dict[str, list[int | str]]:
    """Entries ``[size, mtime_ns, digest]`` by resolved path; those of another form are ignored."""
    if cache is None or not cache.is_file():
        return {}
    try:
        entries = json.loads(cache.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    if not isinstance(entries, dict):
        return {}
    return {
        key: entry
        for key, entry in entries.items()
        if isinstance(entry, list) and [type(value) for value in entry] == [int, int, str]
    }


def _save(cache: Path, entries: dict[str, list[int | str]]) -> None:
    """Replaces the cache in one step, so that a reader never sees half of it."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=cache.parent, prefix=f".{cache.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(entries, stream, indent=1, sort_keys=True)
        Path(temporary).replace(cache)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
