"""The page of a run, its pictures, and the results read back."""

from .page import write_report
from .pictures import canonical, contours_figure, dvh_figure

__all__ = ["canonical", "contours_figure", "dvh_figure", "write_report"]
