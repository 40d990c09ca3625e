"""Grids as values: axes, designs, variants, trials, fingerprints. Standard library only."""

from graphids.grid.axis import Axis, Level, zip_axes
from graphids.grid.components import Component, add_one_in, leave_one_out
from graphids.grid.design import full_factorial, one_at_a_time, pairs, union
from graphids.grid.exclusion import exclude
from graphids.grid.grid import Analysis, Dropped, Grid, Variant
from graphids.grid.trial import Trial

__all__ = [
    "Analysis",
    "Axis",
    "Component",
    "Dropped",
    "Grid",
    "Level",
    "Trial",
    "Variant",
    "add_one_in",
    "exclude",
    "full_factorial",
    "leave_one_out",
    "one_at_a_time",
    "pairs",
    "union",
    "zip_axes",
]
