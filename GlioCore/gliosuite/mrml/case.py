"""A case folder in the scene: images as volumes, series as sequences that know how they were taken, masks as one segmentation."""

from pathlib import Path
from typing import Any

from ..case import SERIES_ROLES, Case
from .segments import segmentation_from_masks
from .sequences import node_from_series
from .volumes import ROLE, node_from_image, place_in_study, unique_name

_ATTRIBUTES = ("tr_ms", "te_ms", "flip_angle_deg", "t10_s", "hematocrit", "relaxivity")
_REFERENCES = ("t1c", "t1", "flair", "t2")  # what masks refer to: the first of these that a case has


def load_case(folder: str | Path) -> dict[str, Any]:
    """Load a case folder (``case.json``); its nodes stand under one study, named after the case.

    A series without ``times_s`` is indexed by frame number, with no unit, so that its times are asked for.

    Returns
    -------
    dict
        Node by image role, and ``"masks"`` where the case has masks and an image that they refer to.

    Raises
    ------
    InputError
        If the case or one of its files is unfit.
    """
    case = Case.load(folder)
    nodes: dict[str, Any] = {}
    called = unique_name(case.id, [f" {role}" for role in (*case.images, "masks")])
    for role in case.images:
        name = f"{called} {role}"
        if role in SERIES_ROLES:
            acquisition, series = case.acquisition(role), case.series(role)
            times = acquisition.get("times_s")
            node = node_from_series(series, tuple(times or range(series.n_times)), name)
            if times is None:
                node.SetIndexName("frame")
                node.SetIndexUnit("")
            for key in _ATTRIBUTES:
                value = acquisition.get(key)
                values = value if isinstance(value, (list, tuple)) else [value]
                if value is not None:
                    node.SetAttribute(key, ",".join(f"{v:g}" for v in values))
        else:
            node = node_from_image(case.image(role), name)
        node.SetAttribute(ROLE, role)
        nodes[role] = node
    reference = next((nodes[role] for role in _REFERENCES if role in nodes), None)
    if case.masks and reference is not None:
        masks = {role: case.mask(role) for role in case.masks}
        nodes["masks"] = segmentation_from_masks(masks, reference, f"{called} masks")
    place_in_study(nodes.values(), called)
    return nodes
