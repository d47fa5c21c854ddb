"""Losses of the network, on soft predictions; torch tensors in, a scalar out."""

from typing import Any

from ..settings import BETA


def counts(probability: Any, target: Any, region: Any) -> tuple[Any, Any, Any]:
    """Soft numbers of voxels of the region that are found, wrongly found, and missed."""
    found = (probability * target * region).sum()
    return found, (probability * region).sum() - found, (target * region).sum() - found


def tversky(probability: Any, target: Any, region: Any, false: float, missed: float) -> Any:
    """1 less the Tversky index: found / (found + `false` x wrongly found + `missed` x missed)."""
    tp, fp, fn = counts(probability, target, region)
    return 1 - tp / (tp + false * fp + missed * fn + 1e-6)


def pcc(probability: Any, target: Any, region: Any, share: float) -> Any:
    """1 less the coverage coefficient of Tran 2025 (eq. 1): the weights follow from the target's share of the brain, f."""
    return tversky(probability, target, region, share / (1 + share), 1 / (1 + share))


def loss_of(name: str, logits: Any, target: Any, region: Any, share: float, beta: float = BETA) -> Any:
    """One of `settings.LOSSES`; `region` is 1 where it is taken, all of one shape; `beta` is for ``tversky``."""
    import torch

    logits = logits.float()
    probability = torch.sigmoid(logits)
    if name == "dice":
        return tversky(probability, target, region, 0.5, 0.5)
    if name == "tversky":
        return tversky(probability, target, region, 1 - beta, beta)
    if name == "pcc":
        return pcc(probability, target, region, share)
    apart = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    # A thin region may be gone where the head was turned.
    value = (apart * region).sum() / region.sum().clamp(min=1)
    if name == "dice+bce":
        return value + tversky(probability, target, region, 0.5, 0.5)
    return value + pcc(probability, target, region, share) if name == "pcc+bce" else value
