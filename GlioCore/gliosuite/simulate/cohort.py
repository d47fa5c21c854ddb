"""From a seed to a simulated patient, and cohorts of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from .. import files, steps
from ..errors import InputError
from ..images import Grid, Series, array, resample_mask
from . import growth, treatment
from .acquisition import CLASSES, PROTOCOLS, Effects, b1_field, structural, tissue_signal
from .blood import Blood, draw_blood
from .diffusion import scan_diffusion
from .dynamic import enhancement, scan_dce, scan_dsc
from .patient import MASK_ROLES, SimulatedCase, SimulatedVisit, Truth
from .phantom import Head, build_head, stream
from .properties import Physiology, draw_physiology, textures, truth_maps
from .protocols import DEFAULT
from .scanning import Packed
from .spectroscopy import scan_mrsi
from .vfa import scan_vfa

PRESETS = ("default",)
SCANS = ("structural", "dce", "dsc")
_SCANNERS = {"vfa": scan_vfa, "dce": scan_dce, "dsc": scan_dsc, "diffusion": scan_diffusion, "mrsi": scan_mrsi}
KNOWN_SCANS = ("structural", *_SCANNERS)
BASELINE_ROLES, FOLLOWUP_ROLES = ("t1", "t1c", "t2", "flair"), ("t1", "t1c", "flair")
OUTCOMES = [
    "age",
    "sex",
    "kps",
    "grade",
    "pathology",
    "idh",
    "mgmt",
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
    scans: Sequence[str] = SCANS,
    effects: Effects | None = None,
    case_id: str | None = None,
    progress: steps.Progress = steps.silent,
) -> SimulatedCase:
    """Simulate a glioma patient: anatomy, tumour, surgery, scans before radiotherapy, recurrence, a scan at progression.

    Parameters
    ----------
    seed
        The patient: the same seed gives the same bytes. Anatomy, tumour and each scan have random numbers of their own.
    preset
        ``"default"``.
    grid_mm
        Voxel size of the truth and of T1c in mm; other scans are no finer.
    scans
        Any of ``"structural"`` (T1, T1c, T2, FLAIR and the follow-up), ``"vfa"`` (with a B1 map), ``"dce"``, ``"dsc"``, ``"diffusion"``
        (ADC and FA), ``"mrsi"`` (peak heights of five metabolites and CNI, CCrI, CrNI).
    effects
        What makes scans differ from the tissue; all of it where None.
    case_id
        The case's name; made from the seed where None.

    Returns
    -------
    SimulatedCase
        ``case`` (a `Case` in memory) and ``truth``.

    Raises
    ------
    InputError
        If the preset or a scan is not known, `grid_mm` is not in 0.5-5, or the seed is below 0.
    """
    if preset not in PRESETS:
        raise InputError(f"preset {preset!r} is not known; choose from {', '.join(PRESETS)}")
    if unknown := [s for s in scans if s not in KNOWN_SCANS]:
        raise InputError(f"scan {unknown[0]!r} is not known; choose from {', '.join(KNOWN_SCANS)}")
    if not 0.5 <= grid_mm <= 5:
        raise InputError(f"grid_mm is {grid_mm}; 0.5 to 5 mm are possible")
    if seed < 0:
        raise InputError(f"seed is {seed}; a whole number of at least 0 is needed")
    effects = effects or Effects()
    progress(0.0, "anatomy")
    biology = growth.draw_biology(seed)
    radius = (3 * 1.4 * biology.cel_cc * 1000 / (4 * np.pi)) ** (1 / 3)
    head = build_head(seed, grid_mm, radius, effects.skull)
    progress(0.3, "tumour and its course")
    part = growth.region(head)
    course = treatment.follow(head, part, biology, seed)
    blood = draw_blood(stream(seed, "blood"))
    physiology = draw_physiology(stream(seed, "physiology"))
    fields = textures(head.grid, stream(seed, "texture")) | {
        "density": array(_whole(head, part, course.density.astype(np.float32))),
        "b1": b1_field(head.grid, stream(seed, "b1")),
    }
    before = _fractions(head, part, course.baseline)
    progress(0.5, "scans")

    data: dict[str, Any] = {
        "id": case_id or f"sim-{seed}",
        "simulated": True,
        "images": {},
        "masks": {},
        "clinical": course.clinical,
        "dicom": {},
    }
    images: dict[str, sitk.Image | Series] = {}
    maps, curves, transforms = {}, {}, {}
    later = None
    transforms["followup_to_baseline"] = treatment.later_anatomy(head.grid, part, course, seed)
    masks = _masks(head, part, course)
    if "structural" in scans:
        images = _structural_visit(
            seed, "baseline", BASELINE_ROLES, head, before, fields, physiology, blood, effects, None, transforms
        )
        data["images"] = {r: {"path": f"{r}.nii.gz", **PROTOCOLS[r].acquisition} for r in BASELINE_ROLES}
        progress(0.65, "follow-up")
        unknown = {k: v for k, v in fields.items() if k != "density"}  # the density at follow-up is not kept
        later = _followup(seed, head, part, course, unknown, physiology, blood, effects, masks, transforms)
    wanted = [kind for kind in _SCANNERS if kind in scans]
    packed = Packed.of(head.grid, before, fields) if wanted else None
    for i, kind in enumerate(wanted):
        progress(0.75 + 0.24 * i / len(wanted), kind)
        protocol = getattr(DEFAULT, kind)
        to_head = _offset(seed, kind, effects, transforms)
        scanned = _SCANNERS[kind](packed, head.grid, physiology, blood, protocol, to_head, effects, stream(seed, kind))
        images |= scanned.images
        data["images"] |= {r: {"path": f"{r}.nii.gz", **keys} for r, keys in scanned.acquisition.items()}
        maps |= scanned.maps
        curves |= scanned.curves

    data["masks"] = {role: f"{role}.nii.gz" for role in MASK_ROLES if role in masks}
    maps = _truth_maps(head, before, fields, physiology, effects) | masks | maps
    case = SimulatedVisit(data, images, {r: masks[r] for r in data["masks"]})
    if later is not None:
        data["followup"] = later.data
        case.later = later
        transforms.setdefault("followup_t1c", sitk.Euler3DTransform())
    facts = {"seed": seed, "preset": preset, "grid_mm": grid_mm, "effects": effects, "blood": blood, **course.facts}
    points = _landmarks(seed, head, transforms["followup_to_baseline"])
    progress(1.0, "simulated")
    return SimulatedCase(case, Truth(maps, curves, transforms, points, facts), seed)


def _fractions(head: Head, part: growth.Region, lesion: treatment.Lesion) -> dict[str, np.ndarray]:
    """Volume fractions of all classes: the head with the lesion put in, its edges as soft as a voxel is wide."""
    from scipy.ndimage import gaussian_filter

    zeros = np.zeros(head.grid.shape, np.float32)
    result = {name: head.tissues.get(name, zeros) for name in CLASSES}
    sigma = 0.6 / part.fine.spacing[0]
    soft = {
        name: gaussian_filter(getattr(lesion, name).astype(np.float32), sigma) for name in ("cel", "necrosis", "cavity")
    }
    soft["oedema"] = lesion.oedema * (result["gm"][part.box] + result["wm"][part.box])
    total = np.maximum(sum(soft.values()), 1.0)
    taken = sum(soft.values()) / total
    for name in ("gm", "wm", "csf", "artery", "vein", "dura"):
        result[name] = result[name].copy()
        inside = part.fine_brain
        result[name][part.box] *= np.where(inside, 1 - taken, 1)
    for name, amount in soft.items():
        result[name] = zeros.copy()
        result[name][part.box] = amount / total * part.fine_brain
    of_brain = ("gm", "wm", "csf", "artery", "vein", "dura", *soft)
    brain_total = sum(result[n] for n in of_brain)
    scale = np.where(head.brain, 1 / np.maximum(brain_total, 1e-3), 1).astype(np.float32)
    for name in of_brain:
        result[name] = result[name] * scale
    return result


def _masks(head: Head, part: growth.Region, course: treatment.Course) -> dict[str, sitk.Image]:
    """The masks of both visits on the head's grid; empty ones are left out."""
    found = {
        "cel": course.baseline.cel,
        "t2l": course.baseline.t2l,
        "necrosis": course.baseline.necrosis,
        "cavity": course.baseline.cavity,
        "progression_cel": course.followup.cel,
        "progression_t2l": course.followup.t2l,
    }
    return {name: _whole(head, part, mask) for name, mask in found.items() if mask.any()}


def _whole(head: Head, part: growth.Region, values: np.ndarray) -> sitk.Image:
    """Values of the region on the head's grid."""
    result = np.zeros(head.grid.shape, values.dtype)
    result[part.box] = values
    return head.grid.image(result)


def _offset(seed: int, role: str, effects: Effects, transforms: dict) -> sitk.Transform | None:
    """Draw where the head lies in a scan, note it in `transforms`, and return LPS points of the scan to points of the head."""
    if not effects.offset or role == "t1c":
        return None
    transforms[role] = treatment.rigid(stream(seed, f"position {role}"), 0.8, 1.0)
    return transforms[role].GetInverse()


def _structural_visit(
    seed: int,
    visit: str,
    roles: Sequence[str],
    head: Head,
    fractions: Mapping[str, np.ndarray],
    fields: Mapping[str, np.ndarray],
    physiology: Physiology,
    blood: Blood,
    effects: Effects,
    anatomy: sitk.Transform | None,
    transforms: dict[str, sitk.Transform],
) -> dict[str, sitk.Image]:
    """All structural scans of a visit; `anatomy` maps points of the visit's T1c to points of the head."""
    images = {}
    prefix = "" if visit == "baseline" else "followup_"
    for role in roles:
        protocol = PROTOCOLS[role]
        contrast = enhancement(blood, physiology, fractions, fields, effects) if role == "t1c" else {}
        # T1 follows one texture, T2 another, so that the scans are not copies of each other.
        texture = fields["cellular" if protocol.kind == "mprage" else "leaky"] if effects.texture else None
        signal = tissue_signal(protocol, fractions, texture, contrast, fields.get("density"))
        to_head = anatomy
        if effects.offset and role != "t1c":
            move = treatment.rigid(stream(seed, f"position {prefix}{role}"), 0.8, 1.0)
            transforms[prefix + role] = move
            to_head = move.GetInverse() if anatomy is None else sitk.CompositeTransform([anatomy, move.GetInverse()])
        rng = stream(seed, f"{visit} {role}")
        images[role] = structural(signal, head.grid, protocol, to_head, effects, rng)
    return images


def _followup(
    seed: int,
    head: Head,
    part: growth.Region,
    course: treatment.Course,
    fields: Mapping[str, np.ndarray],
    physiology: Physiology,
    blood: Blood,
    effects: Effects,
    masks: Mapping[str, sitk.Image],
    transforms: dict[str, sitk.Transform],
) -> SimulatedVisit:
    """The visit at progression, in its own position and anatomy."""
    to_baseline = _tabulated(transforms["followup_to_baseline"], head.grid)
    after = _fractions(head, part, course.followup)
    images = _structural_visit(
        seed, "followup", FOLLOWUP_ROLES, head, after, fields, physiology, blood, effects, to_baseline, transforms
    )
    entries = {r: {"path": f"followup/{r}.nii.gz", **PROTOCOLS[r].acquisition} for r in FOLLOWUP_ROLES}
    seen = {
        role: resample_mask(masks[f"progression_{role}"], head.grid, to_baseline)
        for role in ("cel", "t2l")
        if f"progression_{role}" in masks
    }
    paths = {role: f"followup/{role}.nii.gz" for role in seen}
    return SimulatedVisit({"images": entries, "masks": paths}, images, seen)


def _tabulated(transform: sitk.Transform, grid: Grid) -> sitk.Transform:
    """A smooth transform as displacements every 3 mm: many times faster to apply, and within some .02 mm of it."""
    coarse = grid.isotropic(max(3.0, grid.spacing[0]))
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, coarse.size, coarse.origin, coarse.spacing, coarse.direction
    )
    return sitk.DisplacementFieldTransform(field)


def _truth_maps(
    head: Head,
    fractions: Mapping[str, np.ndarray],
    fields: Mapping[str, np.ndarray],
    physiology: Physiology,
    effects: Effects,
) -> dict[str, sitk.Image]:
    """Truth on the T1c's grid: parameters, anatomy and the tumour's density."""
    maps = truth_maps(head.grid, head.brain, fractions, fields, physiology, effects, DEFAULT.dsc)
    maps |= {"brain": head.brain, "ventricles": head.ventricles, "density": fields["density"]}
    maps |= {name: fractions[name] for name in ("gm", "wm", "csf")}
    return {name: head.grid.image(volume) for name, volume in maps.items()}


def _landmarks(seed: int, head: Head, to_baseline: sitk.Transform, n: int = 12) -> np.ndarray:
    """Points of the brain at baseline and where they lie at follow-up, by inverting the map by iteration."""
    rng = stream(seed, "landmarks")
    inside = np.argwhere(head.brain & (head.tissues["csf"] < 0.2))
    index = inside[rng.integers(0, len(inside), n)][:, ::-1]
    baseline = np.asarray(head.grid.origin) + index * head.grid.spacing
    later = baseline.copy()
    for _ in range(40):
        later += baseline - np.array([to_baseline.TransformPoint(p.tolist()) for p in later])
    return np.concatenate([baseline, later], axis=1)


def write_cohort(
    out: str | Path,
    n: int,
    seed: int,
    preset: str = "default",
    grid_mm: float = 1.0,
    scans: Sequence[str] = SCANS,
    dicom: bool = False,
    progress: steps.Progress = steps.silent,
) -> dict[str, Any]:
    """Write `n` simulated patients: ``<id>/case.json``, ``truth/<id>/``, ``outcomes.csv`` and ``cohort.json``.

    The same arguments give the same bytes.

    Parameters
    ----------
    seed
        The cohort; each patient's own seed is drawn from it and noted in ``cohort.json``.
    dicom
        Write all images as DICOM too, a study per visit.

    Returns
    -------
    dict
        Where the cohort lies, and its cases.

    Raises
    ------
    InputError
        If an argument is out of range or the folder cannot be written.
    """
    out = Path(out)
    if n < 1:
        raise InputError(f"{n} cases asked for; at least 1 is needed")
    if seed < 0:
        raise InputError(f"seed is {seed}; a whole number of at least 0 is needed")
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(n)]
    rows, cases = [], []
    for i, own in enumerate(seeds):
        name = f"sim-{seed}-{i + 1:03d}"
        part = steps.part(progress, i / n, (i + 0.9) / n)
        simulated = simulate_case(own, preset, grid_mm, scans, case_id=name, progress=part)
        simulated.write(out / name, out / "truth" / name, simulated.case.images if dicom else ())
        rows.append([name, *(simulated.case.clinical[key] for key in OUTCOMES)])
        cases.append({"id": name, "seed": own})
    files.write_csv(out / "outcomes.csv", ["id", *OUTCOMES], rows)
    files.write_json(
        out / "cohort.json",
        {
            "preset": preset,
            "seed": seed,
            "grid_mm": grid_mm,
            "version": steps.version(),
            "simulated": True,
            "cases": cases,
        },
    )
    progress(1.0, "cohort written")
    return {"cohort": out, "n": n, "preset": preset, "seed": seed, "cases": [c["id"] for c in cases]}
