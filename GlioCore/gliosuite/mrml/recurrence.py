"""The probability of recurrence in the scene: from images and segments to two volumes on the grid of T1c, and how they are shown."""

import json
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util

from ..errors import InputError
from ..images import Grid, array, boolean
from ..recurrence import CHANNELS, MODELS, Inputs, read, shipped
from ..recurrence import predict as ask
from ..recurrence.inputs import REQUIRED
from ..recurrence.output import about, cautions, on_grid
from ..recurrence.reasons import Reasons, reasons
from ..recurrence.results import STEPS
from ..training.model_folder import CARD, Model
from ..training.model_folder import shipped as shipped_folder
from .display import show_map, show_over
from .process import Job, begun
from .rt.matching import TITLES
from .rt.prediction import SOURCE
from .segments import is_drafted, mask_from_segment, refuse_shared
from .volumes import (
    QUANTITY,
    ROLE,
    TO_LPS,
    first_image,
    node_from_image,
    place_beside,
    plain_volumes,
    seen_image,
    unique_name,
)

ROLES = ("brain", "cel", "t2l", "cavity")
# Images that may be missing, and the names that tell of them: maps of GlioPerfusion say themselves what they are.
_WORD = r"(?<![a-z0-9])({})(?![a-z0-9])"
OPTIONAL = {
    "t1": r"^(?!.*(contrast|gad|post|map|flair|t1[^a-z0-9]*(c|ce|gd|km)(?![a-z0-9])))(.*[^a-z0-9])?t1w?(?![a-z0-9])",
    "adc": _WORD.format("adc|apparent diffusion.*"),
    "fa": _WORD.format("fa|fractional anisotropy"),
    "ktrans": _WORD.format("ktrans"),
    "ve": _WORD.format("ve"),
    "vp": _WORD.format("vp"),
    "cbv": _WORD.format("r?cbv"),
    "tmax": _WORD.format("tmax"),
}
_NAME, _ENDINGS = "Recurrence probability", ("", " SD")
_RECORD = "GlioSuite.Recurrence"  # attribute of a probability that `predict` makes: what was said of it, as JSON
_T1C, _SD = "GlioSuite.T1c", "GlioSuite.SD"  # its references
_IMAGE, _SEGMENTS = (
    "GlioSuite.Image.",
    "GlioSuite.Segments.",
)  # its references to what it was made from, by name and role


@dataclass(frozen=True)
class RecurrenceRequest:
    """What a prediction is made from.

    Parameters
    ----------
    images
        Name of `gliosuite.recurrence.CHANNELS` to volume node, all in one position; T1c and FLAIR are needed.
    segments
        Role of `ROLES` to ``(segmentation node, segment id)``; the brain and CEL or T2L are needed.
    model_folder
        Empty for the shipped model, a kind of `gliosuite.recurrence.MODELS` for the shipped one of it, else a folder.
    """

    images: dict[str, Any]
    segments: dict[str, tuple[Any, str]] = field(default_factory=dict)
    model_folder: str = ""


@dataclass(frozen=True)
class RecurrenceResult:
    """Volume nodes on the grid of T1c, 0-1; `threshold` is where the model's own validation found the best coverage; `channels` are
    the images that were looked at, `notes` what a reader must know.
    """

    probability: Any
    sd: Any
    t1c: Any
    channels: tuple[str, ...]
    threshold: float
    notes: tuple[str, ...]


def guessed(name: str, taken: Container[Any]) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The scene's first volume that is an image of `OPTIONAL`, by what its node says or by its name; None where no other than `taken`."""
    says = (n for n in plain_volumes() if name in (n.GetAttribute(ROLE), n.GetAttribute(QUANTITY)))
    found = next(says, None) or first_image(OPTIONAL[name])
    return None if found in taken else found


def predict(request: RecurrenceRequest) -> RecurrenceResult:
    """Predict where it is likely to recur; two new volumes beside T1c.

    Raises
    ------
    InputError
        If an image or a segment that is needed is missing or unfit, or the model folder is none.
    """
    for name in REQUIRED:
        if request.images.get(name) is None:
            raise InputError(f"no {CHANNELS[name].title} is chosen; T1c and FLAIR are needed")
    refuse_shared({TITLES[role]: segment for role, segment in request.segments.items()})
    model = _model(request.model_folder)
    inputs, masks = _inputs(request, model)
    grid = Grid.of(masks["brain"])
    found = ask(inputs, model)
    lesion = np.any([boolean(masks[role]) for role in ("cel", "t2l") if role in masks], axis=0)
    drafts = [role for role, segment in request.segments.items() if is_drafted(*segment)]
    t1c, name = request.images["t1c"], unique_name(_NAME, _ENDINGS)
    nodes = []
    for image, ending, quantity in zip(
        on_grid(found, masks["brain"], grid.image(lesion), masks.get("cavity")),
        _ENDINGS,
        ("probability", "probability_sd"),
        strict=True,
    ):
        node = node_from_image(image, name + ending)
        show_map(node, quantity)
        place_beside(node, t1c)
        looked_at = ", ".join(CHANNELS[n].title for n in found.channels)
        node.SetAttribute(SOURCE, about(found))
        node.SetDescription(
            f"{'SD among the members of the ensemble; ' if ending else ''}{about(found)}; looked at {looked_at}; weights "
            f"{found.record['weights_sha256'][:12]}. Research use only."
        )
        nodes.append(node)
    probability, sd = nodes
    notes = (*found.notes, *cautions(drafts, "cavity" in masks))
    record = {
        "channels": found.channels,
        "threshold": found.threshold,
        "notes": notes,
        "images": list(request.images),
        "segments": {role: segment for role, (_node, segment) in request.segments.items()},
        "model_folder": request.model_folder,
        "weights_sha256": found.record["weights_sha256"],
    }
    probability.SetAttribute(_RECORD, json.dumps(record))
    for name, node in request.images.items():
        probability.SetNodeReferenceID(_IMAGE + name, node.GetID())
    for role, (node, _segment) in request.segments.items():
        probability.SetNodeReferenceID(_SEGMENTS + role, node.GetID())
    probability.SetNodeReferenceID(_T1C, t1c.GetID())
    probability.SetNodeReferenceID(_SD, sd.GetID())
    return RecurrenceResult(probability, sd, t1c, found.channels, found.threshold, notes)


def _model(folder: str) -> Model:
    if not folder:
        return shipped()
    return shipped(folder) if folder in MODELS else read(folder)


def _inputs(request: RecurrenceRequest, model: Model) -> tuple[Inputs, dict[str, sitk.Image]]:
    """What the model is asked about, and the masks of the segments on the grid of T1c."""
    images = {name: seen_image(node) for name, node in request.images.items()}
    grid = Grid.of(images["t1c"])
    masks = {role: mask_from_segment(*segment, grid) for role, segment in request.segments.items()}
    return Inputs.of(images, masks, grid.isotropic(model.about["grid_mm"]), measured=_measured(images)), masks


def crosshair() -> tuple[float, float, float]:
    """Where the crosshair of the slice views is (RAS, mm): where the mouse was last moved with Shift held.

    Raises
    ------
    InputError
        If the scene has none.
    """
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if node is None:
        raise InputError("there is no crosshair yet; hold Shift and move the mouse over a slice view")
    right, anterior, superior = node.GetCrosshairRAS()
    return right, anterior, superior


def why(node: slicer.vtkMRMLScalarVolumeNode, ras: tuple[float, float, float]) -> Reasons:
    """What drove a probability that `predict` made at a place (RAS, mm), from the images and segments that it was made from.

    Raises
    ------
    InputError
        If one of them is not there any more, the model is another, or nothing is predicted there.
    """
    record = json.loads(node.GetAttribute(_RECORD))
    images = {name: node.GetNodeReference(_IMAGE + name) for name in record["images"]}
    segments = {role: (node.GetNodeReference(_SEGMENTS + role), id_) for role, id_ in record["segments"].items()}
    if None in (*images.values(), *(segmentation for segmentation, _id in segments.values())):
        raise InputError(f"images or segments that {node.GetName()} was made from are not in the scene; predict again")
    model = _model(record["model_folder"])
    if model.about["weights_sha256"] != record["weights_sha256"]:
        raise InputError(
            f"{record['model_folder'] or 'the shipped model'} is not the model any more that made "
            f"{node.GetName()}; predict again"
        )
    inputs, _masks = _inputs(RecurrenceRequest(images, segments), model)
    return reasons(inputs, [float(v) for v in TO_LPS @ ras], model)


def _measured(images: dict[str, sitk.Image]) -> dict[str, sitk.Image]:
    """Where the maps of a perfusion series were measured: in the scene all of them are 0 elsewhere."""
    found = {}
    for name in STEPS.keys() & images.keys():
        grid = Grid.of(images[name])
        same = [array(i) for n, i in images.items() if STEPS.get(n) == STEPS[name] and Grid.of(i).matches(grid)]
        found[name] = grid.image(np.any([values != 0 for values in same], axis=0))
    return found


def recall(node: Any) -> RecurrenceResult | None:
    """What `predict` gave when it made a volume, also in another session; None for another node."""
    text = None if node is None else node.GetAttribute(_RECORD)
    if text is None:
        return None
    record = json.loads(text)
    t1c, sd = node.GetNodeReference(_T1C), node.GetNodeReference(_SD)
    return RecurrenceResult(node, sd, t1c, tuple(record["channels"]), record["threshold"], tuple(record["notes"]))


def show(result: RecurrenceResult, opacity: float, least: float) -> None:
    """The probability over its T1c in all slice views, see `look`."""
    show_over(result.probability, result.t1c, opacity)
    look(result.probability, opacity, least)


def show_sd(result: RecurrenceResult, opacity: float) -> None:
    """The SD among the members over T1c in all slice views, with its own colours and legend."""
    show_over(result.sd, result.t1c, opacity)


def look(node: slicer.vtkMRMLScalarVolumeNode, opacity: float, least: float) -> None:
    """How opaque a probability or its SD is (0-1) in the views that it lies over, and from where on (0-1) the probability is seen."""
    ours = (node.GetID(), node.GetNodeReferenceID(_SD))
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if (shown := composite.GetForegroundVolumeID()) and shown in ours:
            composite.SetForegroundOpacity(opacity)
    display = node.GetDisplayNode()
    display.SetThreshold(least, display.GetUpperThreshold())
    display.SetApplyThreshold(True)


def train(cases: str, out: str, kind: str) -> Job:
    """The job that trains a model of a kind on a folder of results of `gliosuite run`; it lies in the folder ``model`` of `out`.

    Raises
    ------
    InputError
        If either is not chosen.
    """
    if not cases:
        raise InputError("no folder of cases is chosen; one with results of `gliosuite run`, a patient each, is needed")
    if not out:
        raise InputError("no folder for the model is chosen")
    folders = ["--cases", str(Path(cases).absolute()), "--out", str(Path(out).absolute())]
    words = ["recurrence", "train", "--kind", kind, *folders]
    return begun((cases, out, kind), lambda _folder: words)


def card(model_folder: str = "") -> str:
    """The card of a model, by `RecurrenceRequest.model_folder`.

    Raises
    ------
    InputError
        If the folder holds none.
    """
    kind = model_folder or MODELS[0]
    folder = shipped_folder(kind) if kind in MODELS else Path(kind)
    try:
        return str(folder.joinpath(CARD).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{model_folder} holds no {CARD} ({error.strerror}); a model folder as `gliosuite recurrence train` writes it is needed"
        ) from None
