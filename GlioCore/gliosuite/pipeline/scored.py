"""What a run made of a simulated patient beside the truth that only a simulation knows."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..images import Grid, array, boolean, read_image, resample_mask
from ..registration.quality import landmark_error
from ..registration.similarity import positions
from ..resources import display, look
from ..steps import Progress
from .context import Done, Run, SkippedStep

_PURE = 0.9  # share of a voxel that its tissue fills, to count; chosen: what is left changes a value by less than noise does
_FAR_MM = 10.0  # from any lesion, for normal tissue
_FEW = 20  # voxels; chosen: the median of fewer says little
_POINTS = 2000  # of the brain, at which registrations are compared
_WITHIN = 1.96  # SD: the interval that holds 95 % of a normal distribution
_EXTENSIVE = ("ktrans", "vp")  # what the rest of a voxel, which has next to none, dilutes
_MAPS = {"dce": ("ktrans", "ve", "vp"), "dsc": ("mtt",)}

Row = list[Any]


def scored(run: Run, folder: Path, progress: Progress) -> Done:
    """Outlines, maps, arterial input function and registrations against the truth of a simulated patient."""
    truth = run.case.truth
    if truth is None:  # every real patient: nothing to say, and nothing that was left out
        return Done()
    if not truth.is_dir():
        raise SkippedStep("case.json names a folder with the simulation's truth, and it is not there")
    done = Done()
    done.summary = {
        "masks": _masks(run, truth),
        "maps": [row for kind, names in _MAPS.items() for row in _maps(run, truth, kind, names)] + _volume(run, truth),
        "aif": _aif(run, truth),
        "registration": _registration(run, truth),
    }
    done.notes = [
        f"A voxel counts where one tissue fills at least {100 * _PURE:.0f} % of it; normal tissue lies at least {_FAR_MM:g} mm from any "
        f"lesion. Of fewer than {_FEW} voxels there is no median.",
        "Where T1 before contrast was assumed, its error is part of those of ktrans, ve and vp.",
    ]
    return done


def _masks(run: Run, truth: Path) -> list[Row]:
    """Drafts against the simulation's outlines."""
    rows = []
    looks = display()["regions"]
    for name, entry in run.record("lesions").get("summary", {}).items():
        path = truth / f"{name}.nii.gz"
        found = run.result("lesions", f"{name}.nii.gz")
        if entry["source"] == "file" or found is None or not path.exists():
            continue
        ours, true = boolean(read_image(found)), boolean(resample_mask(read_image(path), run.grid))
        both = float(ours.sum() + true.sum())
        dice = 2 * float((ours & true).sum()) / both if both else None
        title = looks.get(name, {"title": name})["title"]
        rows.append([title, dice, *(float(m.sum()) * run.grid.voxel_cc for m in (ours, true))])
    return rows


def _tissues(truth: Path, kind: str) -> dict[str, np.ndarray]:
    """Pure voxels of enhancing lesion and of normal tissue on the grid of a series; nothing where the truth is not known there."""
    from ..simulate.acquisition import CLASSES

    paths = [truth / f"{kind}_{name}.nii.gz" for name in ("tissue", "share")]
    if not all(p.exists() for p in paths):
        return {}
    image = read_image(paths[0])
    tissue, share = array(image), array(read_image(paths[1]))
    of = lambda *names: np.isin(tissue, [CLASSES.index(n) + 1 for n in names])
    lesion = Grid.of(image).image(of("cel", "necrosis", "oedema", "cavity"))
    near = boolean(sitk.BinaryDilate(lesion, [round(_FAR_MM / s) for s in image.GetSpacing()]))
    pure = share >= _PURE
    return {
        "enhancing lesion": pure & of("cel"),
        "normal grey matter": pure & of("gm") & ~near,
        "normal white matter": pure & of("wm") & ~near,
    }


def _native(run: Run, kind: str, name: str) -> np.ndarray | None:
    path = run.result(kind, f"{name}.nii.gz")
    return None if path is None else array(read_image(path))


def _maps(run: Run, truth: Path, kind: str, names: tuple[str, ...]) -> list[Row]:
    """Medians, and how often the 95 % interval holds the truth, on the native grid of the series."""
    rows: list[Row] = []
    fitted = _native(run, kind, "mask")
    tissues = _tissues(truth, kind)
    if fitted is None or not tissues:
        return rows
    share = array(read_image(truth / f"{kind}_share.nii.gz"))
    for name in names:
        found, sd, path = _native(run, kind, name), _native(run, kind, f"{name}_sd"), truth / f"{kind}_{name}.nii.gz"
        if found is None or not path.exists():
            continue
        true = array(read_image(path)) * (share if name in _EXTENSIVE else 1)
        for title, where in tissues.items():
            inside = where & (fitted > 0) & np.isfinite(found) & np.isfinite(true)
            if inside.sum() < _FEW:
                continue
            medians = [float(np.median(v[inside])) for v in (found, true)]
            rows.append([f"{_head(name)}, {title}", int(inside.sum()), *medians, _percent(*medians)])
            known = inside & np.isfinite(sd) & (sd > 0) if sd is not None else np.zeros_like(inside)
            held = np.abs(found - true)[known] <= _WITHIN * sd[known] if sd is not None else np.zeros(0)
            rows[-1].append(100 * float(held.mean()) if held.size >= _FEW else None)
    return rows


def _volume(run: Run, truth: Path) -> list[Row]:
    """CBV of the enhancing lesion over that of normal white matter: only ratios are calibrated."""
    found, fitted, path = _native(run, "dsc", "ncbv"), _native(run, "dsc", "mask"), truth / "dsc_cbv.nii.gz"
    tissues = _tissues(truth, "dsc")
    if found is None or fitted is None or not tissues or not path.exists():
        return []
    true = array(read_image(path))
    lesion, white = (
        tissues[n] & (fitted > 0) & np.isfinite(found) for n in ("enhancing lesion", "normal white matter")
    )
    if min(lesion.sum(), white.sum()) < _FEW:
        return []
    medians = [float(np.median(found[lesion])), float(np.median(true[lesion]) / np.median(true[white]))]
    return [[f"{_head('ncbv')}, enhancing lesion", int(lesion.sum()), *medians, _percent(*medians), None]]


def _head(name: str) -> str:
    known = look(name)
    return f"{known.title} ({known.unit})"


def _percent(found: float, true: float) -> float | None:
    return 100 * (found / true - 1) if true else None


def _aif(run: Run, truth: Path) -> list[Row]:
    """Peak and area of the arterial input function of DCE, plasma."""
    path, known = run.result("dce", "aif.csv"), truth / "aif_dce.csv"
    if path is None or not known.exists():
        return []
    (times, ours), (true_times, true) = (_curve(p) for p in (path, known))
    within = true_times <= times[-1]
    rows = []
    for title, values in (
        ("peak (mM)", (float(ours.max()), float(true.max()))),
        ("area (mM s)", (_area(times, ours), _area(true_times[within], true[within]))),
    ):
        rows.append([title, *values, _percent(*values)])
    return rows


def _area(times: np.ndarray, values: np.ndarray) -> float:
    return float(np.sum(np.diff(times) * (values[1:] + values[:-1]) / 2))


def _curve(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with path.open(newline="") as stream:
        times, values = np.array([[float(v) for v in row] for row in list(csv.reader(stream))[1:]]).T
    return times, values


def _registration(run: Run, truth: Path) -> list[Row]:
    """How far from its true place each image lies, over the brain; of the follow-up, at its landmarks."""
    brain = run.result("lesions", "brain.nii.gz")
    if brain is None:
        return []
    inside = boolean(read_image(brain))
    points = positions(run.grid, inside)[:: max(1, int(inside.sum()) // _POINTS)]
    rows: list[Row] = []
    for role in run.record("registered").get("summary", {}):
        ours, path = run.transform(role), truth / f"{role}.tfm"
        if ours is None or not path.exists():
            continue
        true = sitk.ReadTransform(str(path))
        goal = np.array([true.TransformPoint(p) for p in points.tolist()])
        rows.append(_errors(role, landmark_error(ours, points, goal), landmark_error(None, points, goal)))
    later, marks = run.result("progression", "baseline_to_followup.h5"), truth / "landmarks.csv"
    if later is not None and marks.exists():
        table = np.genfromtxt(marks, delimiter=",", skip_header=1, ndmin=2)
        first, second = table[:, :3], table[:, 3:]
        if len(first):
            after, before = (landmark_error(t, first, second) for t in (sitk.ReadTransform(str(later)), None))
            rows.append(_errors("follow-up", after, before))
    return rows


def _errors(title: str, after: np.ndarray, before: np.ndarray) -> Row:
    return [title, float(after.mean()), float(after.max()), float(before.mean())]
