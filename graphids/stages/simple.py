"""Simple detectors as functions from windows to scores: rules and learners of tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from graphids.core.models.scores import graph_sum
from graphids.core.thresholds import Threshold, fixed_threshold
from graphids.data.packed import PackedGraphs
from graphids.data.pooling import POOLED_FEATURES, TIMING_FEATURES
from graphids.data.splits import Part

Matrix = NDArray[np.float32]
Scorer = Callable[["Table"], Tensor]
"""Scores ``[G]``, float64, of the windows of a table."""

NEW_IDS, SHORTENING, EXCESS = range(3)
LEAST_NEW_IDS = 1.0
LEAST_UNKNOWN_IDS = 1.0
SHORTENING_MARGIN = 0.02
LEAST_EXCESS = 2.0
VARIANCE = 0.95
"""Share of the benign variance that the principal components keep."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Windows as a simple detector sees them."""

    graphs: PackedGraphs
    """The windows; ids and labels are read, scaled features are not."""
    pooled: Tensor
    """Unscaled features of each window as a whole ``[G, P]``."""
    lead_in: Tensor
    """How each window departs from the lead-in of its capture ``[G, 3]``."""

    def select(self, index: Tensor) -> Table:
        """The windows at ``index`` ``[n]``, in that order."""
        return Table(
            graphs=self.graphs.select(index),
            pooled=self.pooled[index],
            lead_in=self.lead_in[index],
        )


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A simple detector, ready to score."""

    score: Scorer
    """Scores of windows, higher = more anomalous."""
    threshold: Threshold | None = None
    """The threshold that it has by its definition; none chooses one on validation."""
    size: int = 0
    """How large it is: ids, tree nodes, boosting rounds, or numbers of the components."""


def always_attack(train: Table, part: Tensor) -> Fitted:
    """Flags every window: the floor."""
    return Fitted(
        score=lambda table: torch.ones(len(table.graphs), dtype=torch.float64),
        threshold=fixed_threshold(0.5),
    )


def unseen_ids(train: Table, part: Tensor, *, benign_only: bool) -> Fitted:
    """Flags a window with an id that the training windows, or benign ones among them, lack.

    The score is the number of such ids. Known ids are those of windows: where ``benign_only``, an
    id of attacks alone is unknown.
    """
    chosen = part == Part.TRAIN
    if benign_only:
        chosen = chosen & (train.graphs.y == 0)
    known = train.graphs.arbitration_id[chosen.repeat_interleave(train.graphs.num_nodes)].unique()

    def score(table: Table) -> Tensor:
        graphs = table.graphs
        unknown = ~torch.isin(graphs.arbitration_id, known)
        window = torch.arange(len(graphs)).repeat_interleave(graphs.num_nodes)
        return graph_sum(unknown.double(), window, len(graphs))

    return Fitted(score=score, threshold=fixed_threshold(LEAST_UNKNOWN_IDS), size=known.numel())


def _lead_in_margins(table: Table) -> Tensor:
    """How far each lead-in rule is broken, 0 at its limit ``[G, 3]``: flagged where not below 0."""
    limits = torch.tensor([LEAST_NEW_IDS, SHORTENING_MARGIN, LEAST_EXCESS], dtype=torch.float64)
    margins = table.lead_in.double() - limits
    # A window exactly as short as the margin allows is not flagged.
    below = torch.nextafter(margins[:, SHORTENING], margins.new_tensor(-torch.inf))
    return torch.stack((margins[:, NEW_IDS], below, margins[:, EXCESS]), dim=1)


def lead_in_rule(train: Table, part: Tensor, *, column: int) -> Fitted:
    """One lead-in rule: an unknown id, a window too short, or an id too frequent."""
    return Fitted(
        score=lambda table: _lead_in_margins(table)[:, column], threshold=fixed_threshold(0.0)
    )


def lead_in_rules(train: Table, part: Tensor) -> Fitted:
    """Any of the three lead-in rules; the score is how many are broken."""

    def score(table: Table) -> Tensor:
        return (_lead_in_margins(table) >= 0).sum(dim=1).double()

    return Fitted(score=score, threshold=fixed_threshold(1.0))


def pca(train: Table, part: Tensor) -> Fitted:
    """Error of rebuilding a pooled window from the main components of benign ones."""
    benign = (part == Part.TRAIN) & (train.graphs.y == 0)
    scaler = StandardScaler()
    rows = scaler.fit_transform(_matrix(train, POOLED_FEATURES)[benign.numpy()].astype(np.float64))
    components = PCA(n_components=VARIANCE, svd_solver="full").fit(rows)

    def score(table: Table) -> Tensor:
        if len(table.graphs) == 0:
            return torch.zeros(0, dtype=torch.float64)
        given = scaler.transform(_matrix(table, POOLED_FEATURES).astype(np.float64))
        rebuilt = components.inverse_transform(components.transform(given))
        return torch.from_numpy(np.square(given - rebuilt).mean(axis=1))

    return Fitted(score=score, size=int(components.components_.size))


RULES: Mapping[str, Callable[[Table, Tensor], Fitted]] = {
    "always_attack": always_attack,
    "unseen_id": lambda train, part: unseen_ids(train, part, benign_only=False),
    "unseen_id_benign": lambda train, part: unseen_ids(train, part, benign_only=True),
    "lead_in_id": lambda train, part: lead_in_rule(train, part, column=NEW_IDS),
    "lead_in_span": lambda train, part: lead_in_rule(train, part, column=SHORTENING),
    "lead_in_count": lambda train, part: lead_in_rule(train, part, column=EXCESS),
    "lead_in": lead_in_rules,
    "pca": pca,
}
"""Detectors without chance, by the name of their row."""


def random_forest(
    train: Table, part: Tensor, seed: int, *, trees: int, columns: tuple[int, ...]
) -> Fitted:
    """Random forest on some columns of the pooled windows."""
    forest = RandomForestClassifier(n_estimators=trees, random_state=seed, n_jobs=1)
    _fit_classifier(forest, train, part, columns)
    size = sum(tree.tree_.node_count for tree in forest.estimators_)
    return Fitted(score=lambda table: _probability(forest, table, columns), size=size)


def gradient_boosting(train: Table, part: Tensor, seed: int) -> Fitted:
    """Histogram gradient boosting on the pooled windows; a tree sees a third of the columns."""
    boosting = HistGradientBoostingClassifier(max_features=0.3, random_state=seed)
    _fit_classifier(boosting, train, part, POOLED_FEATURES)
    return Fitted(
        score=lambda table: _probability(boosting, table, POOLED_FEATURES),
        size=int(boosting.n_iter_),
    )


def _matrix(table: Table, columns: tuple[int, ...]) -> Matrix:
    """Some columns of the pooled windows ``[G, C]``."""
    chosen: Matrix = table.pooled[:, list(columns)].numpy()
    return chosen


def _fit_classifier(
    learner: ClassifierMixin, train: Table, part: Tensor, columns: tuple[int, ...]
) -> None:
    """Fits on training windows alone.

    Raises:
        ValueError: They lack a class.
    """
    chosen = part == Part.TRAIN
    y = train.graphs.y[chosen].numpy()
    if len(np.unique(y)) < 2:
        raise ValueError(
            f"{type(learner).__name__} needs benign and attack windows to train on, found "
            f"{int((y == 0).sum())} and {int((y > 0).sum())}; add captures of the missing class"
        )
    learner.fit(_matrix(train, columns)[chosen.numpy()], y)


def _probability(learner: ClassifierMixin, table: Table, columns: tuple[int, ...]) -> Tensor:
    """Probability of an attack ``[G]``, float64."""
    if len(table.graphs) == 0:
        return torch.zeros(0, dtype=torch.float64)
    return torch.from_numpy(learner.predict_proba(_matrix(table, columns))[:, 1].copy()).double()


LEARNERS = ("random_forest", "random_forest_timing", "gradient_boosting")
"""Detectors that learn from the pooled windows, by the name of their row."""


def fit_learner(name: str, train: Table, part: Tensor, seed: int, *, trees: int) -> Fitted:
    """The learner called ``name``, fitted.

    Args:
        name: One of ``LEARNERS``.
        train: Windows of the training captures.
        part: Part of each of them ``[G]``.
        seed: What chance draws from.
        trees: Trees of a forest.

    Raises:
        ValueError: Training windows lack a class.
    """
    if name == "gradient_boosting":
        return gradient_boosting(train, part, seed)
    columns = TIMING_FEATURES if name == "random_forest_timing" else POOLED_FEATURES
    return random_forest(train, part, seed, trees=trees, columns=columns)
