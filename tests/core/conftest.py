"""Small window graphs and a stand-in data module for the tests of the models."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from lightning import Trainer

from graphids.core.batch import GraphBatch
from graphids.core.models.selection import select_graphs

MakeBatch = Callable[..., GraphBatch]


def random_graphs(
    graphs: int = 12, *, seed: int = 0, num_ids: int = 20, attack_share: float = 0.3, shift: float = 0.0
) -> GraphBatch:
    """Windows of 8 to 14 nodes; attacks have ``shift`` added to every feature of one third of nodes."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(8, 15, (graphs,), generator=generator)
    ptr = torch.cat((sizes.new_zeros(1), sizes.cumsum(0)))
    batch = torch.arange(graphs).repeat_interleave(sizes)
    nodes = int(ptr[-1])
    y = (torch.rand(graphs, generator=generator) < attack_share).long()
    x = torch.randn(nodes, 35, generator=generator)
    loud = (y[batch] == 1) & (torch.arange(nodes) % 3 == 0)
    x = x + shift * loud.unsqueeze(-1)
    edges = [
        torch.randint(int(ptr[g]), int(ptr[g + 1]), (2, 30), generator=generator) for g in range(graphs)
    ]
    node_id = torch.randint(1, num_ids, (nodes,), generator=generator)
    return GraphBatch(
        x=x,
        node_id=node_id,
        arbitration_id=node_id + 100,
        edge_index=torch.cat(edges, dim=1),
        edge_attr=torch.randn(30 * graphs, 11, generator=generator),
        batch=batch,
        ptr=ptr,
        y=y,
        attack_type=y * 3,
        graph_index=torch.arange(graphs),
    )


def part(batch: GraphBatch, keep: torch.Tensor) -> GraphBatch:
    """Some graphs of a batch."""
    return select_graphs(batch, keep)[0]


@dataclass
class FakeData:
    """What models ask of a data module."""

    batches: list[GraphBatch] = field(default_factory=list)
    num_ids: int = 20
    in_channels: int = 35
    num_classes: int = 2
    test_names: tuple[str, ...] = ("known", "unknown")
    attack_names: dict[int, str] = field(default_factory=lambda: {3: "gear_spoofing"})

    def calibration_dataloader(self) -> list[GraphBatch]:
        return self.batches


def quiet_trainer(**settings: object) -> Trainer:
    """A Trainer that writes nothing."""
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,  # type: ignore[arg-type]
    )


@pytest.fixture
def make_batch() -> MakeBatch:
    torch.manual_seed(0)
    return random_graphs


@pytest.fixture
def calibration() -> FakeData:
    """130 windows, none an attack, in batches of 26."""
    return FakeData([random_graphs(26, seed=seed, attack_share=0.0) for seed in range(5)])


@pytest.fixture(autouse=True)
def _lightning_hints() -> object:
    """Lightning's hints about loader workers are no fault of a model."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*treespec.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*isinstance.*treespec.*")
        yield
