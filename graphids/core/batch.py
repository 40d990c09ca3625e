"""What a model may read from a batch of window graphs: attributes, shapes and units.

Shape legend, used in every docstring of the package: ``G`` graphs, ``V`` nodes, ``E`` edges, ``F``
node features (35), ``D`` edge features (11), ``K`` classes, ``H`` hidden width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

NEEDED = ("x", "node_id", "edge_index", "edge_attr", "y")
"""Fields that a PyG graph or batch must have."""
STEP = "node_sequence_step"
"""Field of a PyG graph that becomes ``GraphBatch.step``."""


@dataclass(frozen=True, slots=True)
class GraphBatch:
    """Window graphs joined into one disconnected graph.

    Models take a PyG ``Data`` or ``Batch`` as well: ``as_graph_batch`` makes it one of these.
    """

    x: Tensor
    """Node features ``[V, F]``, float32, scaled and clipped."""
    node_id: Tensor
    """Index of each node's arbitration id in the vocabulary ``[V]``, int64; 0 is an unknown id."""
    arbitration_id: Tensor
    """Arbitration id of each node as it stood on the bus ``[V]``, int64."""
    edge_index: Tensor
    """Source and destination node of each edge in the batch ``[2, E]``, int64."""
    edge_attr: Tensor
    """Edge features ``[E, D]``, float32, scaled and clipped."""
    batch: Tensor
    """Graph of each node ``[V]``, int64, ascending."""
    ptr: Tensor
    """First node of each graph and the end ``[G + 1]``, int64."""
    y: Tensor
    """1 where the window holds an attack message, else 0 ``[G]``, int64."""
    attack_type: Tensor
    """Most frequent attack code of the window's attack messages, 0 without one ``[G]``, int64."""
    graph_index: Tensor
    """Position of each graph in the packed dataset that it came from ``[G]``, int64."""
    step: Tensor | None = None
    """Position in its sequence of each node's window ``[V]``, int64, 0 the earliest; None where
    each graph is one window.
    """

    @property
    def num_graphs(self) -> int:
        """Number of graphs ``G``."""
        return self.y.numel()

    @property
    def num_nodes(self) -> int:
        """Number of nodes ``V``."""
        return self.x.shape[0]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> GraphBatch:
        """The same batch on ``device``; this batch where it is there already."""
        if self.x.device == torch.device(device):
            return self
        moved = {
            name: tensor.to(device, non_blocking=non_blocking)
            for name, tensor in self._tensors().items()
        }
        return GraphBatch(**moved)

    def _tensors(self) -> dict[str, Tensor]:
        """Every field that is not None, by its name."""
        tensors = {
            "x": self.x, "node_id": self.node_id, "arbitration_id": self.arbitration_id,
            "edge_index": self.edge_index, "edge_attr": self.edge_attr,
            "batch": self.batch, "ptr": self.ptr, "y": self.y,
            "attack_type": self.attack_type, "graph_index": self.graph_index,
        }  # fmt: skip
        return tensors if self.step is None else tensors | {"step": self.step}


def as_graph_batch(given: GraphBatch | Data) -> GraphBatch:
    """``given`` where it is a batch of ours; a PyG graph or batch with its fields.

    Where a PyG graph lacks them, arbitration ids and attack codes are 0, ``graph_index`` counts the
    graphs, ``step`` (read from ``node_sequence_step``) is None, and without ``batch`` all nodes are
    one graph.

    Raises:
        ValueError: A field among ``NEEDED`` is missing, the labels are not one for each graph, or
            the steps are not one for each node.
    """
    if isinstance(given, GraphBatch):
        return given
    fields: dict[str, Tensor] = given.to_dict()
    missing = [name for name in NEEDED if name not in fields]
    if missing:
        raise ValueError(
            f"the graph has no {', '.join(missing)}; a window needs {', '.join(NEEDED)}"
        )
    x, y = fields["x"], fields["y"].reshape(-1)
    zeros = torch.zeros(x.shape[0], dtype=torch.int64, device=x.device)
    batch = fields.get("batch", zeros)
    counts = torch.bincount(batch, minlength=y.numel() if "batch" in fields else 1)
    if counts.numel() != y.numel():
        raise ValueError(f"y has {y.numel()} labels for {counts.numel()} graphs; give one each")
    step = fields.get(STEP)
    if step is not None and step.shape != zeros.shape:
        raise ValueError(f"{STEP} has shape {tuple(step.shape)} for {zeros.numel()} nodes")
    return GraphBatch(
        x=x,
        node_id=fields["node_id"],
        arbitration_id=fields.get("arbitration_id", zeros),
        edge_index=fields["edge_index"],
        edge_attr=fields["edge_attr"],
        batch=batch,
        ptr=torch.cat((counts.new_zeros(1), counts.cumsum(0))),
        y=y,
        attack_type=fields.get("attack_type", torch.zeros_like(y)),
        graph_index=fields.get("graph_index", torch.arange(y.numel(), device=y.device)),
        step=step,
    )
