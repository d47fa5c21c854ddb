"""A study's images put onto its T1c: each is moved as a whole, looked at as a checkerboard, and accepted or done again.

What is accepted lies under its transform: its voxels stay as they are, and it is seen, and used, where the T1c shows the same place.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util

from ...curves import before_bolus
from ...errors import InputError
from ...files import read_json
from ...images import Grid, resample, write_image
from ...registration.settings import STARTS
from .. import checkerboard
from ..process import Job, abandon, begun
from ..sequences import is_series, proxy_of, series_from_node, shown, title_of
from ..volumes import REGISTRATION, TO_LPS, image_from_node, registration_of, unique_name

_MOVING, _FIXED = "GlioSuite.moving", "GlioSuite.fixed"  # node references of a registration's transform


@dataclass(frozen=True)
class RegistrationRequest:
    """Which image is put onto which, and from where the search starts (one of `registration.settings.STARTS`)."""

    fixed: Any
    moving: Any
    start: str = STARTS[0]


def start(request: RegistrationRequest) -> Job:
    """Write both images into a new temporary folder; `finish` or `abandon` removes it.

    Raises
    ------
    InputError
        If an image cannot be taken.
    """

    def arguments(folder: Path) -> list[str]:
        write_image(image_from_node(request.fixed), folder / "fixed.nii")
        write_image(_image(request.moving), folder / "moving.nii")
        inputs = ["register", "--fixed", str(folder / "fixed.nii"), "--moving", str(folder / "moving.nii")]
        outputs = ["--out", str(folder / "out.nii"), "--transform", str(folder / "T.tfm")]
        return [*inputs, "--start", request.start, *outputs]

    return begun(request, arguments)


def _image(node: Any) -> sitk.Image:
    """An image, or of a series its mean before the bolus, where it lies without any registration."""
    withdraw(node)
    return before_bolus(series_from_node(node)) if is_series(node) else image_from_node(node)


def finish(job: Job, _summary: dict[str, Any]) -> Any:
    """The transform of a registration that is done, not yet accepted; one that the image had before goes."""
    try:
        quality = read_json(job.folder / "out.json")
        to_parent = _to_parent(sitk.ReadTransform(str(job.folder / "T.tfm")))
    finally:
        abandon(job)
    moving, fixed = job.request.moving, job.request.fixed
    forget(moving)
    name = unique_name(f"{title_of(moving)} to {fixed.GetName()}")
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(to_parent))
    transform.SetAttribute(REGISTRATION, json.dumps(quality))
    transform.SetNodeReferenceID(_MOVING, moving.GetID())
    transform.SetNodeReferenceID(_FIXED, fixed.GetID())
    return transform


def _to_parent(transform: sitk.Transform) -> np.ndarray:
    """The matrix (RAS) that shows a moving image on the fixed one, of ITK's map from fixed to moving points (LPS)."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, 3] = TO_LPS @ origin
    columns = np.array([transform.TransformPoint(tuple(axis)) for axis in np.eye(3)]).T - origin[:, None]
    matrix[:3, :3] = TO_LPS @ columns @ TO_LPS
    return np.linalg.inv(matrix)


def registration_for(moving: Any) -> Any:
    """The transform that was found for an image, accepted or not; None where there is none."""
    for transform in slicer.util.getNodesByClass("vtkMRMLLinearTransformNode"):
        if transform.GetAttribute(REGISTRATION) and transform.GetNodeReferenceID(_MOVING) == moving.GetID():
            return transform
    return None


def quality_of(transform: Any) -> dict[str, Any]:
    """The numbers by which a registration was judged (`registration.quality.Quality`), its engine and stages."""
    return json.loads(transform.GetAttribute(REGISTRATION))


def accepted(moving: Any) -> bool:
    """Whether an image lies under its registration."""
    return registration_of(proxy_of(moving)) is not None


def accept(moving: Any) -> None:
    """Put an image under its registration.

    Raises
    ------
    InputError
        If none was found yet.
    """
    transform = registration_for(moving)
    if transform is None:
        raise InputError(f"{moving.GetName()} has not been registered yet")
    shown(moving).SetAndObserveTransformNodeID(transform.GetID())


def withdraw(moving: Any) -> None:
    """Take an image from under its registration, which stays."""
    seen = proxy_of(moving)
    if registration_of(seen) is not None:
        seen.SetAndObserveTransformNodeID(None)


def forget(moving: Any) -> None:
    """Remove the registration of an image."""
    withdraw(moving)
    transform = registration_for(moving)
    if transform is not None:
        slicer.mrmlScene.RemoveNode(transform)


def show_checkerboard(moving: Any) -> Any:
    """Show T1c and a registered image in squares of either, in all slice views: edges continue where they lie together.

    Raises
    ------
    InputError
        If the image has not been registered yet.
    """
    transform = registration_for(moving)
    if transform is None:
        raise InputError(f"{moving.GetName()} has not been registered yet")
    fixed = image_from_node(transform.GetNodeReference(_FIXED))
    was = accepted(moving)
    image = _image(moving)
    if was:
        accept(moving)
    moved = resample(image, Grid.of(fixed), _to_moving(transform))
    return checkerboard.show(fixed, moved, transform.GetName())


def _to_moving(transform: Any) -> sitk.Transform:
    """ITK's map from fixed to moving points (LPS) of a transform node."""
    matrix = np.linalg.inv(slicer.util.arrayFromTransformMatrix(transform))
    result = sitk.AffineTransform(3)
    result.SetMatrix((TO_LPS @ matrix[:3, :3] @ TO_LPS).ravel().tolist())
    result.SetTranslation((TO_LPS @ matrix[:3, 3]).tolist())
    return result
