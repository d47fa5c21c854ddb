"""What a simulated patient is: a case in memory, its truth, and how both are written."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from .. import files
from ..case import Case
from ..errors import InputError
from ..images import Grid, Series, resample_mask, write_image, write_series
from .scans.dicomseries import Study, write_dicom_study

MASK_ROLES = ("cel", "t2l", "necrosis", "cavity", "progression_cel", "progression_t2l")


class SimulatedVisit(Case):
    """A `Case` whose images are in memory; `save` writes them, and then it is a case folder like any other.

    `data` is what ``case.json`` will hold; `images_held` and `masks_held` are the images and series by role, and the masks.
    """

    def __init__(
        self, data: dict[str, Any], images: Mapping[str, sitk.Image | Series], masks: Mapping[str, sitk.Image]
    ) -> None:
        super().__init__(Path(), data, "simulated case")
        self.images_held, self.masks_held = dict(images), dict(masks)
        self.later: SimulatedVisit | None = None

    def image(self, role: str) -> sitk.Image | Series:  # type: ignore[override]  # nothing in memory is read as 3-D
        """The image of a role; of a series, the series."""
        self._entry("images", role)
        return self.images_held[role]

    def series(self, role: str) -> Series:
        """The 4-D series of a role."""
        self._entry("images", role)
        series = self.images_held[role]
        if not isinstance(series, Series):
            raise InputError(f"{self.source}: {role} is a 3-D image; image({role!r}) gives it")
        return series

    def mask(self, role: str, like: sitk.Image | Grid | None = None) -> sitk.Image:
        """The mask of a role as uint8 0/1, on the grid of `like` where given."""
        self._entry("masks", role)
        mask = self.masks_held[role]
        return mask if like is None else resample_mask(mask, like)

    def check(self) -> None:
        """Nothing to check before anything is written."""

    @cached_property
    def followup(self) -> "SimulatedVisit | None":
        """The visit at progression."""
        return self.later

    def save(self, folder: str | Path) -> Path:
        """Write images, masks and ``case.json`` into `folder`."""
        folder = Path(folder)
        visits = [self] if self.later is None else [self, self.later]
        for visit in visits:
            for role, image in visit.images_held.items():
                entry = visit.data["images"][role]
                text = f"simulated {role}"
                if isinstance(image, Series):
                    whole = Series(np.round(image.frames).clip(-32768, 32767).astype(np.int16), image.grid, image.name)
                    times = entry.get("times_s", (0.0, 1.0))  # a VFA series has none
                    write_series(whole, folder / entry["path"], times[1] - times[0], text)
                else:
                    write_image(image, folder / entry["path"], text)
            for role, mask in visit.masks_held.items():
                if role in visit.data["masks"]:
                    write_image(mask, folder / visit.data["masks"][role], f"simulated {role}")
        return files.write_json(folder / "case.json", self.data)


@dataclass(frozen=True)
class Truth:
    """What is known of a simulated patient; ``truth["ktrans"]`` is short for ``truth.maps["ktrans"]``.

    Parameters
    ----------
    maps
        Images by name. On the T1c's grid: `brain ventricles structures gm wm csf artery vein tissue density`, the parameters of
        `properties.truth_maps`, all masks, and what the preset plants (`recurrence_focus`, `habitats`, `hidden`). Those that start with
        ``dce_`` and ``dsc_`` lie on the series' own grid, with `..._tissue` (1 + index in `acquisition.CLASSES`) and `..._share`, how
        much of the voxel that tissue takes.
    curves
        ``aif_dce`` (plasma mM), ``aif_dsc`` (blood mM), each (n, 2): time in s, every 0.1 s, and concentration.
    transforms
        By role: LPS points of the T1c to points of that scan. ``followup_to_baseline``: points of the follow-up's T1c to where
        that tissue lay at baseline; ``followup_<role>``: points of the follow-up's T1c to points of that scan.
    landmarks
        (n, 6): points of the brain at baseline and at follow-up, LPS mm.
    facts
        Biology, volumes, doses, settings.
    motion
        By series (frames, 6): shift in mm and rotation in degrees about x, y, z.
    """

    maps: dict[str, sitk.Image]
    curves: dict[str, np.ndarray]
    transforms: dict[str, sitk.Transform]
    landmarks: np.ndarray
    facts: dict[str, Any]
    motion: dict[str, np.ndarray] = field(default_factory=dict)

    def __getitem__(self, name: str) -> sitk.Image:
        return self.maps[name]

    def write(self, folder: str | Path) -> None:
        """Write ``NAME.nii.gz``, ``aif_*.csv``, ``motion_*.csv``, ``NAME.tfm``, ``landmarks.csv``, ``facts.json`` into `folder`."""
        folder = Path(folder)
        for name, image in self.maps.items():
            write_image(image, folder / f"{name}.nii.gz", f"simulated truth {name}")
        for name, curve in self.curves.items():
            rows = ((f"{t:.1f}", f"{c:.6g}") for t, c in curve)
            files.write_csv(folder / f"{name}.csv", ("time_s", "concentration"), rows)
        for name, path in self.motion.items():
            steps = ([i, *(f"{v:.4f}" for v in step)] for i, step in enumerate(path))
            header = ("frame", "x_mm", "y_mm", "z_mm", "x_degrees", "y_degrees", "z_degrees")
            files.write_csv(folder / f"motion_{name}.csv", header, steps)
        for name, transform in self.transforms.items():
            with files.atomic(folder / f"{name}.tfm") as partial:
                sitk.WriteTransform(transform, str(partial))
        columns = [f"{visit}_{axis}_mm" for visit in ("baseline", "followup") for axis in "xyz"]
        files.write_csv(folder / "landmarks.csv", columns, ([f"{v:.3f}" for v in row] for row in self.landmarks))
        files.write_json(folder / "facts.json", self.facts)


def _way(folder: Path, truth: Path) -> str:
    """From a case folder to that of its truth; the whole path where there is none, as between disks of Windows."""
    try:
        return Path(os.path.relpath(truth, folder)).as_posix()
    except ValueError:
        return truth.absolute().as_posix()


@dataclass(frozen=True)
class SimulatedCase:
    """A simulated patient: `case` as a user would have it, `truth` as only a simulation does."""

    case: SimulatedVisit
    truth: Truth
    seed: int = field(default=0)

    def write(
        self,
        folder: str | Path,
        truth_folder: str | Path | None = None,
        dicom: Sequence[str] = (),
        masks: Sequence[str] = MASK_ROLES,
    ) -> Case:
        """Write the case folder, and the truth where a folder is given for it; whole or not at all.

        Parameters
        ----------
        dicom
            Image roles to write as DICOM series too, into ``dicom/<role>`` and, of the later visit, ``followup/dicom/<role>``.
        masks
            The masks that ``case.json`` names, e.g. fewer where the lesions are to be found by the library; `truth` always has all.

        Returns
        -------
        Case
            The folder, loaded.
        """
        folder = Path(folder)
        data = json.loads(json.dumps(files.plain(self.case.data)))
        data["masks"] = {r: p for r, p in data["masks"].items() if r in masks}
        if truth_folder is not None:
            data["truth"] = _way(folder, Path(truth_folder))
        with files.staged(folder) as partial:
            self._write_dicom(partial, data, dicom)
            visit = SimulatedVisit(data, self.case.images_held, self.case.masks_held)
            visit.later = self.case.later
            visit.save(partial)
        if truth_folder is not None:
            with files.staged(truth_folder) as partial:
                self.truth.write(partial)
        return Case.load(folder)

    def _write_dicom(self, folder: Path, data: dict[str, Any], roles: Sequence[str]) -> None:
        """Write a DICOM study per visit below `folder`, and name its series in `data`, the content of ``case.json``."""
        clinical = self.case.clinical
        visits = [(self.case, data, "dicom", "baseline", 0)]
        if self.case.later is not None:
            days = max(round(self.case.later.data["days"]), 1)
            visits.append((self.case.later, data["followup"], "followup/dicom", "followup", days))
        for visit, entry, place, name, days in visits:
            images = {role: image for role, image in visit.images_held.items() if role in roles}
            if not images:
                continue
            study = Study(self.case.id, self.seed, name, days, clinical)
            written = write_dicom_study(images, visit.data["images"], folder / place, study)
            entry["dicom"] = {role: path.relative_to(folder).as_posix() for role, path in written.items()}
