"""How much of a teacher, ten to twenty times larger, reaches a small student?

Axis ``distillation``: both students taught by the labels alone (nokd) and by their teachers (kd).
Axis ``head``: every fusion head over either pair of students; a head over taught students differs
from the baseline in both. The rows outside the axes are the teachers.
"""

from dataclasses import replace

from graphids.core.models.autoencoder import VGAEConfig
from graphids.core.models.supervised import GATConfig
from graphids.grid import Axis, Grid, Level, Variant, one_at_a_time
from graphids.stages import Extract, Record
from grids.common import AUTOENCODER, CLASSIFIER, DATASETS, FUSION, SEEDS
from grids.fusion_heads import heads

TEACHER_GAT = replace(CLASSIFIER, model=GATConfig(scale="teacher"))
TEACHER_VGAE = replace(AUTOENCODER, model=VGAEConfig(scale="teacher"))
STUDENT_GAT = replace(CLASSIFIER, teacher=Record(detector=TEACHER_GAT))
STUDENT_VGAE = replace(AUTOENCODER, teacher=Record(detector=TEACHER_VGAE, nodes=True))
FUSION_KD = replace(FUSION, states=Extract(autoencoder=STUDENT_VGAE, classifier=STUDENT_GAT))

GRID = Grid(
    name="distillation",
    variants=(
        *one_at_a_time(
            CLASSIFIER,
            Axis(
                "distillation",
                (
                    Level("student_gat_nokd", {}),
                    Level("student_gat_kd", {"teacher": STUDENT_GAT.teacher}),
                ),
            ),
        ),
        *one_at_a_time(
            AUTOENCODER,
            Axis(
                "distillation",
                (
                    Level("student_vgae_nokd", {}),
                    Level("student_vgae_kd", {"teacher": STUDENT_VGAE.teacher}),
                ),
            ),
        ),
        *one_at_a_time(FUSION, heads("_nokd")),
        *(replace(row, baseline=False) for row in one_at_a_time(FUSION_KD, heads("_kd"))),
        Variant(name="teacher_gat", stage=TEACHER_GAT),
        Variant(name="teacher_vgae", stage=TEACHER_VGAE),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
