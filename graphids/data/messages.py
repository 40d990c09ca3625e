"""The canonical message table: column names, types, units and the codes of attacks.

Every reader and the simulator produce this table and everything later reads nothing else. Rows keep
the order of the file that they came from; windows sort them stably by time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

PAYLOAD_BYTES = 8
"""Bytes of the payload column; bytes beyond ``dlc`` are 0."""
MAX_STANDARD_ID = 0x7FF
"""Largest 11-bit arbitration id; a larger one is an extended id."""
MAX_EXTENDED_ID = 0x1FFFFFFF
"""Largest 29-bit arbitration id."""

SCHEMA: Mapping[str, Any] = MappingProxyType(
    {
        "time_ns": pl.Int64(),
        "channel": pl.UInt8(),
        "arbitration_id": pl.UInt32(),
        "extended": pl.Boolean(),
        "dlc": pl.UInt8(),
        "payload": pl.Array(pl.UInt8(), PAYLOAD_BYTES),
        "attack": pl.Boolean(),
        "attack_type": pl.UInt8(),
    }
)
"""Columns in order. ``time_ns`` counts nanoseconds; ``attack`` is null where nothing is known."""

ATTACK_CODES: Mapping[str, int] = MappingProxyType(
    {
        "normal": 0,
        "attack_free": 0,
        "benign": 0,
        "dos": 1,
        "fuzzy": 2,
        "fuzzing": 2,
        "force-neutral": 3,
        "gear": 3,
        "rpm-accessory": 12,
        "rpm": 4,
        "flooding": 5,
        "malfunction": 6,
        "double": 7,
        "triple": 8,
        "interval": 9,
        "speed-accessory": 11,
        "speed": 10,
        "standstill": 13,
        "systematic": 14,
        "suppress": 15,
        "masquerade": 16,
        "replay": 17,
    }
)
"""Words of file and folder names and their attack codes, in search order: first hit wins.

``rpm-accessory`` precedes ``rpm`` for that reason; ``replay``, which the simulator adds, is last.
"""

_NAMES = {code: name for name, code in ATTACK_CODES.items()} | {0: "benign"}


def attack_name(code: int) -> str:
    """Name of an attack code; ``benign`` for 0.

    Raises:
        ValueError: no attack has this code.
    """
    if code not in _NAMES:
        raise ValueError(f"no attack has code {code}; codes are 0 to {max(_NAMES)}")
    return _NAMES[code]


def attack_code(path: PurePath | str) -> int:
    """Attack code that a capture's name stands for; 0 where no known word is found.

    The words of :data:`ATTACK_CODES` are searched in the lower-cased file name, followed by the
    name of the folder that holds the file; no word is part of a suffix.
    """
    path = PurePath(path)
    text = f"{path.name.lower()} {path.parent.name.lower()}"
    return next((code for word, code in ATTACK_CODES.items() if word in text), 0)


def message_table(
    *,
    time_ns: np.ndarray,
    arbitration_id: np.ndarray,
    dlc: np.ndarray,
    payload: np.ndarray,
    attack: np.ndarray | None,
    code: int,
    extended: np.ndarray | None = None,
    channel: np.ndarray | None = None,
) -> pl.DataFrame:
    """Canonical table from numpy columns.

    Args:
        time_ns: nanoseconds ``[N]``.
        arbitration_id: ids ``[N]``.
        dlc: payload length in bytes ``[N]``.
        payload: bytes ``[N, 8]``, 0 beyond ``dlc``.
        attack: labels ``[N]``, boolean; None where nothing is known, and then null in the table.
        code: attack code of the capture, given to attack rows only.
        extended: which ids have 29 bits ``[N]``; by default those above 0x7FF.
        channel: number of the bus ``[N]``; 0 by default.
    """
    num = len(time_ns)
    known = np.zeros(num, dtype=bool) if attack is None else attack.astype(bool)
    unknown = pl.repeat(None, num, dtype=pl.Boolean, eager=True)
    return pl.DataFrame(
        {
            "time_ns": time_ns.astype(np.int64),
            "channel": np.zeros(num, dtype=np.uint8) if channel is None else channel,
            "arbitration_id": arbitration_id.astype(np.uint32),
            "extended": arbitration_id > MAX_STANDARD_ID if extended is None else extended,
            "dlc": dlc.astype(np.uint8),
            "payload": pl.Series(np.ascontiguousarray(payload, dtype=np.uint8)),
            "attack": unknown if attack is None else known,
            "attack_type": np.where(known, code, 0).astype(np.uint8),
        },
        schema=dict(SCHEMA),
    )


def empty_table() -> pl.DataFrame:
    """Canonical table without rows."""
    return pl.DataFrame(schema=dict(SCHEMA))


def validate(messages: pl.DataFrame) -> pl.DataFrame:
    """The same table, once its columns are known to be the canonical ones.

    Raises:
        ValueError: a column is missing, unknown, out of order or of another type.
    """
    found = dict(messages.schema)
    if list(found.items()) != list(SCHEMA.items()):
        raise ValueError(
            f"not a message table: expected {dict(SCHEMA)}, found {found}; "
            "build it with graphids.data.messages.message_table or read it with read_log"
        )
    return messages
