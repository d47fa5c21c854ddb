"""Kinetic models fitted to curves by variable projection: the optimum within bounds, with standard deviations."""

from .curvefit import AUTO, DEFAULT_BOUNDS, CurveFit, check_bounds, fit_curves
from .uncertainty import FALSE_ALARMS

__all__ = ["AUTO", "DEFAULT_BOUNDS", "FALSE_ALARMS", "CurveFit", "check_bounds", "fit_curves"]
