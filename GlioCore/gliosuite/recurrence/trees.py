"""Gradient boosted trees without the library that grew them: what they say of voxels, by numpy or, where it is installed, by numba."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..compute import blocks, each
from ..compute.compiled import compiled, worthwhile
from . import treekernel

_BLOCK = 8192  # voxels; chosen


@dataclass(frozen=True)
class Trees:
    """Members of an ensemble, each a sum of trees; all nodes of all trees one after the other.

    Attributes
    ----------
    feature
        Of a node (n,), int16: which feature it asks for; -1 in a leaf.
    threshold
        Values up to it go left; float64.
    left, right
        Where it goes on; int32.
    missing_left
        Whether a missing value (NaN) goes left; uint8.
    value
        Of a leaf, float64: what it adds to the log odds.
    roots
        Of members and trees (m, t), int32.
    base
        Log odds that a member begins with (m,), float64.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray
    roots: np.ndarray
    base: np.ndarray

    @classmethod
    def grown(cls, members: Sequence[Any]) -> "Trees":
        """Of fitted ``sklearn.ensemble.HistGradientBoostingClassifier`` of two classes, all with as many trees."""
        parts: dict[str, list[np.ndarray]] = {f.name: [] for f in fields(cls)}
        at = 0
        for member in members:
            roots = []
            for (tree,) in member._predictors:
                nodes = tree.nodes
                leaf = nodes["is_leaf"].astype(bool)
                parts["feature"].append(np.where(leaf, -1, nodes["feature_idx"]).astype(np.int16))
                parts["threshold"].append(np.where(leaf, 0.0, nodes["num_threshold"]))
                parts["left"].append(np.where(leaf, 0, nodes["left"].astype(np.int64) + at).astype(np.int32))
                parts["right"].append(np.where(leaf, 0, nodes["right"].astype(np.int64) + at).astype(np.int32))
                parts["missing_left"].append(nodes["missing_go_to_left"].astype(np.uint8))
                parts["value"].append(np.where(leaf, nodes["value"], 0.0))
                roots.append(at)
                at += nodes.size
            parts["roots"].append(np.array(roots, np.int32))
            parts["base"].append(np.ravel(member._baseline_prediction)[:1].astype(np.float64))
        together = {name: np.concatenate(v) for name, v in parts.items() if name != "roots"}
        return cls(**together, roots=np.stack(parts["roots"]))

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> "Trees":
        """From arrays by name, as a model folder holds them."""
        return cls(**{f.name: arrays[f.name] for f in fields(cls)})

    def arrays(self) -> dict[str, np.ndarray]:
        """By name, for a model folder."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def log_odds(self, values: np.ndarray) -> np.ndarray:
        """What each member says of voxels with features (n, f): log odds (m, n), float64."""
        values = np.ascontiguousarray(values, np.float64)
        result = np.empty((self.roots.shape[0], values.shape[0]))
        one = self._by_kernel if worthwhile(values.shape[0]) else self._by_arrays
        each(lambda rows: one(values[rows], result[:, rows]), list(blocks(values.shape[0], _BLOCK)))
        return result

    def _by_kernel(self, values: np.ndarray, result: np.ndarray) -> None:
        found = np.empty(result.shape)
        compiled(treekernel).sum_trees(
            values,
            self.feature,
            self.threshold,
            self.left,
            self.right,
            self.missing_left,
            self.value,
            self.roots,
            self.base,
            found,
        )
        result[:] = found

    def _by_arrays(self, values: np.ndarray, result: np.ndarray) -> None:
        result[:] = self.base[:, None]
        voxels = np.arange(values.shape[0])
        for member, roots in enumerate(self.roots):
            for root in roots:
                node = np.full(voxels.size, root, np.int32)
                inside = voxels
                while (inside := inside[self.feature[node[inside]] >= 0]).size:
                    at = node[inside]
                    asked = self.feature[at]
                    seen = values[inside, asked]
                    to_left = np.where(np.isnan(seen), self.missing_left[at] == 1, seen <= self.threshold[at])
                    node[inside] = np.where(to_left, self.left[at], self.right[at])
                result[member] += self.value[node]
