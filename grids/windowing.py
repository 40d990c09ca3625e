"""How long should a window be, how much should windows overlap, and does context help?

Axis ``window``: messages of a window / messages between starts; then sequences of three windows of
which the last one is judged; then windows of 50, 100 and 200 messages side by side. Rows are tested
on their own windows, so that counts differ and rows do not pair.
"""

from graphids.grid import Axis, Grid, Level, one_at_a_time
from grids.common import CLASSIFIER, DATASETS, SEEDS

GRID = Grid(
    name="windowing",
    variants=one_at_a_time(
        CLASSIFIER,
        Axis(
            "window",
            (
                Level("100/100", {}),
                Level("100/50", {"data.stride": 50}),
                Level("50/50", {"data.stride": 50, "data.window": 50}),
                Level("sequence_3", {"data.sequence_length": 3}),
                Level("multi_scale", {"data.scales": (50, 100, 200), "data.stride": 50}),
            ),
        ),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
