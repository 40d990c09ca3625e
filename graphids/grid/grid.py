"""A grid: the named study, its variants, its datasets and its seeds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from graphids.grid.trial import StageLike

FLOOR = "always_attack"
"""Name of the row that flags every window: no variant may take it."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of the ablation table; it has no seed and no dataset."""

    name: str
    """Name of the row."""
    stage: StageLike
    """The stage whose scores are tabulated, with everything upstream of it."""
    axis: str | None = None
    """Axis on which the row differs from the baseline; ``None`` for rows outside an axis."""
    level: str | None = None
    """Level of that axis."""
    baseline: bool = False
    """Whether other rows with the same last stage are compared with this one."""
    aliases: tuple[str, ...] = ()
    """Other names of the row: those of variants that are equal to it in every setting."""

    def also_for(self, other: Variant) -> Self:
        """This row where it stands for another one of the same stage as well."""
        return self


@dataclass(frozen=True, kw_only=True)
class Dropped(Variant):
    """A row that a design declares and a rule takes out: it runs nothing, and the plan says why.

    It stands among the variants that a design returns, so that it is not lost where designs are
    concatenated; ``Grid`` puts it aside. Its stage is the one that it would have had, or that of
    the design's baseline where the stage refuses the settings.
    """

    rule: str
    """Name of the rule."""
    reason: str
    """Why the row makes no sense."""


@dataclass(frozen=True, kw_only=True)
class Analysis(Variant):
    """A look at detectors that rows of the grid have trained; it is no row and stands in no table.

    Everything upstream of its stage is in the chain of a row, so that nothing is trained for it;
    without such a row the plan leaves it out and says so. It may stand among the variants or the
    references that a design returns; ``Grid`` puts it aside.
    """

    all_seeds: bool = False
    """Whether it looks at every seed; else at the grid's first one."""

    def __post_init__(self) -> None:
        if self.baseline or self.axis is not None or self.level is not None:
            raise ValueError(
                f"analysis {self.name!r} is no row: it has no axis, no level and is no baseline"
            )

    def also_for(self, other: Variant) -> Self:
        """This analysis, of all seeds where either of the two looks at all."""
        every = isinstance(other, Analysis) and other.all_seeds
        return replace(self, all_seeds=self.all_seeds or every)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A study: every variant on every dataset with every seed."""

    name: str
    """Name of the study, as the command line takes it."""
    variants: Sequence[Variant]
    """Rows of the table, in its order; the baseline is put first, dropped rows and analyses are put
    aside."""
    datasets: Sequence[str]
    """Names of the datasets."""
    seeds: Sequence[int]
    """Seeds; differences between rows are paired over them."""
    references: Sequence[Variant] | None = None
    """Rows below the table that nothing is compared with, such as simple detectors; ``None`` takes
    the standard ones on the baseline's prepared dataset. The floor stands there in any case."""
    analyses: Sequence[Analysis] = ()
    """What is looked at of the detectors that the rows have trained; those among ``variants`` and
    ``references`` are added."""
    dropped: Sequence[Dropped] = ()
    """Rows that rules take out; those among ``variants`` and ``references`` are added."""

    def __post_init__(self) -> None:
        declared = (*self.variants, *(self.references or ()))
        dropped = (*self.dropped, *(row for row in declared if isinstance(row, Dropped)))
        among = (row for row in declared if isinstance(row, Analysis))
        object.__setattr__(self, "analyses", (*self.analyses, *among))
        ordered = sorted(_kept(self.variants), key=lambda variant: not variant.baseline)
        object.__setattr__(self, "variants", tuple(ordered))
        if self.references is not None:
            object.__setattr__(self, "references", _kept(self.references))
        object.__setattr__(self, "dropped", dropped)
        object.__setattr__(self, "datasets", tuple(self.datasets))
        object.__setattr__(self, "seeds", tuple(self.seeds))
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", self.name):
            raise ValueError(f"grid name {self.name!r} must be a word: letters, digits, _ and -")
        self._check_unique("variants", self._row_names())
        self._check_analyses()
        for what, values in (
            ("datasets", self.datasets),
            ("seeds", self.seeds),
        ):
            self._check_unique(what, values)
        self._check_dropped()
        if any(seed < 0 for seed in self.seeds):
            raise ValueError(f"grid {self.name!r}: seeds must not be negative (got {self.seeds})")
        if FLOOR in {variant.name for variant in self.variants}:
            raise ValueError(
                f"grid {self.name!r}: {FLOOR!r} is the floor's name; rename the variant"
            )
        self._check_baselines()

    def _check_unique(self, what: str, values: Sequence[object]) -> None:
        """Refuses an empty or repeating list."""
        if not values:
            raise ValueError(f"grid {self.name!r} has no {what}; give at least one")
        repeated = sorted({str(value) for value in values if list(values).count(value) > 1})
        if repeated:
            raise ValueError(f"grid {self.name!r} repeats the {what} {repeated}; name each once")

    def _row_names(self) -> list[str]:
        """Names of the rows and of the references."""
        return [variant.name for variant in (*self.variants, *(self.references or ()))]

    def _check_analyses(self) -> None:
        """Refuses an analysis without a name of its own, or that is something else."""
        for analysis in self.analyses:
            if not isinstance(analysis, Analysis):
                raise TypeError(
                    f"grid {self.name!r}: {analysis!r} is no Analysis; give "
                    "Analysis(name=..., stage=...)"
                )
        if self.analyses:
            names = [*self._row_names(), *(analysis.name for analysis in self.analyses)]
            self._check_unique("names of rows and analyses", names)

    def _check_dropped(self) -> None:
        """Refuses a name that stands for a row and for a dropped row."""
        rows = set(self._row_names())
        for row in self.dropped:
            if row.name in rows:
                raise ValueError(
                    f"grid {self.name!r} both has a row {row.name!r} and drops one of that name "
                    f"(rule {row.rule!r}); rename one of them"
                )

    def _check_baselines(self) -> None:
        """Refuses a grid without a baseline, or with two for the same last stage."""
        stages = [variant.stage.name for variant in self.variants if variant.baseline]
        if not stages:
            raise ValueError(f"grid {self.name!r} has no baseline; mark one variant baseline=True")
        repeated = sorted({stage for stage in stages if stages.count(stage) > 1})
        if repeated:
            raise ValueError(f"grid {self.name!r} has several baselines that end in {repeated}")


def _kept(variants: Sequence[Variant]) -> tuple[Variant, ...]:
    """The rows among what designs return: neither taken out by a rule nor analyses."""
    return tuple(row for row in variants if not isinstance(row, Dropped | Analysis))
