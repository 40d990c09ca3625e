"""Attention over the layers of a network, by an LSTM, in the way that is fastest for a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.nn import JumpingKnowledge

from graphids.core.models.eager import eager_on_cpu
from graphids.core.models.supervised.layer_mean import layer_mean
from graphids.core.models.supervised.layer_mean_few import mean_of_few

FEW = 1 << 14
"""Numbers of a state of all nodes up to which the time without a gradient is that of the calls."""


class LayerAttention(JumpingKnowledge):
    """Jumping knowledge in LSTM mode (Xu et al. 2018), with the parameters and results of PyG's.

    On a CPU it goes over pieces of nodes, or, without a gradient, over the few nodes of a window in
    few calls. Elsewhere, compiled, and of one layer it is PyG's.
    """

    lstm: nn.LSTM
    att: nn.Linear

    def __init__(self, channels: int, num_layers: int) -> None:
        super().__init__("lstm", channels=channels, num_layers=num_layers)

    def forward(self, xs: Sequence[Tensor]) -> Tensor:
        """Nodes ``[V, H]``, a weighted mean of the layers' ``[V, H]``."""
        if len(xs) < 2 or not eager_on_cpu(xs[0]):
            mixed: Tensor = super().forward(list(xs))
            return mixed
        weights = list(self.lstm.parameters())
        if not torch.is_grad_enabled() and xs[0].shape[0] * self.lstm.hidden_size <= FEW:
            return mean_of_few(xs, self.att.weight, weights)
        return layer_mean(xs, self.att.weight, self.att.bias, weights)
