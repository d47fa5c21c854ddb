"""Brain and lesions: drafts for what a reader has not drawn."""

from .brain import series_brain
from .find import MASKS, LesionSettings, find_lesions, from_labelmap

__all__ = ["MASKS", "LesionSettings", "find_lesions", "from_labelmap", "series_brain"]
