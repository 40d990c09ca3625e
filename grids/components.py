"""Which parts of the classifier does its result rest on?

Axis ``without``: the full classifier, then one part taken away at a time. ``ids``: an id says which
of two halves of all ids it is in; ``edges``: attention reads no edge features, and with them goes
that it ranks neighbours by the node that asks; ``neighbours``: one convolution in place of two;
``heads``: one head as wide as the four; ``deep_head``: one linear layer after pooling; ``dropout``;
``weight_decay``; ``unk_drop``: known ids are never hidden; ``early_stop``: the last epoch counts.
"""

from graphids.core.models.id_encoding import HashEncodingCfg
from graphids.grid import Component, Grid, leave_one_out
from grids.common import CLASSIFIER, DATASETS, SEEDS

# Two rows are the fewest of a table of ids; the model's own share of hidden ids stays.
HALVES = HashEncodingCfg(k=1, num_buckets=2, p_unk_drop=CLASSIFIER.model.p_unk_drop)

GRID = Grid(
    name="components",
    variants=leave_one_out(
        CLASSIFIER,
        Component.of("model.ids", None, off=HALVES),
        Component.of("model.conv", "gatv2", off="gat", name="edges"),
        Component.of("model.layers", None, off=1, name="neighbours"),
        Component(
            "heads",
            on={"model.heads": None, "model.hidden": None},
            off={"model.heads": 1, "model.hidden": 48},
        ),
        Component.of("model.fc_layers", 3, off=1, name="deep_head"),
        Component.of("model.dropout", 0.2, off=0.0),
        Component.of("model.weight_decay", 1e-4, off=0.0),
        Component.of("model.p_unk_drop", 0.1, off=0.0, name="unk_drop"),
        Component.of("fit.monitor", "val_loss", off="last", name="early_stop"),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
