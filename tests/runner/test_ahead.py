"""A Ray that was started ahead is taken by the runs that come, and ended by who started it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import pytest
import ray
from command_line import call

from graphids.runner.ahead import local_ray
from graphids.runner.cluster import cluster


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


def test_a_request_that_is_refused_ends_what_was_started_for_it() -> None:
    done = call("run", "smok")
    assert done.returncode == 2
    assert "did you mean 'smoke'?" in done.stderr
    assert "Traceback" not in done.stderr
