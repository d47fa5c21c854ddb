"""Brain and lesions that nobody has drawn, drafted by the library in a step of its own: segments that are called DRAFT."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import read_json
from ..images import Grid, read_image, resample, write_image
from ..lesions import MASKS, SUGGESTIONS
from .process import Job, abandon, begun
from .rt.matching import TITLES, match_segments, segments_of
from .segments import call_unsure, is_drafted, is_unsure, mask_from_segment, segmentation_from_masks
from .volumes import place_beside, registration_of, seen_image, unique_name

IMAGES = ("t1c", "t1", "flair", "t2")  # what drafts are made from, best first
_GIVEN = tuple(role for role in TITLES if role in MASKS)  # structures that a person may have drawn already


@dataclass(frozen=True)
class DraftRequest:
    """What drafts are made from.

    Parameters
    ----------
    images
        Role (`IMAGES`) to volume node.
    given
        Role to ``(segmentation node, segment id)`` of what is drawn already, which is kept; drafts among them are drawn anew.
    into
        The segmentation node that drafts are added to, or None for a new one.
    post_operative
        Look for a resection cavity.
    """

    images: Mapping[str, Any]
    given: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    into: Any = None
    post_operative: bool = False

    @property
    def main(self) -> Any:
        """The image on whose grid they are drawn."""
        return next(self.images[role] for role in IMAGES if role in self.images)


def given_of(segmentation: Any) -> dict[str, tuple[Any, str]]:
    """The structures of a segmentation by role, as codes and names tell them."""
    found = {role: match.identifier for role, match in match_segments(segmentation).items() if match.identifier}
    return {role: (segmentation, identifier) for role, identifier in found.items()}


def start(request: DraftRequest) -> Job:
    """Write images and what is drawn already for ``gliosuite lesions``; `finish` or `abandon` removes them.

    Raises
    ------
    InputError
        If there is no image, or one cannot be taken.

    Warns
    -----
    UserWarning
        Where an image is taken as it lies, and its grid is another than the main one's.
    """
    if not set(request.images) & set(IMAGES):
        raise InputError(
            "no image is known to be T1c, T1, FLAIR or T2; drafts are made from these, best from T1c, T1 and FLAIR"
        )

    def arguments(folder: Path) -> list[str]:
        words = ["lesions"]
        grid = Grid.of(seen_image(request.main))
        for role in IMAGES:
            node = request.images.get(role)
            if node is None:
                continue
            image = seen_image(node)
            if not Grid.of(image).matches(grid):
                if registration_of(node) is None:
                    text = f"{node.GetName()} was taken as it lies; GlioPerfusion puts it onto the T1c, where it does not fit"
                    warnings.warn(text, stacklevel=2)
                image = resample(image, grid)
            write_image(image, folder / f"{role}.nii")
            words += [f"--{role}", str(folder / f"{role}.nii")]
        for role, segment in request.given.items():
            if role in _GIVEN and not is_drafted(*segment):
                write_image(mask_from_segment(*segment, grid), folder / f"given_{role}.nii")
                words += [f"--{role}", str(folder / f"given_{role}.nii")]
        return [*words, *(["--post-operative"] if request.post_operative else []), "--out", str(folder / "out")]

    return begun(request, arguments)


def finish(job: Job, summary: dict[str, Any]) -> tuple[Any, list[str]]:
    """The segmentation with what was drafted, and the names of its new segments.

    What the program itself is unsure of, and what it only suggests, is there to be looked at; nothing takes it by itself
    (`segments.is_unsure`).
    """
    request, folder = job.request, job.folder / "out"
    try:
        said = read_json(folder / "lesions.json")["masks"]
        masks, unsure = {}, {}
        for name, source in summary["sources"].items():
            if source == "draft" and summary["volumes_cc"][name] > 0:
                masks[name] = read_image(folder / f"{name}.nii.gz")
                if "unsure" in said[name]:
                    unsure[name] = said[name]["unsure"]
        for name in summary["suggestions"]:
            masks[name] = read_image(folder / SUGGESTIONS / f"{name}.nii.gz")
            unsure[name] = "a suggestion and no draft"
    finally:
        abandon(job)
    for identifier in segments_of(request.into):
        if is_unsure(request.into, identifier):  # of an earlier draft
            request.into.GetSegmentation().RemoveSegment(identifier)
    before = set(segments_of(request.into))
    node = segmentation_from_masks(masks, request.main, unique_name("Structures"), request.into)
    if request.into is None:
        place_beside(node, request.main)
    made = {identifier: name for identifier, name in segments_of(node).items() if identifier not in before}
    for (identifier, _name), region in zip(made.items(), masks, strict=True):
        if region in unsure:
            call_unsure(node, identifier, unsure[region])
    return node, list(made.values())
