"""The target volume that a probability of recurrence gives, with a cut that can be moved while it is looked at."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError
from ...images import boolean, volume_cc
from ..segments import mask_from_segment, segmentation_from_masks
from ..volumes import QUANTITY, grid_of, image_from_node, place_beside, plain_volumes, unique_name
from . import barriers
from .choices import LIKE, PLACED, SENSITIVITY, VOLUME
from .matching import with_necrosis
from .request import Prediction, TargetsRequest, critical_of, structures_of

SCHEME = "model"
_LESION = ("cel", "cavity", "t2l")  # what the scheme joins with what is predicted
_PREVIEW = "Predicted target preview"
SOURCE = "GlioSuite.Source"  # attribute of a probability: what made it
_MAPPED = "probability"  # quantity of a map that a model of ours made


def first_probability() -> Any:
    """The scene's first map of a probability, or None."""
    return next((n for n in plain_volumes() if n.GetAttribute(QUANTITY) == _MAPPED), None)


def source(node: Any) -> str:
    """What made a probability, for the record."""
    return node.GetAttribute(SOURCE) or f"{node.GetName()} (its source is not stated)"


def options(prediction: Prediction) -> dict[str, Any]:
    """The options of `gliosuite.rt.targets.target_volumes` for a prediction.

    Raises
    ------
    InputError
        If what the cut needs is missing or out of range.
    """
    given = {
        "probability": image_from_node(prediction.probability),
        "probability_source": source(prediction.probability),
        "keep_satellites": prediction.keep_satellites,
    }
    if prediction.cut == LIKE:
        return given | {"like_scheme": prediction.like}
    if prediction.cut == VOLUME:
        return given | {"volume_cc": prediction.value}
    return given | {"threshold": threshold(prediction)}


def threshold(prediction: Prediction) -> float:
    """The least probability that is included, where the cut is one or is chosen on validation cases."""
    from ...rt.targets import read_validation, threshold_for

    if prediction.cut != SENSITIVITY:
        return prediction.value
    if not prediction.validation:
        raise InputError(
            "no folder of validation cases is chosen; a sensitivity is reached on cases with a known progression"
        )
    cases = read_validation(prediction.validation, keep_satellites=prediction.keep_satellites)
    return threshold_for(cases, prediction.value).threshold


@dataclass
class Predictor:
    """A probability made ready to be cut anywhere: what takes time is done once, in `ready`."""

    candidates: Any
    request: TargetsRequest
    like_cc: dict[str, float]

    @classmethod
    def ready(cls, request: TargetsRequest) -> "Predictor":
        """Smooth and close the probability round the lesion of a request.

        Raises
        ------
        InputError
            If probability, reference, brain or lesion is missing, or what is chosen as probability is none.
        """
        from ...rt.targets.predicted import Candidates

        prediction = request.prediction
        if request.reference is None or prediction is None or "brain" not in request.segments:
            raise InputError("a reference, a brain and a probability are needed")
        grid = grid_of(request.reference)
        parts = [
            boolean(mask_from_segment(*request.segments[r], grid)) for r in with_necrosis(_LESION, request.segments)
        ]
        if not parts:
            raise InputError("no lesion is chosen; the predicted target is the lesion and what is predicted around it")
        brain = boolean(mask_from_segment(*request.segments["brain"], grid))
        lesion = np.any(parts, axis=0) & brain
        image = image_from_node(prediction.probability)
        candidates = Candidates.of(lesion, brain, image, grid, keep_satellites=prediction.keep_satellites)
        return cls(candidates, request, {})

    @property
    def range_cc(self) -> tuple[float, float]:
        """The volumes that it can have: the lesion alone, and all that has a probability."""
        voxel = self.candidates.grid.voxel_cc
        positive = np.unique(self.candidates.score[self.candidates.score > 0])
        most = self.candidates.ctv(float(positive[0])).sum() if positive.size else self.candidates.lesion.sum()
        return float(self.candidates.lesion.sum()) * voxel, float(most) * voxel

    def draw(self, prediction: Prediction, node: Any = None) -> tuple[Any, float, float]:
        """The target at a cut as the one segment of a node, which is made or drawn anew.

        Returns
        -------
        vtkMRMLSegmentationNode, float, float
            The node, the least probability that is included, and the volume in cc.
        """
        c = self.candidates
        if prediction.cut in (LIKE, VOLUME):
            wanted = prediction.value if prediction.cut == VOLUME else self._volume_of(prediction.like)
            level = c.level_for(wanted / c.grid.voxel_cc)
        else:
            level = threshold(prediction)
        inside = c.whole(c.ctv(level))
        for critical in critical_of(self.request, c.grid):
            inside &= ~boolean(critical)
        mask = c.grid.image(inside)
        if node is not None:
            node.GetSegmentation().RemoveAllSegments()
        reference = self.request.reference
        made = segmentation_from_masks(
            {f"predicted, {100 * min(level, 1):.1f} %": mask}, reference, unique_name(_PREVIEW), node
        )
        if node is None:
            place_beside(made, reference)
        return made, min(level, 1.0), volume_cc(mask)

    def _volume_of(self, scheme: str) -> float:
        from ...rt.targets import target_volumes

        if scheme not in self.like_cc:
            grid = self.candidates.grid
            walls = None if self.request.barriers == PLACED else barriers.barriers(self.request, grid)
            made = target_volumes(scheme, structures_of(self.request, grid), grid, barriers=walls)
            self.like_cc[scheme] = made.volumes_cc[made.targets[0].rule.ctv_name]
        return self.like_cc[scheme]
