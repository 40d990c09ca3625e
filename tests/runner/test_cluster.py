"""On a cluster: the launcher's file, and a job on a head with dashboard and token."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.cluster_utils import Cluster

from graphids.runner import cluster as clusters
from graphids.runner.packing import GIB, Device

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def test_the_cluster_file_is_what_the_launcher_accepts() -> None:
    """By Ray 2.60's own schema; ``ray.autoscaler._private`` may move in another version."""
    config = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    validate_config(prepare_config(config))
    head = " ".join(config["head_start_ray_commands"])
    assert "--num-cpus=0" in head, "the head runs no trials"
    assert "--dashboard-host=127.0.0.1" in head
    assert "RAY_AUTH_MODE=token" in head
    assert "RAY_AUTH_MODE=token" in " ".join(config["worker_start_ray_commands"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def head(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A head with dashboard and token on loopback: its dashboard's address and the environment."""
    token = tmp_path / "token"
    token.write_text("0123456789abcdef" * 4)
    token.chmod(0o600)
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "HOME": str(tmp_path),
    }
    port, dashboard = free_port(), free_port()
    log = (tmp_path / "head.log").open("w")
    process = subprocess.Popen(
        [
            BIN / "ray", "start", "--head", "--block", "--num-cpus=2", f"--port={port}",
            "--include-dashboard=true", "--dashboard-host=127.0.0.1",
            f"--dashboard-port={dashboard}", "--node-ip-address=127.0.0.1",
        ],
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    address = f"http://127.0.0.1:{dashboard}"
    try:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and process.poll() is None:
            listed = subprocess.run(
                [BIN / "ray", "job", "list", "--address", address],
                env=environment, capture_output=True, check=False,
            )  # fmt: skip
            if listed.returncode == 0:
                break
            time.sleep(1)
        else:
            pytest.fail(f"the head did not come up:\n{(tmp_path / 'head.log').read_text()}")
        yield address, environment
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_a_submitted_job_runs_the_smoke_grid(
    head: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    address, environment = head
    submitted = subprocess.run(
        [
            BIN / "ray", "job", "submit", "--address", address, "--working-dir", ".", "--",
            "python", "grids/main.py", "run", "smoke",
        ],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert submitted.returncode == 0, submitted.stdout[-4000:] + submitted.stderr[-4000:]
    assert "sim_small / test_01_known_vehicle_known_attack" in submitted.stdout
    # The store of a job is not in its working directory, a temporary copy.
    store = tmp_path / "graphids-runs"
    table = subprocess.run(
        [sys.executable, ROOT / "grids" / "main.py", "table", "smoke", "--store", store, "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = json.loads(table.stdout)
    assert {row["variant"] for row in rows} >= {"ce", "focal", "vgae", "mlp", "weighted_avg"}


@pytest.mark.cluster
def test_without_the_token_the_head_refuses(head: tuple[str, dict[str, str]]) -> None:
    address, environment = head
    stranger = {k: v for k, v in environment.items() if not k.startswith("RAY_AUTH")}
    stranger |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}
    listed = subprocess.run(
        [BIN / "ray", "job", "list", "--address", address],
        env=stranger, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert listed.returncode != 0


@pytest.mark.cluster
def test_shares_are_those_of_the_smallest_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever node a trial is given to; a card that others hold ends the wait with a message."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    small = Device(name="small", accelerated=True, total_bytes=16 * GIB, cores=1, process_bytes=1)
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 0})
    try:
        for total in (80, 16, 40):
            nodes.add_node(num_cpus=4, num_gpus=2, resources={f"of_{total}": 1})
        ray.init(address=nodes.address, log_to_driver=False)

        def read_card() -> Device:
            (mine,) = [
                n for n in ray.nodes() if n["NodeID"] == ray.get_runtime_context().get_node_id()
            ]
            (total,) = [int(name[3:]) for name in mine["Resources"] if name.startswith("of_")]
            return replace(small, name=f"of {total}", total_bytes=total * GIB)

        monkeypatch.setattr(clusters, "read_card", read_card)
        found = clusters.node_device()
        assert (found.name, found.total_bytes, found.cores) == ("of 16", 16 * GIB, 2)
        asleep = ray.remote(lambda: time.sleep(60)).options(num_gpus=2, resources={"of_40": 1})
        held = asleep.remote()
        time.sleep(1)
        with pytest.raises(clusters.InfeasibleError, match=r"no GPU of .* was free for 2 s"):
            clusters._smallest_card(clusters._nodes(), patience_s=2.0)
        ray.cancel(held, force=True)
    finally:
        ray.shutdown()
        nodes.shutdown()
