"""Where a glioma is likely to recur: features of voxels, models trained on follow-up, and the map of their probability."""

from .inputs import CHANNELS, Inputs
from .voxelwise import KIND, Recurrence, predict

__all__ = ["CHANNELS", "KIND", "Inputs", "Recurrence", "predict"]
