"""Stages: settings, data and model put together into one trial's work."""

from graphids.stages.autoencode import Autoencode
from graphids.stages.classify import Classify
from graphids.stages.extract import Extract
from graphids.stages.fuse import Fuse
from graphids.stages.prepare import Prepare
from graphids.stages.training import FitConfig

__all__ = ["Autoencode", "Classify", "Extract", "FitConfig", "Fuse", "Prepare"]
