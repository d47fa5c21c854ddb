"""Brain and lesions: drafts for what a reader has not drawn."""

from .brain import Brain, brain_mask, series_brain
from .find import MASKS, SUGGESTIONS, LesionSettings, find_lesions, from_labelmap, main_image

__all__ = [
    "MASKS",
    "SUGGESTIONS",
    "Brain",
    "LesionSettings",
    "brain_mask",
    "find_lesions",
    "from_labelmap",
    "main_image",
    "series_brain",
]
