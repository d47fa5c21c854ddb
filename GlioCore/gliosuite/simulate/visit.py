"""One visit of a patient to the scanner: tissues with the lesion put in, every scan asked for, and the truth of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ..images import Grid, Series
from . import treatment
from .acquisition import CLASSES, Effects, structural, tissue_signal
from .blood import Blood
from .growth import Region
from .lesion import Lesion
from .phantom import Head, stream
from .properties import Physiology, truth_maps
from .protocols import Protocols
from .scans.diffusion import scan_diffusion
from .scans.dynamic import enhancement, scan_dce, scan_dsc
from .scans.scanning import Packed, Scanned
from .scans.spectroscopy import scan_mrsi
from .scans.vfa import scan_vfa

SCANS = ("structural", "vfa", "dce", "dsc", "diffusion", "mrsi")
STRUCTURAL = ("t1", "t1c", "t2", "flair")
_OF_BRAIN = ("gm", "wm", "csf", "artery", "vein", "dura")
_SCANNERS: dict[str, Callable[..., Scanned]] = {
    "vfa": scan_vfa,
    "dce": scan_dce,
    "dsc": scan_dsc,
    "diffusion": scan_diffusion,
    "mrsi": scan_mrsi,
}


@dataclass(frozen=True)
class Patient:
    """What stays the same from visit to visit.

    Parameters
    ----------
    head, part
        The anatomy at baseline, and the box around the tumour.
    fields
        Texture, B1 and what is planted (`properties`), on the head's grid.
    """

    seed: int
    head: Head
    part: Region
    physiology: Physiology
    fields: Mapping[str, np.ndarray]
    protocols: Protocols
    effects: Effects


@dataclass
class Visit:
    """What a visit gives: images and what ``case.json`` says of them by role; transforms, truth maps, curves and motion by name."""

    images: dict[str, sitk.Image | Series] = field(default_factory=dict)
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    transforms: dict[str, sitk.Transform] = field(default_factory=dict)
    maps: dict[str, sitk.Image] = field(default_factory=dict)
    curves: dict[str, np.ndarray] = field(default_factory=dict)
    motion: dict[str, np.ndarray] = field(default_factory=dict)


def whole(head: Head, part: Region, values: np.ndarray) -> np.ndarray:
    """Values of the tumour's region on the head's grid; 0 elsewhere."""
    result = np.zeros(head.grid.shape, values.dtype)
    result[part.box] = values
    return result


def fractions_of(head: Head, part: Region, lesion: Lesion) -> dict[str, np.ndarray]:
    """Volume fractions of all classes: the head with the lesion put in, its edges as soft as a voxel is wide."""
    zeros = np.zeros(head.grid.shape, np.float32)
    result = {name: head.tissues.get(name, zeros) for name in CLASSES}
    sigma = 0.6 / part.fine.spacing[0]
    soft = {
        name: ndimage.gaussian_filter(getattr(lesion, name).astype(np.float32), sigma)
        for name in ("cel", "necrosis", "cavity")
    }
    soft["oedema"] = lesion.oedema * (result["gm"][part.box] + result["wm"][part.box])
    total = np.maximum(sum(soft.values()), 1.0)
    taken = sum(soft.values()) / total
    for name in _OF_BRAIN:
        result[name] = result[name].copy()
        result[name][part.box] *= np.where(part.fine_brain, 1 - taken, 1)
    for name, amount in soft.items():
        result[name] = zeros.copy()
        result[name][part.box] = amount / total * part.fine_brain
    brain_total = sum(result[n] for n in (*_OF_BRAIN, *soft))
    scale = np.where(head.brain, 1 / np.maximum(brain_total, 1e-3), 1).astype(np.float32)
    for name in (*_OF_BRAIN, *soft):
        result[name] = result[name] * scale
    return result


def scan_visit(
    patient: Patient,
    visit: str,
    lesion: Lesion,
    blood: Blood,
    scans: Sequence[str],
    roles: Sequence[str] = STRUCTURAL,
    anatomy: sitk.Transform | None = None,
    truth: bool = False,
) -> Visit:
    """Take all scans of a visit.

    Parameters
    ----------
    visit
        Its name: random numbers and, but for ``"baseline"``, names of transforms follow it.
    scans, roles
        Which of `SCANS`, and which structural images.
    anatomy
        LPS points of this visit's T1c to points of the head; None where they are the same.
    truth
        Whether truth maps of the head are wanted too.
    """
    head, effects, found = patient.head, patient.effects, Visit()
    fractions = fractions_of(head, patient.part, lesion)
    fields = {**patient.fields, "density": whole(head, patient.part, lesion.density)}
    prefix = "" if visit == "baseline" else f"{visit}_"

    def to_head(role: str) -> sitk.Transform | None:
        """LPS points of a scan to points of the head; where the head lies in it is drawn, and noted."""
        if not effects.offset or role == "t1c":
            return anatomy
        move = treatment.rigid(stream(patient.seed, f"position {prefix}{role}"), 0.8, 1.0)
        found.transforms[prefix + role] = move
        return move.GetInverse() if anatomy is None else sitk.CompositeTransform([anatomy, move.GetInverse()])

    if "structural" in scans:
        for role in roles:
            protocol = patient.protocols.structural[role]
            contrast = enhancement(blood, patient.physiology, fractions, fields, effects) if role == "t1c" else {}
            # T1 follows one texture, T2 another, so that the scans are not copies of each other.
            texture = fields["cellular" if protocol.kind == "mprage" else "leaky"] if effects.texture else None
            signal = tissue_signal(protocol, fractions, texture, contrast, fields["density"], fields.get("log_t1"))
            rng = stream(patient.seed, f"{visit} {role}")
            found.images[role] = structural(signal, head.grid, protocol, to_head(role), effects, rng)
            found.entries[role] = dict(protocol.acquisition)
    others = [s for s in scans if s != "structural"]
    packed = Packed.of(head.grid, fractions, fields) if others else None
    for name in others:
        scanned = _SCANNERS[name](
            packed,
            head.grid,
            patient.physiology,
            blood,
            getattr(patient.protocols, name),
            to_head(name),
            effects,
            stream(patient.seed, f"{prefix}{name}"),
        )
        found.images |= scanned.images
        found.entries |= scanned.acquisition
        found.maps |= {prefix + k: v for k, v in scanned.maps.items()}
        found.curves |= {prefix + k: v for k, v in scanned.curves.items()}
        if scanned.motion is not None:
            found.motion[prefix + name] = scanned.motion
    if truth:
        found.maps = _truth(patient, fractions, fields) | found.maps
    return found


def _truth(
    patient: Patient, fractions: Mapping[str, np.ndarray], fields: Mapping[str, np.ndarray]
) -> dict[str, sitk.Image]:
    """Truth on the T1c's grid: parameters, anatomy and the tumour's density."""
    head = patient.head
    maps = truth_maps(
        head.grid, head.brain, fractions, fields, patient.physiology, patient.effects, patient.protocols.dsc
    )
    maps |= {"brain": head.brain, "ventricles": head.ventricles, "structures": head.structures}
    maps |= {name: fractions[name] for name in ("gm", "wm", "csf", "artery", "vein")}
    maps["density"] = fields["density"]
    return {name: head.grid.image(volume) for name, volume in maps.items()}


def tabulated(transform: sitk.Transform, grid: Grid) -> sitk.Transform:
    """A smooth transform as displacements every 3 mm: many times faster to apply, and within some .02 mm of it."""
    coarse = grid.isotropic(max(3.0, grid.spacing[0]))
    displacements = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, coarse.size, coarse.origin, coarse.spacing, coarse.direction
    )
    return sitk.DisplacementFieldTransform(displacements)


def landmarks(seed: int, head: Head, to_baseline: sitk.Transform, n: int = 12) -> np.ndarray:
    """Points of the brain at baseline and where they lie at follow-up (n, 6), by inverting the map by iteration."""
    rng = stream(seed, "landmarks")
    inside = np.argwhere(head.brain & (head.tissues["csf"] < 0.2))
    index = inside[rng.integers(0, len(inside), n)][:, ::-1]
    baseline = np.asarray(head.grid.origin) + index * head.grid.spacing
    later = baseline.copy()
    for _ in range(60):
        later += baseline - np.array([to_baseline.TransformPoint(p.tolist()) for p in later])
    return np.concatenate([baseline, later], axis=1)
