"""DICOM series as images: geometry, values, and what is known of the acquisition."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..images import Grid, Series, array
from ..steps import Progress, silent
from .geometry import DicomSeries, Slice
from .headers import files_in, read_headers
from .pixels import values_of
from .roles import T2_STAR_TE_MS, Verdict, judge_all
from .sort import Arrangement, arrange, split
from .timing import frame_times


def volume(series: DicomSeries, arrangement: Arrangement | None = None) -> sitk.Image:
    """A series of one time point as a 3-D image; int16 where that holds every value exactly, else float32."""
    arrangement = arrangement or arrange(series)
    if len(arrangement.slices) != 1:
        raise InputError(f"{series} has {len(arrangement.slices)} time points; a series of one volume is needed")
    return arrangement.grid.image(compact(values_of(arrangement.slices[0])))


def frames(series: DicomSeries, arrangement: Arrangement | None = None, progress: Progress = silent) -> Series:
    """A series of several time points as a 4-D series, float32."""
    arrangement = arrangement or arrange(series)
    flat: list[Slice] = [s for frame in arrangement.slices for s in frame]
    progress(0.0, f"reading {len(series.files)} files")
    # One file may hold many frames, so all slices are decoded in one go, each file once.
    values = values_of(flat, comparable=_rescaled(flat))
    shape = (len(arrangement.slices), *arrangement.grid.shape)
    return Series(values.reshape(shape), arrangement.grid, f"DICOM series {series.id}")


def _rescaled(slices: Sequence[Slice]) -> bool:
    """Whether Philips' private scale differs within the series, so that displayed values do not compare."""
    scales = {s.frame.scale_slope for s in slices}
    return None not in scales and len(scales) > 1


def compact(values: np.ndarray) -> np.ndarray:
    """The values as int16 where they are all whole numbers in its range, else as float32."""
    if np.abs(values).max(initial=0) <= 32767 and np.array_equal(values, np.rint(values)):
        return values.astype(np.int16)
    return values


_SAID = 0.05  # chosen, as a share of the smallest side of a voxel: time points that lie apart by less are in one place


def acquisition(series: DicomSeries, arrangement: Arrangement, role: str) -> tuple[dict[str, Any], list[str]]:
    """What the headers say of the acquisition, with the keys of ``case.json``, and warnings.

    Keys: ``tr_ms te_ms ti_ms flip_angle_deg`` (a list for ``vfa``), ``times_s`` (and ``times_from``), ``b_values b_vectors``,
    ``field_strength_t``, ``contrast``, ``weight_kg``.
    """
    h = series.header
    first = [frame[0].frame for frame in arrangement.slices]
    found: dict[str, Any] = {}
    for key in ("tr_ms", "te_ms", "ti_ms", "flip_angle_deg"):
        values = [v for f in first if (v := getattr(f, key)) is not None and v > 0]
        if values:
            found[key] = values if role == "vfa" and key == "flip_angle_deg" else values[0]
    doubts: list[str] = []
    if arrangement.moved_mm > _SAID * min(arrangement.grid.spacing):
        doubts.append(
            f"{series}: its time points lie up to {arrangement.moved_mm:.2f} mm apart, as where the scanner follows the head (prospective "
            "motion correction); they were taken together as they are stored"
        )
    if role in ("dce", "dsc"):
        timing = frame_times(series, arrangement)
        if timing.times_s is not None:
            found["times_s"] = list(timing.times_s)
            found["times_from"] = timing.why
        if timing.times_s is None:
            doubts.append(f"{series}: {timing.why}; add images.{role}.times_s to case.json, or give --times")
        elif not timing.sure:
            doubts.append(
                f"{series}: frame times come from {timing.why}; check images.{role}.times_s in case.json, or give --times"
            )
        if arrangement.by in ("ContentTime", "InstanceNumber"):
            doubts.append(f"{series}: the order of its frames comes from {arrangement.by} alone; check it")
        if h.temporal_positions and len(arrangement.slices) < h.temporal_positions:
            doubts.append(
                f"{series} has {len(arrangement.slices)} time points; its headers announce {h.temporal_positions}"
            )
    if role == "dti":
        b, directions = gradients(arrangement)
        found["b_values"] = b.tolist()
        if directions.any():
            found["b_vectors"] = (directions.T.round(6) + 0.0).tolist()
        if len(set(found["b_values"])) == 1:
            doubts.append(f"{series} has the one b-value {found['b_values'][0]:g} s/mm2; ADC needs two")
        if not directions.any():
            doubts.append(f"{series} has no gradient directions in its headers; ADC can be computed, FA cannot")
    if h.field_strength_t:
        found["field_strength_t"] = h.field_strength_t
    if h.contrast and role in ("t1c", "dce", "dsc"):
        found["contrast"] = h.contrast
        if h.weight_kg:
            found["weight_kg"] = h.weight_kg
    return found, doubts


def gradients(arrangement: Arrangement) -> tuple[np.ndarray, np.ndarray]:
    """b-values (t,) in s/mm2 and gradient directions (3, t) as FSL has them.

    FSL's directions are along the voxel axes, with the first one reversed where the voxel-to-world matrix has a positive
    determinant; our images always have that, as they are stacked along rows x columns.
    """
    first = [frame[0].frame for frame in arrangement.slices]
    b = np.asarray([0.0 if f.b_value is None else f.b_value for f in first])
    world = np.asarray([f.b_vector or (0.0, 0.0, 0.0) for f in first])
    axes = np.reshape(arrangement.grid.direction, (3, 3))
    return b, (world @ axes).T * np.asarray([[-1.0], [1.0], [1.0]])


# -------------------------------------------------------------------------------------------------------- a folder at once


def read_dicom_series(folder: str | Path) -> tuple[Series, dict[str, Any]]:
    """Read the one 4-D series in a folder of DICOM files.

    Returns
    -------
    series, acquisition
        Frames (t, z, y, x) float32 in order of time; ``tr_ms te_ms flip_angle_deg times_s ...`` as far as the headers tell.

    Raises
    ------
    InputError
        If there is no 4-D series or more than one, or if it has missing or doubled slices.
    """
    series, verdict = _only(folder, several=True)
    arrangement = arrange(series)
    role = verdict.role or ("dsc" if (series.header.te_ms or 0) >= T2_STAR_TE_MS else "dce")
    found, doubts = acquisition(series, arrangement, role)
    if role in ("dce", "dsc"):
        for doubt in doubts:
            warnings.warn(doubt, stacklevel=2)
    result = frames(series, arrangement)
    return Series(result.frames, result.grid, Path(folder).name), found


def read_dicom_volume(folder: str | Path) -> sitk.Image:
    """Read the one 3-D image in a folder of DICOM files.

    Raises
    ------
    InputError
        If there is no such series or more than one, or if it has missing or doubled slices.
    """
    return volume(_only(folder, several=False)[0])


def read_dicom_image(folder: str | Path) -> tuple[sitk.Image, dict[str, Any]]:
    """As `read_dicom_volume`, with what the headers say: ``tr_ms te_ms flip_angle_deg ...``."""
    series, verdict = _only(folder, several=False)
    arrangement = arrange(series)
    return volume(series, arrangement), acquisition(series, arrangement, verdict.role or "t1")[0]


def read_dicom_flip_angles(folder: str | Path) -> tuple[Series, dict[str, Any]]:
    """Read the images of one place at several flip angles in a folder of DICOM files: one series of all, or one series each.

    Returns
    -------
    series, acquisition
        Frames (angle, z, y, x) float32, by rising angle where each is a series of its own; ``flip_angle_deg`` is the list of angles,
        ``tr_ms`` the repetition time that all share.

    Raises
    ------
    InputError
        If there are no such images or more than one set of them, or if they differ in repetition time or an angle is there twice.
    """
    found = _images(folder)
    sets = [(s, v) for s, v in found if v.role == "vfa"]
    if len(sets) == 1:
        arrangement = arrange(sets[0][0])
        series, known = frames(sets[0][0], arrangement), acquisition(sets[0][0], arrangement, "vfa")[0]
        return Series(series.frames, series.grid, Path(folder).name), known
    alone = [s for s, _ in found if s.n_times == 1 and s.n_slices > 1 and (s.header.flip_angle_deg or 0) > 0]
    alone.sort(key=lambda s: (s.header.flip_angle_deg or 0.0, s.id))
    angles = [float(s.header.flip_angle_deg or 0.0) for s in alone]
    if not sets and not alone and sum(s.n_times > 1 for s, _ in found) == 1:
        return read_dicom_series(folder)  # its headers do not tell the angles apart
    if sets or len(set(angles)) < 2:
        raise InputError(
            f"{folder} holds {len(sets) or 'no'} sets of images that differ in nothing but the flip angle"
            f"{': ' + '; '.join(str(s) for s, _ in sets) if sets else ''}; exactly one with two flip angles at least is needed, or a "
            "folder for each angle"
        )
    twice = next((a for a, b in zip(angles, angles[1:], strict=False) if a == b), None)
    if twice is not None:
        names = "; ".join(str(s) for s, a in zip(alone, angles, strict=True) if a == twice)
        raise InputError(
            f"{folder} holds several series with a flip angle of {twice:g} degrees ({names}); one series for each angle is needed, so give "
            "a folder for each"
        )
    parts = [arrange(s) for s in alone]
    images = [volume(s, part) for s, part in zip(alone, parts, strict=True)]
    said = [acquisition(s, part, "t1")[0] for s, part in zip(alone, parts, strict=True)]
    labels = [str(s) for s in alone]
    series, tr_ms = stack(images, labels, Path(folder).name), shared_tr(said, labels)
    return series, {"flip_angle_deg": angles} | ({} if tr_ms is None else {"tr_ms": tr_ms})


def stack(images: Sequence[sitk.Image], names: Sequence[str], name: str) -> Series:
    """3-D images on one grid as a series; `names` are theirs, for messages.

    Raises
    ------
    InputError
        If one lies on another grid than the first.
    """
    grid = Grid.of(images[0])
    other = next((n for n, image in zip(names, images, strict=True) if not Grid.of(image).matches(grid)), None)
    if other:
        raise InputError(f"{other} lies on another grid than {names[0]}; images of one series on one grid are needed")
    return Series(np.stack([array(image) for image in images]), grid, name)


def shared_tr(known: Sequence[dict[str, Any]], names: Sequence[str]) -> float | None:
    """The repetition time in ms that acquisitions share; None where one does not say it.

    Raises
    ------
    InputError
        If they differ by more than a hundredth.
    """
    times = [float(k["tr_ms"]) for k in known if k.get("tr_ms") is not None]
    if len(times) < len(known) or not times:
        return None
    first = times[0]
    other = next((i for i, t in enumerate(times) if abs(t - first) > 0.01 * first), None)
    if other is not None:
        raise InputError(
            f"{names[other]} was taken with a repetition time of {times[other]:g} ms and {names[0]} with {first:g} ms; one repetition time "
            "is needed"
        )
    return first


def _images(folder: str | Path) -> list[tuple[DicomSeries, Verdict]]:
    """The image series in a folder with their roles."""
    headers, others, damaged = read_headers(files_in(folder))
    if damaged:
        raise InputError(damaged[0])
    if not headers:
        raise InputError(f"{folder} holds no DICOM file ({len(others)} other files); a DICOM series is needed")
    return judge_all(split(headers))


def _only(folder: str | Path, several: bool) -> tuple[DicomSeries, Verdict]:
    judged = [(s, v) for s, v in _images(folder) if (s.n_times > 1) == several]
    with_role = [(s, v) for s, v in judged if v.role]
    judged = with_role or judged
    wanted = "4-D series (several time points)" if several else "3-D image"
    if len(judged) != 1:
        names = "; ".join(str(s) for s, _ in judged)
        raise InputError(
            f"{folder} holds {len(judged) or 'no'} {wanted}{': ' + names if names else ''}; a folder with exactly one is needed"
        )
    return judged[0]
