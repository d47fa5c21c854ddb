"""Lyoo et al. 2025 (S4): ktrans, vp and ve from raw DCE signal by a temporal network and a probabilistic U-Net, without an AIF."""

from .cases import KIND
from .maps import lyoo2025

__all__ = ["KIND", "lyoo2025"]
