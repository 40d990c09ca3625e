"""How should a classifier read arbitration ids, of which an unknown vehicle has others?

Axis ``ids``: a table whose row for unknown ids is trained by dropping one known id in ten; the same
table without dropping; and hashing the raw id into buckets, where an unseen id has some of its own.
"""

from graphids.core.models.id_encoding import HashEncodingCfg
from graphids.grid import Axis, Grid, Level, one_at_a_time
from grids.common import CLASSIFIER, DATASETS, SEEDS

GRID = Grid(
    name="id_encoding",
    variants=one_at_a_time(
        CLASSIFIER,
        Axis(
            "ids",
            (
                Level("learned_unk", {}),
                Level("id_lookup", {"model.p_unk_drop": 0.0}),
                Level("id_hash", {"model.ids": HashEncodingCfg(num_buckets=2048)}),
            ),
        ),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
