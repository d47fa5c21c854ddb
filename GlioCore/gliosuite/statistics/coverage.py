"""How well a volume covers what it is to cover, where a miss weighs more than healthy tissue taken."""


def coverage_coefficient(hit: float, beyond: float, missed: float, brain: float) -> float:
    """Prediction coverage coefficient of Tran et al. 2025 (npj Digit Med, 10.1038/s41746-025-01861-2), eq. 1; NaN without a target.

    ``PCC = TP / (TP + a FP + b FN)`` with ``b = 1 / (f + 1)``, ``a = 1 - b`` and f the share of the brain that the target takes.

    Parameters
    ----------
    hit, beyond, missed
        Voxels or volumes of the target inside (TP), of what is no target inside (FP), and of the target outside (FN).
    brain
        Of the whole brain, in the same unit.

    Examples
    --------
    >>> round(coverage_coefficient(80, 40, 20, 1000), 3)
    0.784
    """
    target = hit + missed
    if not target:
        return float("nan")
    b = 1 / (target / brain + 1)
    return hit / (hit + (1 - b) * beyond + b * missed)
