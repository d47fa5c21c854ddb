"""Numbers over regions. Tests and measures of agreement lie in `agreement`, `groups`, `roc`, `survival`, which load SciPy's statistics."""

from .coverage import coverage_coefficient
from .regions import histogram_table, statistics_table

__all__ = ["coverage_coefficient", "histogram_table", "statistics_table"]
