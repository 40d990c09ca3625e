"""All window graphs of a dataset in a few long tensors with offsets: no object per graph anywhere.

Features are unscaled here. The tensors are written as safetensors and mapped into memory when read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch_geometric.data import Data

from graphids.data.graph_tensors import graph_tensors, offsets_of
from graphids.data.vocabulary import Vocabulary
from graphids.data.windows import Capture, check_window

_FORMAT = "graphids.packed.2"
_OF_NODES = ("x", "node_id", "arbitration_id", "step")
_OF_EDGES = ("edge_index", "edge_attr")
_OFFSETS = ("node_offsets", "edge_offsets")
_PYG_NAMES = {"step": "node_sequence_step"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PackedGraphs:
    """``G`` graphs with ``V`` nodes and ``E`` edges in total.

    A graph is one window, or a sequence of windows side by side (:mod:`graphids.data.sequences`),
    whose labels, position and times are those of its last window.
    """

    x: Tensor
    """Node features ``[V, 35]``, float32, in the order of ``NODE_FEATURES``."""
    node_id: Tensor
    """Index of each node's arbitration id in the vocabulary ``[V]``, int64; 0 is unknown."""
    arbitration_id: Tensor
    """Arbitration id of each node ``[V]``, int64, ascending inside a window."""
    edge_index: Tensor
    """Source and target node of each edge, numbered inside its graph ``[2, E]``, int64."""
    edge_attr: Tensor
    """Edge features ``[E, 11]``, float32, in the order of ``EDGE_FEATURES``; order of messages."""
    node_offsets: Tensor
    """First node of each graph, and the end ``[G + 1]``, int64."""
    edge_offsets: Tensor
    """First edge of each graph, and the end ``[G + 1]``, int64."""
    y: Tensor
    """1 where the window holds an attack message, else 0 ``[G]``, int64."""
    attack_type: Tensor
    """Most frequent attack code among the window's attack messages, else 0 ``[G]``, int64."""
    capture: Tensor
    """Position of the window's capture file in its dataset ``[G]``, int64."""
    first_message: Tensor
    """Row of the window's first message in its capture, in order of time ``[G]``, int64."""
    start_ns: Tensor
    """Time of the window's first message since that of its capture ``[G]``, int64, nanoseconds."""
    span_ns: Tensor
    """Time between the window's first and last message ``[G]``, int64, nanoseconds."""
    num_ids: int
    """Size of the vocabulary behind ``node_id``, the unknown id included."""
    step: Tensor | None = None
    """Position in its sequence of each node's window ``[V]``, int64; None where windows are alone.
    """
    covered_from: Tensor | None = None
    """Row of the first message that each graph holds ``[G]``, int64; None where windows are alone.
    """

    def __len__(self) -> int:
        return self.y.numel()

    def __getitem__(self, i: int) -> Data:
        """Graph ``i`` as views of the packed tensors; negative ``i`` counts from the end."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"graph {i} of {len(self)} packed graphs")
        i %= len(self)
        nodes = int(self.node_offsets[i]), int(self.node_offsets[i + 1])
        edges = int(self.edge_offsets[i]), int(self.edge_offsets[i + 1])
        spans = dict.fromkeys(_OF_NODES, nodes) | dict.fromkeys(_OF_EDGES, edges)
        fields: dict[str, Tensor] = {}
        for name, tensor in self.tensors().items():
            if name not in _OFFSETS:
                first, end = spans.get(name, (i, i + 1))
                view = tensor.narrow(int(name == "edge_index"), first, end - first)
                fields[_PYG_NAMES.get(name, name)] = view
        return Data(**fields)

    @property
    def num_features(self) -> int:
        """Columns of ``x``."""
        return self.x.shape[1]

    @property
    def num_edge_features(self) -> int:
        """Columns of ``edge_attr``."""
        return self.edge_attr.shape[1]

    @property
    def num_nodes(self) -> Tensor:
        """Nodes of each graph ``[G]``."""
        return self.node_offsets.diff()

    @property
    def num_edges(self) -> Tensor:
        """Edges of each graph ``[G]``; a window has one message more."""
        return self.edge_offsets.diff()

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors().values())

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by its name; those that are None are left out."""
        optional = {"step": self.step, "covered_from": self.covered_from}
        return {
            "x": self.x,
            "node_id": self.node_id,
            "arbitration_id": self.arbitration_id,
            "edge_index": self.edge_index,
            "edge_attr": self.edge_attr,
            "node_offsets": self.node_offsets,
            "edge_offsets": self.edge_offsets,
            "y": self.y,
            "attack_type": self.attack_type,
            "capture": self.capture,
            "first_message": self.first_message,
            "start_ns": self.start_ns,
            "span_ns": self.span_ns,
        } | {name: tensor for name, tensor in optional.items() if tensor is not None}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], num_ids: int) -> PackedGraphs:
        """The graphs whose ``tensors()`` are given."""
        return cls(**tensors, num_ids=num_ids)

    def with_vocabulary(self, vocabulary: Vocabulary) -> PackedGraphs:
        """The same graphs with ``node_id`` looked up in ``vocabulary``."""
        node_id = vocabulary.encode(self.arbitration_id)
        return replace(self, node_id=node_id, num_ids=vocabulary.num_ids)

    def select(self, index: Tensor) -> PackedGraphs:
        """The graphs at ``index`` ``[n]`` (int64), in that order, copied."""
        nodes, node_offsets = ragged_rows(self.node_offsets, index)
        edges, edge_offsets = ragged_rows(self.edge_offsets, index)
        rows = dict.fromkeys(_OF_NODES, nodes) | dict.fromkeys(_OF_EDGES, edges)
        chosen = {
            name: tensor.index_select(int(name == "edge_index"), rows.get(name, index))
            for name, tensor in self.tensors().items()
            if name not in _OFFSETS
        }
        offsets = {"node_offsets": node_offsets, "edge_offsets": edge_offsets}
        return PackedGraphs.from_tensors(chosen | offsets, self.num_ids)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one safetensors file."""
        metadata = {"format": _FORMAT, "num_ids": str(self.num_ids)}
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors().items()}
        save_file(tensors, os.fspath(path), metadata=metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PackedGraphs:
        """Maps a file that ``save`` wrote; pages are read when they are touched.

        Raises:
            ValueError: if the file holds something else.
        """
        with safe_open(os.fspath(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise ValueError(
                    f"{os.fspath(path)} is not a file of packed graphs: its header says format "
                    f"{metadata.get('format')!r}, not {_FORMAT!r}; prepare the data again"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return cls.from_tensors(tensors, int(metadata["num_ids"]))


def ragged_rows(offsets: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of the segments at ``index``, one after the other, and the offsets of the result.

    Args:
        offsets: start of each segment and the end ``[S + 1]``.
        index: segments ``[n]``.

    Returns:
        Rows ``[R]`` and offsets ``[n + 1]``.
    """
    start = offsets.index_select(0, index)
    count = offsets.index_select(0, index + 1) - start
    new_offsets = torch.zeros(index.numel() + 1, dtype=torch.int64)
    torch.cumsum(count, 0, out=new_offsets[1:])
    total = int(new_offsets[-1])
    shift = (start - new_offsets[:-1]).repeat_interleave(count, output_size=total)
    return shift.add_(torch.arange(total)), new_offsets


def build_graphs(
    messages: pl.DataFrame,
    window: int = 100,
    stride: int = 100,
    vocabulary: Vocabulary | None = None,
) -> PackedGraphs:
    """Turns the messages of one capture into window graphs.

    Window ``k`` holds the messages ``k * stride .. k * stride + window`` in order of time; an
    incomplete tail is dropped, so that a short capture gives no graph at all.

    Args:
        messages: message table of one capture.
        window: messages in a window.
        stride: messages between the starts of two windows, at most ``window``.
        vocabulary: indices of arbitration ids; by default those of this capture.

    Raises:
        ValueError: if window or stride cannot be cut.
    """
    check_window(window, stride)
    tensors = graph_tensors(Capture.from_messages(messages), window, stride)
    graphs = PackedGraphs.from_tensors(tensors, 0)
    return graphs.with_vocabulary(vocabulary or Vocabulary.from_ids(graphs.arbitration_id))


def concatenate(
    parts: Sequence[PackedGraphs], vocabulary: Vocabulary | None = None
) -> PackedGraphs:
    """Joins the graphs of several captures; ``capture`` numbers the captures in the order given.

    Args:
        parts: one PackedGraphs for each capture (one of several captures counts as that many).
        vocabulary: indices of arbitration ids; by default those of all parts together.

    Raises:
        ValueError: if there is no part, or if some are sequences and others are not.
    """
    if not parts:
        raise ValueError("nothing to concatenate: give at least one PackedGraphs")
    if len({frozenset(part.tensors()) for part in parts}) > 1:
        raise ValueError("sequences and single windows cannot be concatenated; join them first")
    first_capture = 0
    captures = []
    for part in parts:
        captures.append(part.capture + first_capture)
        first_capture += int(part.capture.max()) + 1 if len(part) else 1
    tensors = {
        name: torch.cat([part.tensors()[name] for part in parts], dim=int(name == "edge_index"))
        for name in parts[0].tensors()
    } | {
        "node_offsets": offsets_of([part.num_nodes for part in parts]),
        "edge_offsets": offsets_of([part.num_edges for part in parts]),
        "capture": torch.cat(captures),
    }
    graphs = PackedGraphs.from_tensors(tensors, 0)
    return graphs.with_vocabulary(vocabulary or Vocabulary.from_ids(graphs.arbitration_id))
