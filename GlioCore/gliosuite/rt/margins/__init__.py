"""Margins as distances from a surface, straight or round barriers."""

from .expand import expand
from .surface import box_round, centre_distance

__all__ = ["box_round", "centre_distance", "expand"]
