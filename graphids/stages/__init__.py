"""Stages: settings, data and model put together into one trial's work."""

from graphids.stages.autoencode import Autoencode, FeatureDistillConfig
from graphids.stages.baseline import Learner, Rule
from graphids.stages.classify import Classify, SoftLabelConfig
from graphids.stages.extract import Extract
from graphids.stages.fuse import Fuse
from graphids.stages.prepare import Prepare
from graphids.stages.record import Record
from graphids.stages.sampling import Curriculum, Undersample
from graphids.stages.training import FitConfig

__all__ = [
    "Autoencode",
    "Classify",
    "Curriculum",
    "Extract",
    "FeatureDistillConfig",
    "FitConfig",
    "Fuse",
    "Learner",
    "Prepare",
    "Record",
    "Rule",
    "SoftLabelConfig",
    "Undersample",
]
