"""The page of a run, its parts and pictures, and the results read back."""

from .diffusion import DIFFUSION
from .followup import PROGRESSION
from .habitats import HABITATS
from .page import Spread, write_page
from .patterns import PATTERNS, RADIOMICS
from .pictures import canonical, contours_figure
from .plots import dvh_figure
from .recurrence import RECURRENCE
from .scored import SCORED
from .sections import DCE, DSC, LESIONS, REGIONS, REGISTRATION, Section
from .synthesis import SYNTHESIS
from .targets import TARGETS

__all__ = [
    "DCE",
    "DIFFUSION",
    "DSC",
    "HABITATS",
    "LESIONS",
    "PATTERNS",
    "PROGRESSION",
    "RADIOMICS",
    "RECURRENCE",
    "REGIONS",
    "REGISTRATION",
    "SCORED",
    "SYNTHESIS",
    "TARGETS",
    "Section",
    "Spread",
    "canonical",
    "contours_figure",
    "dvh_figure",
    "write_page",
]
