"""The results of `gliosuite run` in the scene: images and maps as volumes, structures and target volumes as segmentations."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer

from .. import resources
from ..errors import InputError
from ..files import read_json
from ..images import read_image
from .display import show_map, show_over
from .segments import segmentation_from_masks
from .volumes import node_from_image

_TITLES = {"t1c": "T1c", "flair": "FLAIR", "t1": "T1", "t2": "T2"}
_MAPS = ("dce", "dsc")
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
    if not (folder / "run.json").exists():
        raise InputError(f"{folder} holds no run.json; the results folder of gliosuite run is needed")
    record = read_json(folder / "run.json")
    name, reference = record["id"], record.get("reference")
    found = SceneResults()
    for role in [reference, *(r for r in _TITLES if r != reference)]:
        path = folder / "registered" / f"{role}.nii.gz"
        if path.exists():
            found.images[role] = node_from_image(read_image(path), f"{name} {_TITLES.get(role, role)}")
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
    structures = {p.name.removesuffix(".nii.gz"): p for p in sorted((folder / "lesions").glob("*.nii.gz"))}
    structures |= {
        p.name.removesuffix(".nii.gz"): p for p in sorted((folder / "progression").glob("progression_*.nii.gz"))
    }
    targets = {p.name.removesuffix(".nii.gz"): p for p in sorted((folder / "rt").glob("CTV*.nii.gz"))}
    for attribute, files, title in (
        ("structures", structures, f"{name} structures"),
        ("targets", targets, f"{name} target volumes"),
    ):
        if files:
            masks = {region: read_image(path) for region, path in files.items()}
            setattr(found, attribute, segmentation_from_masks(masks, base, title))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), name)
    for node in (*found.images.values(), *found.maps.values(), found.structures, found.targets):
        if node is not None:
            item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(study, node)
            hierarchy.SetItemParent(item, study)
    show_over(next((node for key, node in found.maps.items() if key.endswith("ktrans")), base), base)
    return found
