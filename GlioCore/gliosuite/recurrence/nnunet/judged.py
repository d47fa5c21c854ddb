"""Patients by what was predicted and what came true, as Yoon 2024 reports them; two models on the same patients."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import InputError
from ...statistics.groups import mcnemar, proportion
from ...statistics.roc import auc
from .predict import Verdict


def reached(recurred: Sequence[bool], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Sensitivity and specificity with their exact (Clopper-Pearson) intervals, balanced accuracy, and the AUC of the highest probability.

    Each of the first two is ``[value, low, high, hits, n]``; what cannot be told is None.
    """
    true, said = np.array(recurred, bool), np.array([v.positive for v in verdicts], bool)

    def share(hit: np.ndarray) -> list[Any] | None:
        if not hit.size:
            return None
        found = proportion(int(hit.sum()), hit.size)
        return [found.value, found.low, found.high, int(hit.sum()), hit.size]

    sensitivity, specificity = share(said[true]), share(~said[~true])
    several = min(true.sum(), (~true).sum()) > 1  # of each; the interval needs them
    curve = auc(true, np.array([v.highest for v in verdicts])) if several else None
    return {
        "patients": len(recurred),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "balanced_accuracy": (sensitivity[0] + specificity[0]) / 2 if sensitivity and specificity else None,
        "auc": [curve.value, curve.low, curve.high] if curve else None,
    }


def compared(recurred: Sequence[bool], first: Sequence[Verdict], second: Sequence[Verdict]) -> dict[str, Any]:
    """Both models, the paired differences second - first, and exact McNemar tests.

    Raises
    ------
    InputError
        If the models were not asked about the same patients.
    """
    if not len(recurred) == len(first) == len(second):
        raise InputError(f"{len(first)} and {len(second)} patients cannot be compared in pairs")
    true = np.array(recurred, bool)
    result: dict[str, Any] = {"first": reached(recurred, first), "second": reached(recurred, second)}
    for name, some, right in (("sensitivity", true, True), ("specificity", ~true, False)):
        a, b = (np.array([v.positive is right for v in of])[some] for of in (first, second))
        if a.size:
            result[f"{name}_difference"] = float(b.mean() - a.mean())
            result[f"p_mcnemar_{name}"] = mcnemar(a, b)
    return result
