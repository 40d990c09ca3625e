"""Attention over the layers of a network, by an LSTM that is unrolled where that is faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch_geometric.nn import JumpingKnowledge


class LayerAttention(JumpingKnowledge):
    """Jumping knowledge in LSTM mode (Xu et al. 2018), with the parameters and results of PyG's.

    Over a sequence of two or three layers the library's LSTM spends much of its time on a state
    that is still 0 and in a slow backward pass. Training on a CPU unrolls it into plain operations
    that leave the zero state out: a third less time.
    """

    lstm: nn.LSTM
    att: nn.Linear

    def __init__(self, channels: int, num_layers: int) -> None:
        super().__init__("lstm", channels=channels, num_layers=num_layers)

    def forward(self, xs: Sequence[Tensor]) -> Tensor:
        """Nodes ``[V, H]``, a weighted mean of the layers' ``[V, H]``."""
        if len(xs) < 2 or xs[0].device.type != "cpu" or not torch.is_grad_enabled():
            mixed: Tensor = super().forward(list(xs))
            return mixed
        weights = dict(self.lstm.named_parameters())
        onward = _unrolled(xs, weights, "l0")
        back = _unrolled(xs[::-1], weights, "l0_reverse")[::-1]
        pairs = zip(onward, back, strict=True)
        logits = torch.cat([self.att(torch.cat(pair, dim=-1)) for pair in pairs], dim=-1)
        shares = logits.softmax(dim=-1)
        return torch.stack([x * shares[:, layer : layer + 1] for layer, x in enumerate(xs)]).sum(
            dim=0
        )


def _unrolled(xs: Sequence[Tensor], lstm: Mapping[str, Tensor], direction: str) -> list[Tensor]:
    """Hidden states ``[V, C]`` of one LSTM direction over ``xs``, from a zero state.

    Gates stand in torch's order: input, forget, cell, output. The first step has nothing to forget.
    """
    w_input, w_hidden = lstm[f"weight_ih_{direction}"], lstm[f"weight_hh_{direction}"]
    bias = lstm[f"bias_ih_{direction}"] + lstm[f"bias_hh_{direction}"]
    width = w_hidden.shape[1]
    first_rows = torch.cat((w_input[:width], w_input[2 * width :]))
    first_bias = torch.cat((bias[:width], bias[2 * width :]))
    gate_in, new, gate_out = torch.addmm(first_bias, xs[0], first_rows.t()).chunk(3, dim=1)
    cell = gate_in.sigmoid() * new.tanh()
    states = [gate_out.sigmoid() * cell.tanh()]
    weights = torch.cat((w_input, w_hidden), dim=1).t()
    for x in xs[1:]:
        gates = torch.addmm(bias, torch.cat((x, states[-1]), dim=1), weights)
        gate_in, keep, new, gate_out = gates.chunk(4, dim=1)
        cell = torch.addcmul(gate_in.sigmoid() * new.tanh(), keep.sigmoid(), cell)
        states.append(gate_out.sigmoid() * cell.tanh())
    return states
