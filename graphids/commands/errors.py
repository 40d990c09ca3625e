"""Errors as exit codes: what a user can mend is a message on standard error, not a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from graphids.store.disk import is_disk_full
from graphids.store.lease import StoreHeldError
from graphids.store.outputs import DamagedOutputError

DAMAGED, BAD_REQUEST, DISK_FULL, STORE_HELD = 1, 2, 4, 5


class RequestError(Exception):
    """A request that cannot be met as it stands; the message says why and what to do."""


@contextmanager
def as_request() -> Iterator[None]:
    """Takes what a grid, its settings or its captures are refused for as the user's to mend."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise RequestError(str(error)) from error


@contextmanager
def as_exit_codes() -> Iterator[None]:
    """Turns a user's mistake into a message and an exit code; other errors travel."""
    try:
        yield
    except StoreHeldError as error:
        _fail(error, STORE_HELD)
    except RequestError as error:
        _fail(error, BAD_REQUEST)
    except DamagedOutputError as error:
        _fail(error, DAMAGED)
    except OSError as error:
        if not is_disk_full(error):
            raise
        _fail(error, DISK_FULL)


def _fail(error: Exception, code: int) -> None:
    """Prints a message and leaves with a code."""
    sys.stderr.write(f"graphids: {error}\n")
    raise typer.Exit(code) from error
