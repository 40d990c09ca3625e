"""Window graphs with the tools of a notebook: pandas over the messages, networkx for the graph."""

from __future__ import annotations

from itertools import pairwise

import networkx as nx
import numpy as np
import pandas as pd
import torch
from torch_geometric.data import Data

from graphids.data.windows import Capture

_BYTES = [f"byte_{i}" for i in range(8)]


def messages_frame(capture: Capture) -> pd.DataFrame:
    """The messages of a capture as pandas has them, time in seconds."""
    frame = pd.DataFrame(capture.payload.astype(np.float64), columns=_BYTES)
    frame["time"] = (capture.time_ns - capture.time_ns[0]) * 1e-9
    frame["id"] = capture.arbitration_id.astype(np.int64)
    frame["attack"] = capture.attack
    frame["attack_type"] = capture.attack_type
    return frame


def networkx_graphs(messages: pd.DataFrame, window: int) -> list[Data]:
    """One graph for each window of ``window`` messages, with the 35 node and 11 edge features."""
    last = len(messages) - window
    return [
        _graph(messages.iloc[start : start + window].reset_index(drop=True))
        for start in range(0, last + 1, window)
    ]


def _graph(rows: pd.DataFrame) -> Data:
    ids = rows["id"]
    pairs = list(pairwise(ids))
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(ids)
    graph.add_edges_from(pairs)
    nodes = _nodes(rows, graph)
    number = {known: k for k, known in enumerate(nodes.index)}
    steps = rows[_BYTES].diff().abs()[1:]
    steps.insert(0, "iat", rows["time"].diff()[1:])
    steps["bidir"] = [float(graph.has_edge(v, u)) for u, v in pairs]
    steps["edge_freq"] = [float(graph.number_of_edges(u, v)) for u, v in pairs]
    attacks = rows.loc[rows["attack"], "attack_type"]
    return Data(
        x=torch.tensor(nodes.to_numpy(), dtype=torch.float32),
        arbitration_id=torch.tensor(list(nodes.index)),
        edge_index=torch.tensor([[number[u], number[v]] for u, v in pairs]).T.contiguous(),
        edge_attr=torch.tensor(steps.to_numpy(), dtype=torch.float32),
        y=torch.tensor([int(len(attacks) > 0)]),
        attack_type=torch.tensor([int(attacks.mode().iloc[0]) if len(attacks) else 0]),
    )


def _nodes(rows: pd.DataFrame, graph: nx.MultiDiGraph) -> pd.DataFrame:
    """The 35 features of each node, by arbitration id."""
    ids = rows["id"]
    data = rows[_BYTES]
    own = data.groupby(ids)
    deviation = data - own.transform("mean")
    m2, m3, m4 = ((deviation**power).groupby(ids).mean() for power in (2, 3, 4))
    varying = m2.where(m2 > 0)
    share = data.div(data.sum(axis=1).clip(lower=1e-12), axis=0)
    entropy = -(share * np.log(share.where(share > 0, 1))).sum(axis=1)
    changed = (own.diff() != 0).groupby(ids).sum() - 1  # the first of a node has nothing before it
    count = own.size()
    gaps = rows.groupby("id")["time"].diff().groupby(ids)
    simple = nx.Graph(graph)
    simple.remove_edges_from(list(nx.selfloop_edges(simple)))
    early = pd.Series(np.arange(len(rows)) < len(rows) // 2, dtype=float)
    features = [
        own.mean(),
        own.std().fillna(0),
        own.max() - own.min(),
        count,
        entropy.groupby(ids).mean(),
        (m3 / varying**1.5).fillna(0).clip(-10, 10).mean(axis=1),
        (m4 / varying**2 - 3).fillna(0).clip(-10, 10).mean(axis=1),
        pd.Series(nx.clustering(simple)),
        early.groupby(ids).mean(),
        changed.div((count - 1).clip(lower=1), axis=0).mean(axis=1),
        gaps.mean().fillna(0),
        gaps.std().fillna(0),
        pd.Series(dict(graph.in_degree())),
        pd.Series(dict(graph.out_degree())),
    ]
    return pd.concat([feature.reindex(count.index) for feature in features], axis=1)
