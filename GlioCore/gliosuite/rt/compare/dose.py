"""RT dose files, and what dose a structure gets: cumulative dose-volume histograms that count parts of voxels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ...dicom.geometry import RT_DOSE, quiet_pydicom
from ...errors import InputError, require
from ...images import Grid, array, boolean, signed_distance

# Doses are taken at points no farther apart than this: a third of the finest dose grids in use, so that the steepest fall-off is resolved.
_POINT_MM = 0.5
_BIN_GY = 0.05  # chosen: below the 0.1 Gy that doses are reported to
DOSE_TITLES = {
    "volume_cc": "volume (cc)",
    "mean_gy": "mean (Gy)",
    "d98_gy": "D98 (Gy)",
    "d50_gy": "D50 (Gy)",
    "d2_gy": "D2 (Gy)",
    "v95_percent": "V95 (%)",
}


_MOST_GY = 200.0  # chosen: hot spots of radiosurgery reach 160 Gy
# DoseSummationType (PS3.3 C.8.8.3) of what is less than a plan's dose, or more than one's.
_SUMS = {
    "BEAM": "one beam or some beams of a plan", "BEAM_SESSION": "beams in one session", "BRACHY": "brachytherapy sources of a plan",
    "BRACHY_SESSION": "brachytherapy sources in one session", "CONTROL_POINT": "a part of one beam", "FRACTION": "fractions of a plan",
    "FRACTION_SESSION": "one session of a fraction", "MULTI_PLAN": "several plans together", "PLAN_OVERVIEW": "an estimate for a plan",
    "RECORD": "what was delivered according to treatment records",
}  # fmt: skip


@dataclass(frozen=True)
class Dose:
    """A dose distribution in Gy on its own grid, its frame of reference, and whose it is.

    `caveats`: sentences on why it is not the physical dose of a whole plan; empty where it is.
    """

    image: sitk.Image
    frame_of_reference: str
    patient_id: str
    path: Path
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dvh:
    """A cumulative dose-volume histogram.

    Attributes
    ----------
    dose_gy
        Edges of the bins (n,), from 0.
    volume_percent
        Share of the structure (n,) that gets at least that dose.
    volume_cc, mean_gy
        Of the structure.
    outside_percent
        Share that lies beyond the dose grid, where the dose was taken as 0.
    """

    dose_gy: np.ndarray
    volume_percent: np.ndarray
    volume_cc: float
    mean_gy: float
    outside_percent: float

    def dose_at(self, volume_percent: float) -> float:
        """The least dose in Gy within the `volume_percent` that get most: 98 gives D98."""
        return float(np.interp(-volume_percent, -self.volume_percent, self.dose_gy))

    def volume_at(self, dose_gy: float) -> float:
        """The share in percent that gets at least `dose_gy`."""
        return float(np.interp(dose_gy, self.dose_gy, self.volume_percent))

    def summary(self, prescription_gy: float) -> dict[str, float]:
        """The values of `DOSE_TITLES`; V95 is the share that gets 95 % of the prescription."""
        values = (
            self.volume_cc,
            self.mean_gy,
            self.dose_at(98),
            self.dose_at(50),
            self.dose_at(2),
            self.volume_at(0.95 * prescription_gy),
        )
        return dict(zip(DOSE_TITLES, values))


def read_dose(path: str | Path) -> Dose:
    """Read an RT dose file.

    Raises
    ------
    InputError
        If it is missing, no RT dose, a difference of doses, not in Gy, without pixels or a place, or its planes are uneven.
    """
    path = Path(path)
    pydicom = require("pydicom", "reading RT dose")
    invalid = require("pydicom.errors", "reading RT dose").InvalidDicomError
    if not path.is_file():
        raise InputError(f"{path} does not exist; an RT dose file is needed")
    try:
        with quiet_pydicom():
            d = pydicom.dcmread(path)
    except (invalid, EOFError) as error:
        raise InputError(f"{path} is not a DICOM file; an RT dose file is needed") from error
    if d.get("SOPClassUID") != RT_DOSE:
        raise InputError(f"{path} is a DICOM object of modality {d.get('Modality', '?')}; an RT dose file is needed")
    if str(d.get("DoseUnits", "")).upper() != "GY":
        raise InputError(f"{path} holds doses in {d.get('DoseUnits', 'no unit')}; doses in GY are needed")
    kind, summed = (str(d.get(k, "") or "").upper() for k in ("DoseType", "DoseSummationType"))
    if kind == "ERROR":
        raise InputError(f"{path} holds the difference of two doses (DoseType ERROR); a dose is needed")
    caveats = [f"it is an effective dose (DoseType {kind}), not a physical one"] if kind == "EFFECTIVE" else []
    if summed not in ("", "PLAN"):
        what = _SUMS.get(summed, "something else than a plan")
        caveats.append(f"it is the dose of {what} (DoseSummationType {summed}), not of one whole plan")
    for keyword in ("DoseGridScaling", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "PixelData"):
        if d.get(keyword) is None:
            raise InputError(f"{path} has no {keyword}; a dose grid with values and a place is needed")
    try:
        values = d.pixel_array.astype(np.float64) * float(d.DoseGridScaling)
    except (ValueError, AttributeError, RuntimeError, NotImplementedError) as error:
        raise InputError(f"{path}: its dose values cannot be read ({error}); export it again") from error
    if not values.any():
        raise InputError(f"{path} is 0 Gy everywhere; a dose is needed")
    if values.max() > _MOST_GY:
        caveats.append(f"its highest dose is {values.max():g} Gy, as one in cGy would be; look at its DoseGridScaling")
    values = values.reshape(-1, int(d.Rows), int(d.Columns))
    row, column = np.reshape(np.asarray(d.ImageOrientationPatient, float), (2, 3))
    normal = np.cross(row, column)
    origin = np.asarray(d.ImagePositionPatient, float)
    offsets = np.asarray(d.get("GridFrameOffsetVector") or [0.0], float).ravel()
    if len(values) > 1 and offsets.size != len(values):
        raise InputError(f"{path} has {len(values)} planes and {offsets.size} plane offsets; export it again")
    if (
        offsets[0] != 0
    ):  # PS3.3 C.8.8.3.2: a first offset other than 0 is a position along z, not a distance from the first plane
        offsets = (offsets - origin[2]) * np.sign(normal[2])
        origin = origin + normal * offsets[0]
        offsets = offsets - offsets[0]
    steps = np.diff(offsets)
    if steps.size and (np.abs(steps - steps.mean()).max() > 0.01 * abs(steps.mean()) or steps.mean() == 0):
        raise InputError(f"{path}: its planes are not evenly spaced; an evenly spaced dose grid is needed")
    step = float(steps.mean()) if steps.size else float(d.get("SliceThickness") or 1.0)
    if step < 0:
        values, origin, step = values[::-1], origin + normal * offsets[-1], -step
    x, y, z = (float(v) for v in origin)
    grid = Grid(
        (values.shape[2], values.shape[1], values.shape[0]),
        (float(d.PixelSpacing[1]), float(d.PixelSpacing[0]), step),
        (x, y, z),
        tuple(float(v) for v in np.stack([row, column, normal], axis=1).ravel()),
    )
    image = grid.image(np.ascontiguousarray(values, np.float32))
    frame, patient = (str(d.get(k, "") or "") for k in ("FrameOfReferenceUID", "PatientID"))
    return Dose(image, frame, patient, path, tuple(caveats))


def dvh(dose: sitk.Image, structure: sitk.Image) -> Dvh:
    """The cumulative dose-volume histogram of a structure.

    Dose is interpolated linearly at points at most 0.5 mm apart, on whatever grids dose and structure lie. A voxel at the structure's edge
    counts by the share of its points that lie within the surface: that of the signed distance, at the level where the points' volume is
    that of the voxels.

    Parameters
    ----------
    dose
        In Gy.
    structure
        0/1 image.

    Raises
    ------
    InputError
        If the structure is empty or lies beyond the dose grid altogether.
    """
    own, theirs = Grid.of(structure), Grid.of(dose)
    inside = boolean(structure)
    if not inside.any():
        raise InputError("a structure without voxels has no dose; a mask with at least one voxel is needed")
    points = _points(structure, own)
    matrix = np.reshape(own.direction, (3, 3)) * own.spacing
    back = np.linalg.inv(np.reshape(theirs.direction, (3, 3)) * theirs.spacing)
    index = (points @ matrix.T + np.asarray(own.origin) - theirs.origin) @ back.T
    beyond = ((index < -0.5) | (index > np.asarray(theirs.size) - 0.5)).any(axis=1)
    if beyond.all():
        raise InputError(
            "the structure lies beyond the dose grid altogether; dose and masks of one patient in one position are needed"
        )
    values = ndimage.map_coordinates(array(dose), index.T[::-1], order=1, mode="nearest")
    values = np.where(beyond, 0.0, values)
    edges = np.arange(0.0, float(values.max()) + 2 * _BIN_GY, _BIN_GY)
    counts = np.histogram(values, edges)[0]
    at_least = np.append(counts[::-1].cumsum()[::-1], 0.0) / values.size
    return Dvh(
        edges,
        100.0 * at_least,
        float(inside.sum()) * own.voxel_cc,
        float(values.mean()),
        100.0 * float(beyond.mean()),
    )


def _points(structure: sitk.Image, grid: Grid) -> np.ndarray:
    """Points (n, 3) within the structure in voxels (x, y, z), each standing for the same volume."""
    inside = boolean(structure)
    box = ndimage.find_objects(inside.astype(np.uint8))[0]
    low = np.array([max(0, s.start - 2) for s in box])
    high = np.array([min(n, s.stop + 2) for s, n in zip(box, inside.shape)])
    part = structure[tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1]))]
    distance = array(signed_distance(part))
    count = np.maximum(1, np.ceil(np.asarray(grid.spacing) / _POINT_MM - 1e-6)).astype(int)[::-1]
    offsets = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n - 0.5 for n in count], indexing="ij"), axis=-1).reshape(
        -1, 3
    )
    reach = float(np.linalg.norm(grid.spacing)) * 0.5
    core = np.argwhere(distance < -reach)
    edge = np.argwhere(np.abs(distance) <= reach)
    candidates = (edge[:, None] + offsets).reshape(-1, 3)
    level = ndimage.map_coordinates(distance, candidates.T, order=1, mode="nearest")
    wanted = (int(inside.sum()) - len(core)) * len(offsets)
    taken = candidates[np.argpartition(level, wanted - 1)[:wanted]] if wanted < len(level) else candidates
    points = np.concatenate([(core[:, None] + offsets).reshape(-1, 3), taken]) + low
    return points[:, ::-1]
