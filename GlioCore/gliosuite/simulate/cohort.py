"""From a seed to a simulated patient, and cohorts of them."""

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from .. import files, steps
from ..errors import InputError
from ..images import resample_mask
from . import growth, treatment
from .acquisition import Effects, b1_field
from .biology import draw_biology
from .blood import draw_blood
from .course import Course, follow
from .patient import MASK_ROLES, SimulatedCase, SimulatedVisit, Truth
from .phantom import Head, build_head, stream
from .presets import Preset, card
from .presets import preset as find_preset
from .properties import draw_physiology, textures
from .protocols import DEFAULT, SHIFTED, Protocols, changed
from .visit import SCANS, STRUCTURAL, Patient, Visit, landmarks, scan_visit, tabulated, whole

USUAL_SCANS = ("structural", "dce", "dsc")
_LATER_ROLES = ("t1", "t1c", "flair")
_PAIR_DAYS = 3
OUTCOMES = [
    "age",
    "sex",
    "kps",
    "grade",
    "pathology",
    "idh",
    "mgmt",
    "egfr",
    "codeletion_1p19q",
    "resection",
    "treatment",
    "rt_dose_gy",
    "max_diameter_mm",
    "pfs_days",
    "pfs_event",
    "os_days",
    "os_event",
    "recurrence_local",
    "recurrence_distant",
]


def simulate_case(
    seed: int,
    preset: str = "default",
    grid_mm: float = 1.0,
    scans: Sequence[str] = USUAL_SCANS,
    effects: Effects | None = None,
    case_id: str | None = None,
    progress: steps.Progress = steps.silent,
    protocols: Protocols | None = None,
    scale: Mapping[str, Mapping[str, float]] | None = None,
) -> SimulatedCase:
    """Simulate a glioma patient: anatomy, tumour, treatment, scans at baseline, recurrence, a scan at progression.

    Parameters
    ----------
    seed
        The patient: the same seed gives the same bytes. Anatomy, tumour and each scan have random numbers of their own.
    preset
        A name of `presets.PRESETS`.
    grid_mm
        Voxel size of the truth and of T1c in mm; other scans are no finer.
    scans
        Any of ``"structural"`` (T1, T1c, T2, FLAIR and the follow-up), ``"vfa"`` (with a B1 map), ``"dce"``, ``"dsc"``, ``"diffusion"``
        (ADC, FA), ``"mrsi"``.
    effects
        What makes scans differ from the tissue; all of it where None.
    case_id
        The case's name; made from the seed where None.
    protocols
        How scans are taken; the preset's scanner where None. `protocols.changed` makes another one of it.
    scale
        Factors on a tissue's mean parameters beside the preset's, by class and name, e.g. ``{"cel": {"ktrans": 2.0}}``.

    Returns
    -------
    SimulatedCase
        ``case`` (a `Case` in memory) and ``truth``.

    Raises
    ------
    InputError
        If the preset or a scan is not known, `grid_mm` is not in 0.5-5, or the seed is below 0.

    Examples
    --------
    >>> patient = simulate_case(seed=3, grid_mm=5.0, scans=("structural",))
    >>> sorted(patient.case.images), "cel" in patient.case.masks
    (['flair', 't1', 't1c', 't2'], True)
    >>> patient.truth.maps["ktrans"].GetSpacing()
    (5.0, 5.0, 5.0)
    """
    chosen = find_preset(preset)
    _check(seed, grid_mm, scans)
    effects = effects or Effects()
    progress(0.0, "anatomy")
    biology = draw_biology(seed, chosen.tumours, chosen.preoperative)
    radius = (3 * biology.core_cc * 1000 / (4 * np.pi)) ** (1 / 3)
    head = build_head(seed, grid_mm, radius, effects.skull, biology.mass_effect)
    progress(0.2, "tumour and its course")
    part = growth.region(head)
    course = follow(head, part, biology, chosen, seed)
    patient = _patient(seed, head, part, course, protocols or scanner(chosen), effects, scale or {})
    blood = draw_blood(stream(seed, "blood"))
    progress(0.4, "scans")
    now = scan_visit(patient, "baseline", course.baseline, blood, scans, truth=True)
    masks = _masks(head, part, course)
    maps = {k: head.grid.image(whole(head, part, np.asarray(v, _stored(v)))) for k, v in course.planted.maps.items()}
    data = _case_data(case_id or f"sim-{seed}", now, masks, course)
    case = SimulatedVisit(data, now.images, {role: masks[role] for role in data["masks"]})
    shift = _later_position(head, part, course, chosen, seed)
    to_baseline = shift.transform
    transforms = {"followup_to_baseline": to_baseline, **now.transforms}
    if "structural" in scans:
        progress(0.8, "follow-up")
        case.later, scanned = _later(patient, course, chosen, scans, to_baseline)
        data["followup"] = case.later.data
        transforms |= {"followup_t1c": sitk.Euler3DTransform()} | scanned.transforms
        now.curves |= scanned.curves
        now.motion |= scanned.motion
        maps |= scanned.maps
    facts = {
        "seed": seed,
        "preset": preset,
        "grid_mm": grid_mm,
        "effects": effects,
        "blood": blood,
        "largest_shift_mm": shift.largest_mm,
        "mean_shift_mm": shift.mean_mm,
        **course.facts,
    }
    progress(1.0, "simulated")
    points = landmarks(seed, head, to_baseline)
    truth = Truth(now.maps | masks | maps, now.curves, transforms, points, facts, now.motion)
    return SimulatedCase(case, truth, seed)


def _patient(
    seed: int,
    head: Head,
    part: growth.Region,
    course: Course,
    protocols: Protocols,
    effects: Effects,
    scale: Mapping[str, Mapping[str, float]],
) -> Patient:
    """What stays the same from visit to visit."""
    planted = {name: whole(head, part, values.astype(np.float32)) for name, values in course.planted.fields.items()}
    fields = textures(head.grid, stream(seed, "texture")) | {"b1": b1_field(head.grid, stream(seed, "b1"))} | planted
    physiology = draw_physiology(stream(seed, "physiology"), course.planted.scale, scale)
    return Patient(seed, head, part, physiology, fields, protocols, effects)


def _case_data(case_id: str, now: Visit, masks: Mapping[str, sitk.Image], course: Course) -> dict[str, Any]:
    """What ``case.json`` says of the baseline."""
    return {
        "id": case_id,
        "simulated": True,
        "images": {role: {"path": f"{role}.nii.gz", **keys} for role, keys in now.entries.items()},
        "masks": {role: f"{role}.nii.gz" for role in MASK_ROLES if role in masks},
        "clinical": course.clinical,
        "dicom": {},
    }


def scanner(chosen: Preset) -> Protocols:
    """The protocols of a preset."""
    return SHIFTED if chosen.protocols == "shifted" else DEFAULT


def _check(seed: int, grid_mm: float, scans: Sequence[str]) -> None:
    if unknown := [s for s in scans if s not in SCANS]:
        raise InputError(f"scan {unknown[0]!r} is not known; choose from {', '.join(SCANS)}")
    if not 0.5 <= grid_mm <= 5:
        raise InputError(f"grid_mm is {grid_mm}; 0.5 to 5 mm are possible")
    if seed < 0:
        raise InputError(f"seed is {seed}; a whole number of at least 0 is needed")


def _stored(values: np.ndarray) -> type:
    return np.uint8 if values.dtype in (np.bool_, np.uint8) else np.float32


def _masks(head: Head, part: growth.Region, course: Course) -> dict[str, sitk.Image]:
    """The masks of baseline and progression on the head's grid; empty ones are left out."""
    found = {name: getattr(course.baseline, name) for name in ("cel", "t2l", "necrosis", "cavity")}
    if course.clinical.get("pfs_event"):
        found |= {"progression_cel": course.followup.cel, "progression_t2l": course.followup.t2l}
    return {name: head.grid.image(whole(head, part, mask)) for name, mask in found.items() if mask.any()}


def _later_position(head: Head, part: growth.Region, course: Course, chosen: Preset, seed: int) -> treatment.Shift:
    """The follow-up's position, and its anatomy unless it shows the same tissue."""
    if chosen.recurrence == "same tissue":
        return treatment.Shift(sitk.CompositeTransform([treatment.rigid(stream(seed, "follow-up"), 2.5, 3.5)]))
    return treatment.later_anatomy(head.grid, part, course.followup, seed)


def _later(
    patient: Patient,
    course: Course,
    chosen: Preset,
    scans: Sequence[str],
    to_baseline: sitk.Transform,
) -> tuple[SimulatedVisit, Any]:
    """The visit at progression in its own position and anatomy, or the second visit of a pair, with every scan of the first."""
    pair = chosen.recurrence == "same tissue"
    scanned = scan_visit(
        patient,
        "followup",
        course.followup,
        draw_blood(stream(patient.seed, "followup blood")),
        scans if pair else ("structural",),
        STRUCTURAL if pair else _LATER_ROLES,
        tabulated(to_baseline, patient.head.grid),
    )
    head, part = patient.head, patient.part
    found = {role: getattr(course.followup, role) for role in ("cel", "t2l", "cavity")}
    seen = {
        role: resample_mask(head.grid.image(whole(head, part, mask)), head.grid, to_baseline)
        for role, mask in found.items()
        if mask.any()
    }
    data: dict[str, Any] = {
        "images": {role: {"path": f"followup/{role}.nii.gz", **keys} for role, keys in scanned.entries.items()},
        "masks": {role: f"followup/{role}.nii.gz" for role in seen},
    }
    data["days"] = _PAIR_DAYS if pair else course.clinical["pfs_days"]
    return SimulatedVisit(data, scanned.images, seen), scanned


def space_bytes(n: int, grid_mm: float, scans: Sequence[str], dicom: bool) -> int:
    """Disk space that a cohort needs at most, in bytes: from the voxels of a head's box, by scan, as measured on written cases."""
    voxels = 192 * 232 * 180 / grid_mm**3
    small = max(grid_mm, 2.0)
    series = {"dce": 60 * 5.6e5, "dsc": 60 * 2.7e5, "vfa": 5 * 5.6e5, "diffusion": 2 * 6.8e5, "mrsi": 8 * 8e3}
    shrunk = min(1.0, (1.9 / small) ** 3)
    dynamic = sum(series[s] * shrunk for s in scans if s in series)
    images = voxels * (9 * ("structural" in scans)) + dynamic * 1.6
    truth = voxels * 22 + dynamic * 0.4
    return int(n * (images + truth + dicom * (2.2 * images + 4e6)))


def _write_one(out: Path, name: str, own: int, options: tuple, dicom: bool) -> list[Any]:
    """Simulate and write one patient of a cohort; its row of ``outcomes.csv``."""
    preset, grid_mm, scans, effects, protocols = options
    simulated = simulate_case(own, preset, grid_mm, scans, effects, name, protocols=protocols)
    simulated.write(out / name, out / "truth" / name, simulated.case.images if dicom else ())
    return [name, *(simulated.case.clinical.get(key, "") for key in OUTCOMES)]


def _few_threads(threads: int) -> None:
    """SimpleITK takes all threads in every worker unless told."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def write_cohort(
    out: str | Path,
    n: int,
    seed: int,
    preset: str = "default",
    grid_mm: float = 1.0,
    scans: Sequence[str] = USUAL_SCANS,
    dicom: bool = False,
    progress: steps.Progress = steps.silent,
    workers: int = 1,
    without: Sequence[str] = (),
    settings: Sequence[str] = (),
) -> dict[str, Any]:
    """Write `n` simulated patients: ``<id>/case.json``, ``truth/<id>/``, ``outcomes.csv`` and ``cohort.json``.

    The same arguments give the same bytes, whatever the number of workers.

    Parameters
    ----------
    seed
        The cohort; each patient's own seed is drawn from it and noted in ``cohort.json``.
    dicom
        Write all images as DICOM too, a study per visit.
    workers
        Processes that share the patients. A script that asks for more than one needs the ``__main__`` guard.
    without
        Effects that are switched off, e.g. ``("noise", "motion")``.
    settings
        Protocol settings as `protocols.changed` takes them.

    Returns
    -------
    dict
        Where the cohort lies, and its cases.

    Raises
    ------
    InputError
        If an argument is out of range, the folder cannot be written, or the disk has no room for the cohort.
    """
    out = Path(out)
    _check(seed, grid_mm, scans)
    effects, protocols = Effects.without(without), changed(scanner(find_preset(preset)), settings)
    if n < 1:
        raise InputError(f"{n} cases asked for; at least 1 is needed")
    if workers < 1:
        raise InputError(f"{workers} workers asked for; at least 1 is needed")
    needed = space_bytes(n, grid_mm, scans, dicom)
    free = shutil.disk_usage(_existing(out)).free
    if needed > free:
        raise InputError(
            f"{n} cases need up to {_gib(needed)} and {out} has {_gib(free)} left; free some, or write fewer or coarser cases"
        )
    progress(0.0, f"{n} cases, up to {_gib(needed)} of {_gib(free)} free")
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(n)]
    cases = {f"sim-{seed}-{i + 1:03d}": own for i, own in enumerate(seeds)}
    options = (preset, grid_mm, tuple(scans), effects, protocols)
    rows = _write_cases(out, cases, options, dicom, progress, workers)
    files.write_csv(out / "outcomes.csv", ["id", *OUTCOMES], [rows[name] for name in cases])
    about = {
        "preset": preset,
        "seed": seed,
        "grid_mm": grid_mm,
        "scans": list(scans),
        "without": list(without),
        "settings": list(settings),
        "version": steps.version(),
        "simulated": True,
        "card": card(preset),
        "cases": [{"id": name, "seed": own} for name, own in cases.items()],
    }
    files.write_json(out / "cohort.json", about)
    progress(1.0, "cohort written")
    return {"cohort": out, "n": n, "preset": preset, "seed": seed, "space_needed_bytes": needed, "cases": list(cases)}


def _write_cases(
    out: Path, cases: Mapping[str, int], options: tuple, dicom: bool, progress: steps.Progress, workers: int
) -> dict[str, list[Any]]:
    """Write patients by name and seed, in processes where there is more than one worker; their rows of ``outcomes.csv`` by name."""
    n = len(cases)
    rows: dict[str, list[Any]] = {}
    if workers == 1 or n == 1:
        for i, (name, own) in enumerate(cases.items()):
            progress(i / n, name)
            rows[name] = _write_one(out, name, own, options, dicom)
        return rows
    threads = max(sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() // workers, 1)
    with ProcessPoolExecutor(
        min(workers, n), get_context("spawn"), initializer=_few_threads, initargs=(threads,)
    ) as pool:
        waiting = [pool.submit(_write_one, out, name, own, options, dicom) for name, own in cases.items()]
        try:
            for done in as_completed(waiting):
                row = done.result()
                rows[row[0]] = row
                progress(len(rows) / n, row[0])
        except BrokenProcessPool as error:
            raise InputError(
                "a process was ended from outside, as happens where memory runs out; cases that are whole stay, and fewer workers or "
                "larger voxels need less"
            ) from error
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return rows


def _existing(folder: Path) -> Path:
    """The nearest folder above that exists."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
