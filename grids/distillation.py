"""How much of a teacher, ten to twenty times larger, reaches a small student?

Axis ``distillation``: both students taught by the labels alone (nokd) and by their teachers (kd).
Axis ``head``: every fusion head over either pair of students; a head over taught students differs
from the baseline in both. The rows outside the axes are the teachers. The analyses compare layers
of students and teachers, and what the classifiers among them attend to in the same windows.
"""

from collections.abc import Mapping
from dataclasses import replace

from graphids.core.models.autoencoder import VGAEConfig
from graphids.core.models.supervised import GATConfig
from graphids.grid import Analysis, Axis, Grid, Level, Variant, one_at_a_time
from graphids.stages import Extract, Record
from graphids.stages.analyse import Attention, Similarity
from graphids.stages.record import Detector
from grids.common import AUTOENCODER, CLASSIFIER, DATASETS, FUSION, SEEDS
from grids.fusion_heads import heads

TEACHER_GAT = replace(CLASSIFIER, model=GATConfig(scale="teacher"))
TEACHER_VGAE = replace(AUTOENCODER, model=VGAEConfig(scale="teacher"))
STUDENT_GAT = replace(CLASSIFIER, teacher=Record(detector=TEACHER_GAT))
STUDENT_VGAE = replace(AUTOENCODER, teacher=Record(detector=TEACHER_VGAE, nodes=True))
COMPARED: Mapping[str, tuple[Detector, Detector]] = {
    "gat_kd": (TEACHER_GAT, STUDENT_GAT),
    "gat_nokd": (TEACHER_GAT, CLASSIFIER),
    "vgae_kd": (TEACHER_VGAE, STUDENT_VGAE),
    "vgae_nokd": (TEACHER_VGAE, AUTOENCODER),
}
LOOKED_AT = {
    "teacher_gat": TEACHER_GAT,
    "student_gat_kd": STUDENT_GAT,
    "student_gat_nokd": CLASSIFIER,
}
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
    analyses=(
        *(
            Analysis(name=f"{name}_similarity", stage=Similarity(teacher=teacher, student=student))
            for name, (teacher, student) in COMPARED.items()
        ),
        *(
            Analysis(name=f"{name}_attention", stage=Attention(classifier=classifier))
            for name, classifier in LOOKED_AT.items()
        ),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
