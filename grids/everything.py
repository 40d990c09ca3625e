"""Does every model, loss and row of the family run, side by side, with shared work done once?

The union of the other studies, on simulated traffic and with at most eight epochs a trial, so that
two cores see all of it within half an hour. Its axes are theirs. With
``--set classify.fit.max_epochs=15 --set autoencode.fit.max_epochs=15`` its trials are theirs too.
"""

from dataclasses import replace

from graphids.grid import Grid, Variant, union
from graphids.grid.edits import edit_stages
from grids import (
    components,
    conv_type,
    corruption,
    curriculum,
    distillation,
    fusion,
    fusion_states,
    gat_loss,
    gat_sampling,
    id_encoding,
    pooling,
    relative_inputs,
    reward,
    scaler,
    selection,
    self_loops,
    unk_drop,
    unsupervised,
    vocabulary,
    windowing,
)

STUDIES = (
    gat_loss, unsupervised, fusion, distillation, conv_type, gat_sampling, curriculum, id_encoding,
    unk_drop, vocabulary, scaler, relative_inputs, pooling, self_loops, windowing, selection,
    corruption, fusion_states, reward, components,
)  # fmt: skip
MAX_EPOCHS = 8


def shortened(variant: Variant) -> Variant:
    """The variant with at most ``MAX_EPOCHS`` for every detector in its chain."""
    stage = variant.stage
    for name in ("classify", "autoencode"):
        stage = edit_stages(stage, name, "fit.max_epochs", lambda _: MAX_EPOCHS)
    return replace(variant, stage=stage)


GRID = Grid(
    name="everything",
    variants=tuple(shortened(variant) for variant in union(study.GRID for study in STUDIES)),
    datasets=("sim_small",),
    seeds=range(1),
)
