"""``--kind network``: a 3D U-Net after Tran et al. 2025 (npj Digit Med, 10.1038/s41746-025-01861-2). torch is imported where it is used."""

from .ask import asked

__all__ = ["asked"]
