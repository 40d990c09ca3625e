"""Grids as values: axes, designs, variants, trials, fingerprints. Standard library only."""

from graphids.grid.axis import Axis, Level
from graphids.grid.design import full_factorial, one_at_a_time, union
from graphids.grid.grid import Grid, Variant
from graphids.grid.trial import Trial

__all__ = ["Axis", "Grid", "Level", "Trial", "Variant", "full_factorial", "one_at_a_time", "union"]
