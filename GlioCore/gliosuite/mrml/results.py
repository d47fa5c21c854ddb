"""The results of `gliosuite run` in the scene: images and maps as volumes, structures and target volumes as segmentations."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from .. import resources
from ..errors import InputError
from ..images import read_image
from ..report.results import BACKGROUNDS
from ..report.results import load_results as read_results
from .display import show_map, show_over
from .segments import segmentation_from_masks
from .volumes import node_from_image, place_in_study

_MAPS = ("dce", "dsc", "synthesis", "dti")
_NO_MAPS = ("mask", "nawm", "leakage_reference")  # of the files of a step: masks


@dataclass
class SceneResults:
    """Nodes by name: registered `images`, `maps` (``"dce ktrans"``), the `structures` and the `targets`; None where a run made none."""

    images: dict[str, Any] = field(default_factory=dict)
    maps: dict[str, Any] = field(default_factory=dict)
    structures: Any = None
    targets: Any = None


def load_results(folder: str | Path) -> SceneResults:
    """Load the results folder of `gliosuite run`, all of it on the grid of its reference, under one study named after the case.

    Raises
    ------
    InputError
        If the folder holds no run.json, or no reference image to look at.
    """
    folder = Path(folder)
    record = read_results(folder).run
    name, reference = str(record["id"]), str(record.get("reference") or "")
    found = SceneResults()
    for role in [reference, *(r for r in BACKGROUNDS if r != reference)]:
        path = folder / "registered" / f"{role}.nii.gz"
        if path.exists():
            found.images[role] = node_from_image(read_image(path), f"{name} {BACKGROUNDS.get(role, role)}")
    if reference not in found.images:
        raise InputError(f"{folder} holds no registered image; results of a run with a T1c are needed")
    for step in _MAPS:
        for path in sorted((folder / step / "on_t1c").glob("*.nii.gz")):
            quantity = path.name.removesuffix(".nii.gz")
            if quantity in _NO_MAPS or quantity.endswith("_mask"):
                continue
            node = node_from_image(read_image(path), f"{name} {resources.look(quantity).title} ({step.upper()})")
            show_map(node, quantity)
            found.maps[f"{step} {quantity}"] = node
    base = found.images[reference]
    structures = _by_name(folder / "lesions", "") | _by_name(folder / "progression", "progression_")
    targets = _by_name(folder / "rt", "CTV")
    if structures:
        found.structures = segmentation_from_masks(structures, base, f"{name} structures")
    if targets:
        found.targets = segmentation_from_masks(targets, base, f"{name} target volumes")
    nodes = (*found.images.values(), *found.maps.values(), found.structures, found.targets)
    place_in_study((node for node in nodes if node is not None), name)
    show_over(next((node for key, node in found.maps.items() if key.endswith("ktrans")), base), base)
    return found


def _by_name(folder: Path, start: str) -> dict[str, sitk.Image]:
    """The masks of a folder whose names begin so."""
    return {path.name.removesuffix(".nii.gz"): read_image(path) for path in sorted(folder.glob(f"{start}*.nii.gz"))}
