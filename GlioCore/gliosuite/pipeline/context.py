"""What the steps of a run share: settings, the case, where results lie, and how a step says what came of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import SimpleITK as sitk

from ..case import Case
from ..compute import each
from ..images import Grid, read_image
from ..perfusion.settings import POPULATION_AIFS, DceSettings, DscSettings, RegionSettings, preset_names
from ..registration import ENGINES
from ..settings import same, setting
from .seen import Files, SeenCase, SeenSettings, What, record_of, value_hash

T = TypeVar("T")
# What all else is registered to, in the order of choice: T1c shows the lesion and has the finest voxels.
REFERENCES = ("t1c", "flair", "t1", "t2")
PROGRESSION = ("progression_cel", "progression_t2l")
STRUCTURAL = ("t1c", "t1", "t2", "flair", "adc", "fa", "ct")
PROBABILITY = "probability"  # image role of a recurrence probability, 0-1
BARRIERS = ("none", "auto")  # what the setting `barriers` can be but a folder of masks
# What the setting `recurrence_model` can be but a folder: the shipped trees, or the shipped model of another kind.
SHIPPED = "shipped"
RECURRENCE_MODELS = (SHIPPED, "network")
SERIES_NEEDS = {"dce": ("tr_ms", "flip_angle_deg", "times_s"), "dsc": ("te_ms", "tr_ms")}
ACQUISITION_NEEDS = SERIES_NEEDS | {"vfa": ("flip_angle_deg", "tr_ms")}


@dataclass(frozen=True)
class RunSettings:
    """What `run_case` does; every field is written beside the results.

    Attributes
    ----------
    spacing_mm
        Voxel size of the grid that everything is carried to.
    skip
        Steps or image roles to leave out.
    schemes
        CTV schemes (names of the scheme table).
    motion
        Whether 4-D series are corrected for rigid motion, frame by frame.
    dce_model, dce_aif, dce_delay, dce_dispersion_s, hematocrit, relaxivity
        As in ``gliosuite dce``; values in case.json win.
    dce_preset
        A preset of ``gliosuite dce``, which decides model, delay, AIF and T1 in place of the settings above; None for none.
    leakage, deconvolution
        As in ``gliosuite dsc``.
    max_uncertainty
        As in ``gliosuite dce``, for the regions' table.
    dce_baseline, dce_arrival_s, dsc_baseline, dsc_arrival_s
        As ``baseline`` and ``arrival_s`` in ``gliosuite dce`` and ``gliosuite dsc``.
    engine
        Registration engine: auto, brainsfit or simpleitk.
    barriers, through
        As in ``gliosuite ctv``: a folder of masks, auto or none; which of brainstem and chiasm stop no margin.
    threshold, like
        Of the CTV from a recurrence probability: the least probability included, 0-1 (None: what the model's validation chose, .5 for a
        probability of the case), or, in its place, the scheme whose volume it gets.
    recurrence_model
        One of `RECURRENCE_MODELS`, or a folder of ``gliosuite recurrence train``.
    allow_derived, drafts_accepted_by
        As in ``gliosuite rtstruct``; drafts that are accepted give target volumes where they are unsure, too.
    """

    spacing_mm: float = setting(
        1.0,
        "voxel size of the grid that everything is carried to, mm",
        title="the voxel size",
        metavar="MM",
        unit="mm",
        low=0.3,
        high=10,
        needed="one between 0.3 and 10 mm is needed",
    )
    skip: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ("rtog", "estro-acrop", "estro-eano")
    motion: bool = True
    dce_model: str = same(DceSettings, "model", option="--model")
    dce_aif: str = setting("auto", "DCE arterial input function", option="--aif", choices=("auto", *POPULATION_AIFS))
    dce_delay: bool | None = same(DceSettings, "delay", option="--delay")
    dce_dispersion_s: float | None = same(DceSettings, "dispersion_s")
    dce_preset: str | None = setting(None, "DCE as that paper states it", option="--preset", choices=preset_names())
    hematocrit: float = same(DceSettings, "hematocrit")
    relaxivity: float = same(DceSettings, "relaxivity")
    leakage: str = same(DscSettings, "leakage")
    deconvolution: str = same(DscSettings, "deconvolution")
    max_uncertainty: float | None = same(RegionSettings, "max_uncertainty")
    dce_baseline: int | None = same(DceSettings, "baseline", option="--dce-baseline")
    dce_arrival_s: float | None = same(DceSettings, "arrival_s", option="--dce-arrival")
    dsc_baseline: int | None = same(DscSettings, "baseline", option="--dsc-baseline")
    dsc_arrival_s: float | None = same(DscSettings, "arrival_s", option="--dsc-arrival")
    engine: str = setting("auto", "registration engine", choices=ENGINES)
    barriers: str = "none"
    through: tuple[str, ...] = ()
    threshold: float | None = setting(
        None, "the least probability that CTV_MODEL includes, 0-1", metavar="T", low=0, high=1
    )
    like: str | None = None
    recurrence_model: str = SHIPPED
    allow_derived: bool = False
    drafts_accepted_by: str = ""


class SkippedStep(Exception):
    """A step that the case does not allow; the text says why."""


class Run:
    """What one step of a run sees: the case, the settings and what earlier steps wrote; all that it reads is noted in `seen`.

    Parameters
    ----------
    case, settings
        Of the whole run.
    out
        The results folder.
    files
        Hashes that all steps share.
    """

    def __init__(self, case: Case, out: Path, settings: RunSettings, files: Files | None = None) -> None:
        self.out = out
        self.seen: dict[What, str] = {}
        self.early: Any = None  # what `Step.early` came to
        self._files = files or Files()
        self.case = SeenCase(case, self._files, self._note)
        self.settings = SeenSettings(settings, self._files, self._note)
        self._grids: dict[str, Grid] = {}

    def _note(self, what: What, content: str) -> None:
        self.seen[what] = content

    def __contains__(self, role: object) -> bool:
        return role in self.case.images and not self.settings.skips(str(role))

    @cached_property
    def reference(self) -> str | None:
        """The role of the image that all others are registered to."""
        return next((r for r in REFERENCES if r in self), None)

    @cached_property
    def grid(self) -> Grid:
        """The grid that everything is carried to."""
        if self.reference is None:
            raise SkippedStep(f"the case has none of {', '.join(REFERENCES)}, so there is no common grid")
        return self.grid_of(self.reference).isotropic(self.settings.spacing_mm)

    def grid_of(self, role: str) -> Grid:
        """The grid that an image of the case has, read once."""
        if role not in self._grids:
            self._grids[role] = Grid.of(self.case.image(role))
        return self._grids[role]

    def transform(self, role: str) -> sitk.Transform | None:
        """From points of the reference to points of `role`; None where it was not registered."""
        path = self.result("registered", f"{role}.tfm")
        return None if path is None else sitk.ReadTransform(str(path))

    def result(self, *parts: str) -> Path | None:
        """A file that an earlier step wrote, or None."""
        path = self.out.joinpath(*parts)
        self._note(("result", *parts), self._files.hash(path))
        return path if path.exists() else None

    def record(self, step: str) -> dict[str, Any]:
        """What an earlier step reported; empty where it did not run."""
        found = record_of(self.out, step)
        self._note(("record", step), value_hash(found))
        return found

    def results(self, folder: str, names: Callable[[str], bool], take: Callable[[sitk.Image], T]) -> dict[str, T]:
        """What `take` makes of the images of these names that an earlier step wrote; no more are held at a time than there are threads."""
        found = sorted((self.out / folder).glob("*.nii.gz"))
        self._note(("results", folder, "*.nii.gz"), value_hash([p.name for p in found]))
        wanted = [p.name for p in found if names(p.name[:-7])]
        paths = {n[:-7]: path for n in wanted if (path := self.result(*folder.split("/"), n))}
        return dict(zip(paths, each(lambda path: take(read_image(path)), list(paths.values()))))

    def masks(self, *names: str) -> dict[str, sitk.Image]:
        """Those of the masks of the lesions step that have these names, or all."""
        return self.results("lesions", lambda name: not names or name in names, lambda image: image)


@dataclass
class Done:
    """What a step reports; `losses` are those of its notes that tell of something asked for and not got.

    `cpu_seconds`, of parts of the step by name, go to ``provenance.json`` alone: results hold no duration.
    """

    summary: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    def lose(self, sentence: str) -> None:
        """Note that something was asked for and not got."""
        self.notes.append(sentence)
        self.losses.append(sentence)
