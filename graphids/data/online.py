"""Window graphs of a running bus: messages go in one by one, a graph comes out as a window ends.

The graphs are those that a capture of the same messages gives, so that a model trained on captures
scores them.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from graphids.core.batch import GraphBatch
from graphids.data.features import window_graphs
from graphids.data.scaling import CLIP, Scaler
from graphids.data.vocabulary import Vocabulary
from graphids.data.windows import check_window


class OnlineWindows:
    """The last messages of a bus, and the scaled graph of each window as its last message comes."""

    def __init__(
        self, scaler: Scaler, vocabulary: Vocabulary, *, window: int = 100, stride: int = 100
    ) -> None:
        """Starts without a message.

        Args:
            scaler: That of the training windows.
            vocabulary: That of the training windows.
            window: Messages in a window.
            stride: Messages between the starts of two windows, at most ``window``.

        Raises:
            ValueError: A window or stride that cannot be cut.
        """
        check_window(window, stride)
        self.vocabulary = vocabulary
        self._of_nodes = scaler.x_center.numpy(), scaler.x_scale.numpy()
        self._of_edges = scaler.edge_center.numpy(), scaler.edge_scale.numpy()
        self.window, self.stride = window, stride
        self._held = self._seen = 0
        self._time_ns = np.zeros(window, dtype=np.int64)
        self._arbitration_id = np.zeros(window, dtype=np.uint32)
        self._payload = np.zeros((window, 8), dtype=np.uint8)

    def add(self, time_ns: int, arbitration_id: int, payload: bytes) -> GraphBatch | None:
        """Takes the next message; the graph of the window that it ends, if it ends one.

        Args:
            time_ns: When it came, nanoseconds, not before the last one.
            arbitration_id: Its id.
            payload: Its data, at most 8 bytes.

        Returns:
            A batch of one graph whose ``graph_index`` counts the windows, and whose label is 0:
            nobody knows it. It shares no memory with later ones.

        Raises:
            ValueError: The message is older than the last one, or longer than 8 bytes.
        """
        if len(payload) > self._payload.shape[1]:
            raise ValueError(
                f"a message of id {arbitration_id:#x} has {len(payload)} bytes, a window takes at "
                f"most {self._payload.shape[1]}; CAN FD has no features here"
            )
        if self._held and time_ns < self._time_ns[self._held - 1]:
            raise ValueError(
                f"a message of {time_ns} ns comes after one of {self._time_ns[self._held - 1]} ns; "
                "hand messages over in order of time"
            )
        row = self._held
        self._time_ns[row], self._arbitration_id[row] = time_ns, arbitration_id
        self._payload[row, : len(payload)] = np.frombuffer(payload, dtype=np.uint8)
        self._payload[row, len(payload) :] = 0
        self._held += 1
        if self._held < self.window:
            return None
        graph = self._graph()
        self._seen += 1
        self._held = self.window - self.stride
        for column in (self._time_ns, self._arbitration_id, self._payload):
            column[: self._held] = column[self.stride :].copy()
        return graph

    def _graph(self) -> GraphBatch:
        """The graph of the messages that are held."""
        found = window_graphs(self._time_ns[None], self._arbitration_id[None], self._payload[None])
        ids, zero = torch.from_numpy(found.arbitration_id), _integers(0)
        return GraphBatch(
            x=_scaled(found.x, *self._of_nodes),
            node_id=self.vocabulary.encode(ids),
            arbitration_id=ids,
            edge_index=torch.from_numpy(found.edge_index),
            edge_attr=_scaled(found.edge_attr, *self._of_edges),
            batch=torch.zeros_like(ids),
            ptr=_integers(0, len(ids)),
            y=zero,
            attack_type=zero,
            graph_index=_integers(self._seen),
        )


def _integers(*values: int) -> torch.Tensor:
    """A tensor of a few numbers, in half the time that torch takes for a list."""
    return torch.from_numpy(np.array(values, dtype=np.int64))


def _scaled(
    values: NDArray[np.float32], center: NDArray[np.float32], scale: NDArray[np.float32]
) -> torch.Tensor:
    """Features ``[n, F]`` as ``Scaler.apply`` makes them, in place."""
    values -= center
    values /= scale
    return torch.from_numpy(values.clip(-CLIP, CLIP, out=values))
