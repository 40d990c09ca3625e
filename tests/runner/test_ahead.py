"""A Ray that was started ahead is taken by the runs that come, and ended by who started it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from command_line import call
from ray.tune.tune import _setup_signal_catching

from graphids.runner import ahead, execute
from graphids.runner.ahead import local_ray, start_ray
from graphids.runner.cluster import cluster

HOST = """
import gc, sys, weakref, torch
model = torch.nn.Linear(1, 1)
model.hook = model.forward
seen = weakref.ref(model)
import graphids.runner.execute
del model
gc.collect()
sys.exit(seen() is not None)
"""
"""A program with a model of its own, in a cycle, that imports the runner."""
LATE = """
import sys, graphids.runner.ahead
before = set(sys.modules)
import graphids.stages
sys.exit(any(name.split(".")[0] == "ray" for name in set(sys.modules) - before))
"""
"""Fails where the thread that imports the libraries would import a part of Ray."""


@pytest.fixture
def _no_ray() -> Iterator[None]:
    yield
    ray.shutdown()


@pytest.mark.usefixtures("_no_ray")
def test_runs_take_the_ray_that_is_there_and_leave_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with local_ray(dashboard=False):
        assert "graphids.stages" in sys.modules
        node = ray.get_runtime_context().get_node_id()
        for _ in range(2):
            with cluster(None, dashboard=False) as watch:
                assert watch == "no dashboard"
                assert ray.get_runtime_context().get_node_id() == node
        assert ray.is_initialized()
    assert not ray.is_initialized()
    with cluster(None, dashboard=False):
        assert ray.get_runtime_context().get_node_id() != node
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_request_that_is_refused_is_told_without_a_traceback() -> None:
    done = call("run", "smok")
    assert done.returncode == 2
    assert "did you mean 'smoke'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_sigterm_while_ray_starts_is_143_and_leaves_no_handler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def terminated(**settings: Any) -> None:
        """What ``ray.init`` does where SIGTERM comes while Ray's own handler is in place."""
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(ray, "init", terminated)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        start_ray(None, dashboard=False)
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_interrupt_after_a_round_is_not_swallowed() -> None:
    before = signal.getsignal(signal.SIGINT)
    for _ in range(2):
        execute._fit(SimpleNamespace(fit=_setup_signal_catching))  # type: ignore[arg-type]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("runs", [False, True])
def test_whoever_started_ray_ends_it_whatever_fails(
    runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []
    monkeypatch.setattr(ray, "is_initialized", lambda: runs)
    monkeypatch.setattr(ray, "init", lambda **settings: None)
    monkeypatch.setattr(ray, "shutdown", lambda: ended.append(True))
    monkeypatch.setattr(ahead, "LIBRARIES", "no_such_module")
    with pytest.raises(ImportError), local_ray(dashboard=False):
        pass
    assert ended == ([] if runs else [True])


@pytest.mark.parametrize("program", [HOST, LATE], ids=["host", "late"])
def test_imports_take_no_garbage_of_a_host_and_no_part_of_ray(program: str) -> None:
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
