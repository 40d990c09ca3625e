"""Small window graphs, states and stand-ins for the tests of the models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from tensordict import TensorDict

from graphids.core.batch import GraphBatch
from graphids.core.models.selection import select_graphs


def random_graphs(
    graphs: int = 12,
    *,
    seed: int = 0,
    num_ids: int = 20,
    attack_share: float = 0.3,
    shift: float = 0.0,
) -> GraphBatch:
    """Windows of 8 to 14 nodes; an attack adds ``shift`` to the features of every third node."""
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
        torch.randint(int(ptr[g]), int(ptr[g + 1]), (2, 30), generator=generator)
        for g in range(graphs)
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


class Batches:
    """A loader: re-iterable and sized. Lightning would take a bare list for several loaders."""

    def __init__(self, *batches: object) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[object]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class Windows(LightningDataModule):
    """A data module whose training windows are ``batches``."""

    num_ids, in_channels, num_classes = 20, 35, 2
    test_names = ("known",)
    attack_names: ClassVar[dict[int, str]] = {3: "gear_spoofing"}

    def __init__(self, batches: list[GraphBatch], tested: GraphBatch | None = None) -> None:
        super().__init__()
        self.batches = batches
        self.tested = tested

    def train_dataloader(self) -> Batches:
        return Batches(*self.batches)

    def val_dataloader(self) -> Batches:
        return Batches(*self.batches[:2])

    def train_eval_dataloader(self) -> list[GraphBatch]:
        return self.batches

    def test_dataloader(self) -> list[Batches]:
        return [Batches(self.tested)]


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


class Metrics(Callback):
    """Keeps what each validation epoch logged."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.epochs.append({k: float(v) for k, v in trainer.callback_metrics.items()})


WIDTHS = {
    ("vgae", "errors"): 3, ("vgae", "conf"): 1, ("vgae", "z_stats"): 4, ("vgae", "spike"): 1,
    ("vgae", "affinity"): 1, ("vgae", "rq"): 1,
    ("gat", "probs"): 2, ("gat", "conf"): 1, ("gat", "emb_stats"): 4,
}  # fmt: skip
ORDER = [
    ("gat", "conf"), ("gat", "emb_stats"), ("gat", "probs"),
    ("vgae", "affinity"), ("vgae", "conf"), ("vgae", "errors"),
    ("vgae", "rq"), ("vgae", "spike"), ("vgae", "z_stats"),
]  # fmt: skip


def states(rows: int = 200, seed: int = 0) -> TensorDict:
    """States in which both detectors know the attacks; some columns are large."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(rows, generator=generator) < 0.3).long()
    values = {key: torch.randn(rows, width, generator=generator) for key, width in WIDTHS.items()}
    attack = torch.sigmoid(2.0 * labels - 1.0 + torch.randn(rows, generator=generator))
    values["gat", "probs"] = torch.stack((1 - attack, attack), dim=-1)
    error = (labels + torch.rand(rows, generator=generator)).unsqueeze(-1)
    values["vgae", "conf"] = 1 / (1 + error)
    values["vgae", "errors"] = torch.cat((error, 1000 * error, error), dim=-1)
    td = TensorDict(values, batch_size=[rows])
    td["labels"] = labels
    td["attack_type"] = labels * 3
    return td
