"""The page of a run, its parts and pictures, and the results read back."""

from .page import Spread, write_page
from .pictures import canonical, contours_figure, dvh_figure
from .sections import DCE, DSC, LESIONS, PROGRESSION, REGIONS, REGISTRATION, TARGETS, Section

__all__ = [
    "DCE",
    "DSC",
    "LESIONS",
    "PROGRESSION",
    "REGIONS",
    "REGISTRATION",
    "TARGETS",
    "Section",
    "Spread",
    "canonical",
    "contours_figure",
    "dvh_figure",
    "write_page",
]
