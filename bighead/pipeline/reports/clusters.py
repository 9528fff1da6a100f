"""Inputs that say the same: clusters by rank correlation, and what the model loses without a whole cluster. Pure.

Each of two inputs that say the same looks unimportant: shuffled alone, the other one stands in for it.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from bighead.charts.explained import Cluster

TOGETHER = 0.7
"""The mean absolute rank correlation from which on clusters are joined."""


def clusters(numbers: pd.DataFrame, together: float = TOGETHER) -> list[tuple[tuple[str, ...], float]]:
    """Groups of two columns or more, and the least absolute correlation in each: Spearman's, by average linkage."""
    varied = numbers.loc[:, numbers.nunique() > 1]
    if varied.shape[1] < 2:
        return []
    size = varied.corr(method="spearman").abs().fillna(0.0).to_numpy(copy=True)
    np.fill_diagonal(size, 1.0)
    joined = linkage(squareform(1 - size, checks=False), method="average")
    groups = fcluster(joined, t=1 - together, criterion="distance")
    found = []
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        if len(members) > 1:
            least = float(size[np.ix_(members, members)].min())
            found.append((tuple(str(varied.columns[one]) for one in members), least))
    return found


def together(
    names: Sequence[str], rows: pd.DataFrame, score: Callable[[pd.DataFrame], float], repeats: int, seed: int
) -> tuple[float, float]:
    """What the score loses when these columns are shuffled in common: mean and standard deviation."""
    random, known, lost = np.random.default_rng(seed), score(rows), []
    for _ in range(repeats):
        shuffled = rows.copy()
        order = random.permutation(len(rows))
        for name in names:
            shuffled[name] = rows[name].to_numpy()[order]
        lost.append(known - score(shuffled))
    return float(np.mean(lost)), float(np.std(lost))


def as_cluster(names: tuple[str, ...], correlation: float, importance: tuple[float, float]) -> Cluster:
    """A cluster with its importance."""
    return Cluster(names=names, correlation=correlation, importance=importance)
