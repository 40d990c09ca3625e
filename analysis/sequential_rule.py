"""The rule by which seeds are added: declared in the store before the first, and never changed.

It lies beside the plans of its grid, and so does what each look has found: whoever looks again,
after a trial that had failed has run, spends the level twice. What a table says of rows with
unequal seeds is read from both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from analysis.sequential import LEVEL, Look, look_sizes
from graphids.store.files import read_json, write_json
from graphids.store.lease import StoreHeldError, gate, is_alive, read_holder

Place = tuple[str, str, str, str, int]
"""Design, data set, digest of its captures, row and number of seeds of a look."""

PLACE = ("design", "dataset", "digest", "variant")
"""Names of what a look is at, beside its number of seeds."""
RULE_FILE, LOOKS_FILE = "seeds.json", "looks.json"
ASKED = ("metric", "subset", "most", "margin", "level")
"""What a request gives of a rule; the rest follows from it and from the seeds that there were."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When rows get more seeds, and when they are decided."""

    metric: str
    """Metric that rows are compared by."""
    subset: str | None
    """Beginning of the test subsets whose mean counts; none for all of them."""
    most: int
    """Seeds that a row may get."""
    margin: float | None
    """Difference that does not matter; none where only a difference decides."""
    level: float
    """Chance that any look calls any row of an axis different that is not."""
    rows: int
    """Rows that share the level: those of the axis that has most."""
    design: str
    """Digest of the grid's rows when it was last asked for: other rows have no seeds by it."""
    looks: tuple[int, ...]
    """Numbers of seeds at which a row is looked at."""
    seeds: tuple[int, ...]
    """Seeds in the order in which rows get them."""
    given: int
    """How many of them there were before."""

    @property
    def share(self) -> float:
        """Level of one look at one row."""
        return self.level / (len(self.looks) * self.rows)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of seeds that a row can have by the rule."""
        return tuple(sorted({self.given, *self.looks}))

    def sentence(self) -> str:
        """The rule in words."""
        where = f"those that begin with {self.subset}" if self.subset else "all of them"
        margin = (
            ""
            if self.margin is None
            else f", or lies between {-self.margin:g} and {self.margin:g} (no difference that "
            "matters)"
        )
        looks = "1 look" if len(self.looks) == 1 else f"{len(self.looks)} looks"
        rows = "a row" if self.rows == 1 else f"any of {self.rows} rows of an axis"
        return (
            f"mean of {self.metric.upper()} over the test subsets ({where}), each row of each data "
            f"set against its baseline seed by seed; looks at {_listed(self.looks)} seeds; a row "
            f"is decided, and gets no more, where its {100.0 * (1.0 - self.share):.5g} % interval "
            f"(Hartigan's, by the signs of the differences) excludes 0{margin}; so shared among "
            f"them (Bonferroni), {looks} call {rows} different that is not with a chance of at "
            f"most {self.level:g}; at most {self.most} seeds"
        )


def make_rule(
    *,
    metric: str,
    subset: str | None,
    most: int,
    margin: float | None,
    seeds: Iterable[int],
    rows: int,
    design: str,
    level: float = LEVEL,
) -> Rule:
    """A rule for a study that has some seeds already.

    Args:
        metric: Metric that rows are compared by.
        subset: Beginning of the test subsets that count.
        most: Seeds that a row may get.
        margin: Difference that does not matter.
        seeds: Seeds that there are; the smallest numbers that are not among them follow.
        rows: Rows of the axis that has most.
        design: Digest of the rows of the grid.
        level: Chance of an error over all looks and rows.

    Raises:
        ValueError: ``most`` allows no look, or the margin is not above 0.
    """
    if margin is not None and not margin > 0.0:
        raise ValueError(f"--margin takes a difference above 0 (got {margin})")
    given = tuple(dict.fromkeys(seeds))
    looks = look_sizes(len(given), most, rows, level)
    further = [seed for seed in range(most) if seed not in given]
    return Rule(
        metric=metric, subset=subset, most=most, margin=margin, level=level, rows=rows,
        design=design, looks=looks, seeds=(*given, *further)[:most], given=len(given),
    )  # fmt: skip


def read_rule(root: Path, grid: str) -> Rule | None:
    """The rule that was declared for a grid in a store; none where none was.

    Raises:
        ValueError: its file holds no rule; names it and the way out.
    """
    path = _path(root, grid, RULE_FILE)
    try:
        told = read_json(path)
        return Rule(**{**told, "looks": tuple(told["looks"]), "seeds": tuple(told["seeds"])})
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} holds no rule by which seeds are added ({error}); restore it from a copy, or "
            "start anew with another --store"
        ) from error


def agreed(grid: str, declared: Rule, asked: Rule) -> Rule:
    """The declared rule for the rows that are asked for.

    Raises:
        ValueError: another rule is asked for; names what differs and the way out.
    """
    before, now = asdict(declared), asdict(asked)
    changed = [
        f"{name} was {before[name]!r}, asked is {now[name]!r}"
        for name in ASKED
        if before[name] != now[name]
    ]
    if changed:
        raise ValueError(
            f"seeds of grid {grid!r} are added by a rule that was declared in this store, and a "
            f"rule that is changed after results were seen promises nothing: {'; '.join(changed)}. "
            "Ask for the declared rule, or start anew with another --store"
        )
    return replace(declared, design=asked.design)


def declare(root: Path, grid: str, rule: Rule) -> Rule:
    """Declares a rule, or finds that the same was declared before; returns what holds.

    Raises:
        ValueError: another rule was declared; names what differs and the way out.
        StoreHeldError: a run holds the store.
    """
    with gate(root):
        holder = read_holder(root / "lease.json")
        if holder is not None and is_alive(holder):
            raise StoreHeldError(
                f"no rule is declared while the store {root} is held by {holder.name}; wait for it "
                "to end, end it, or give another --store"
            )
        declared = read_rule(root, grid)
        holds = rule if declared is None else agreed(grid, declared, rule)
        if declared is None:
            # Looks without their rule are of one that somebody took away.
            _path(root, grid, LOOKS_FILE).unlink(missing_ok=True)
        if holds != declared:
            write_json(_path(root, grid, RULE_FILE), asdict(holds))
    return holds


def read_looks(root: Path, grid: str) -> dict[Place, Look]:
    """What each look that was taken has found; empty where none was.

    Raises:
        ValueError: the file holds no looks; names it and the way out.
    """
    path = _path(root, grid, LOOKS_FILE)
    try:
        return dict(map(_kept, read_json(path)))
    except FileNotFoundError:
        return {}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} holds no looks at rows ({error}); restore it from a copy, or start anew with "
            "another --store"
        ) from error


def keep_looks(root: Path, grid: str, found: Mapping[Place, Look]) -> None:
    """Keeps what looks have found, in one step; what an earlier look has found stays.

    Raises:
        ValueError: the file of earlier looks cannot be read.
    """
    with gate(root):
        known = read_looks(root, grid)
        kept = {**found, **known}
        if kept != known:
            told = [
                {**dict(zip(PLACE, place, strict=False)), "look": asdict(look)}
                for place, look in kept.items()
            ]
            write_json(_path(root, grid, LOOKS_FILE), told)


def _kept(told: Mapping[str, Any]) -> tuple[Place, Look]:
    """A look as its file tells it, and what it is at."""
    design, dataset, digest, variant = (str(told[name]) for name in PLACE)
    look = Look(**{**told["look"], "used": tuple(told["look"]["used"])})
    return (design, dataset, digest, variant, look.seeds), look


def _path(root: Path, grid: str, name: str) -> Path:
    """Where the rule of a grid lies, or its looks."""
    return root / "plans" / grid / name


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
