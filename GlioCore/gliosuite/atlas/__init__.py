"""MNI152 and what is built on it: the template and its structures."""

from .structures import LABELS, continued_compartments, fibre_direction, template_structures
from .template import covered, register_template, similarity_to_template, stripped, template_ventricles

__all__ = [
    "LABELS",
    "continued_compartments",
    "covered",
    "fibre_direction",
    "register_template",
    "similarity_to_template",
    "stripped",
    "template_structures",
    "template_ventricles",
]
