"""``gliosuite run``: a case through every step that it allows, each step whole or not at all, resumable."""

import hashlib
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from .case import Case
from .errors import InputError
from .files import plain, read_json, staged, write_csv, write_json
from .images import Grid, array, boolean, check_file, read_image, resample, resample_mask, volume_cc, write_image
from .statistics import region_statistics
from .steps import Progress, part, sha256, silent, version

STEPS = ("registered", "lesions", "dce", "dsc", "progression", "rt")
_REFERENCES = ("t1c", "flair", "t1", "t2")
_STRUCTURAL = ("t1c", "t1", "t2", "flair", "adc", "fa", "ct")
_SERIES_NEEDS = {"dce": ("tr_ms", "flip_angle_deg", "times_s"), "dsc": ("te_ms", "tr_ms")}


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
    dce_model, dce_aif, hematocrit, relaxivity
        As in ``gliosuite dce``; values in case.json win.
    leakage, deconvolution
        As in ``gliosuite dsc``.
    engine
        Registration engine: auto, brainsfit or simpleitk.
    """

    spacing_mm: float = 1.0
    skip: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ("rtog", "s3-eortc", "estro-eano")
    motion: bool = True
    dce_model: str = "etm"
    dce_aif: str = "auto"
    hematocrit: float = 0.42
    relaxivity: float = 4.5
    leakage: str = "bsw"
    deconvolution: str = "osvd"
    engine: str = "auto"


class _Skip(Exception):
    """A step that the case does not allow; the text says why."""


@dataclass
class _Run:
    """What the steps share: the case, where results lie, and what came before."""

    case: Case
    out: Path
    settings: RunSettings
    device: str
    reference: str | None
    hashes: dict[str, str] = field(default_factory=dict)

    def __contains__(self, role: str) -> bool:
        return role in self.case.images and role not in self.settings.skip

    def hash(self, name: str) -> str:
        """The hash of a case file, computed once."""
        if name not in self.hashes:
            self.hashes[name] = sha256(self.case.files()[name])
        return self.hashes[name]

    @cached_property
    def grid(self) -> Grid:
        """The grid that everything is carried to."""
        return Grid.of(self.case.image(self.reference)).isotropic(self.settings.spacing_mm)

    def transform(self, role: str) -> sitk.Transform | None:
        """From points of the reference to points of `role`; None where it was not registered."""
        path = self.out / "registered" / f"{role}.tfm"
        return sitk.ReadTransform(str(path)) if path.exists() else None

    def result(self, *parts: str) -> Path | None:
        """A file that an earlier step wrote, or None."""
        path = self.out.joinpath(*parts)
        return path if path.exists() else None

    def masks(self) -> dict[str, sitk.Image]:
        """The masks of the lesions step."""
        return {p.name[:-7]: read_image(p) for p in sorted((self.out / "lesions").glob("*.nii.gz"))}


@dataclass
class _Done:
    """What a step reports."""

    summary: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


# ------------------------------------------------------------------------------------------------------------ steps


def _registered(run: _Run, folder: Path, progress: Progress) -> _Done:
    from .registration import RegistrationSettings, register

    if run.reference is None:
        raise _Skip(f"the case has none of {', '.join(_REFERENCES)}, so there is nothing to register to")
    fixed_native = run.case.image(run.reference)
    fixed = resample(
        fixed_native,
        run.grid,
        interpolation="bspline" if run.settings.spacing_mm < min(fixed_native.GetSpacing()) else "linear",
    )
    write_image(
        sitk.Clamp(fixed, lowerBound=0.0) if array(fixed_native).min() >= 0 else fixed,
        folder / f"{run.reference}.nii.gz",
        run.reference,
    )
    settings = RegistrationSettings(stages=("rigid",))
    done = _Done(settings=plain(settings) | {"reference": run.reference, "spacing_mm": run.settings.spacing_mm})
    moving = [r for r in (*_STRUCTURAL, "dce", "dsc") if r in run and r != run.reference]
    for i, role in enumerate(moving):
        stretch = part(progress, i / len(moving), (i + 1) / len(moving))
        image = run.case.series(role).frame(0) if role in _SERIES_NEEDS else run.case.image(role)
        if role in _SERIES_NEEDS:
            image = _bright_frame(run, role)
        try:
            result = register(fixed, image, settings, engine=run.settings.engine, progress=stretch)
        except InputError as error:
            done.summary[role] = {"verdict": "refused", "why": str(error)}
            done.notes.append(f"{role} was left out: {error}")
            continue
        sitk.WriteTransform(result.transform, str(folder / f"{role}.tfm"))
        if role not in _SERIES_NEEDS:
            write_image(resample(image, run.grid, result.transform), folder / f"{role}.nii.gz", role)
        done.summary[role] = plain(result.quality) | {"engine": result.engine}
        write_json(folder / f"{role}.json", done.summary[role])
    return done


def _bright_frame(run: _Run, role: str) -> sitk.Image:
    """The frame of a series that registers best: the mean before the bolus, that is the first tenth of the frames."""
    series = run.case.series(role)
    return series.grid.image(series.frames[: max(1, series.n_times // 10)].mean(axis=0))


def _lesions(run: _Run, folder: Path, progress: Progress) -> _Done:
    from .lesions import find_lesions

    images = {r: read_image(p) for r in _STRUCTURAL if (p := run.result("registered", f"{r}.nii.gz"))}
    if not images:
        raise _Skip("no registered image to draw them on")
    given = {
        role: _carried_mask(run, role)
        for role in run.case.masks
        if role not in run.settings.skip and role != "labelmap"
    }
    given |= _from_labelmap(run)
    found = find_lesions(images, given, progress=progress)
    done = _Done(settings=plain(found.settings), notes=list(found.notes))
    for name, mask in found.masks.items():
        if name.startswith("progression"):
            continue
        write_image(mask, folder / f"{name}.nii.gz", f"{name} ({found.sources[name]})")
        done.summary[name] = {
            "volume_cc": round(volume_cc(mask), 3),
            "source": found.sources[name],
            "how": found.how[name],
        }
    return done


def _from_labelmap(run: _Run) -> dict[str, sitk.Image]:
    """Masks from ``masks.labelmap`` of case.json, ``{"path", "convention"}``."""
    entry = run.case.data.get("masks", {}).get("labelmap")
    if entry is None or "labelmap" in run.settings.skip:
        return {}
    if not isinstance(entry, dict) or "convention" not in entry:
        raise InputError(
            f'{run.case.source}: masks.labelmap has no convention; {{"path": "...", "convention": "brats2013"}} is needed'
        )
    from .lesions import from_labelmap

    masks = from_labelmap(read_image(run.case.mask_path("labelmap")), entry["convention"])
    return {role: _onto_grid(run, mask) for role, mask in masks.items()}


def _carried_mask(run: _Run, role: str) -> sitk.Image:
    mask = _onto_grid(run, run.case.mask(role))
    if not boolean(mask).any():
        raise InputError(
            f"{run.case.mask_path(role)} does not overlap the {run.reference} image; a mask drawn on an image of this case is needed"
        )
    return mask


def _onto_grid(run: _Run, mask: sitk.Image) -> sitk.Image:
    """Carry a mask to the common grid: through the transform of the image whose grid it has, else as it lies."""
    grid = Grid.of(mask)
    for role in _STRUCTURAL:
        if role in run and role != run.reference and grid.matches(Grid.of(run.case.image(role))):
            transform = run.transform(role)
            if transform is not None:
                return resample_mask(mask, run.grid, transform)
    return resample_mask(mask, run.grid)


def _perfusion_masks(run: _Run, role: str, grid: Grid) -> dict[str, sitk.Image]:
    """The lesion masks on a series' native grid; empty where they cannot be carried."""
    transform = run.transform(role)
    if transform is None:
        return {}
    back = transform.GetInverse()
    return {name: resample_mask(mask, grid, back) for name, mask in run.masks().items()}


def _steady(run: _Run, role: str, progress: Progress) -> tuple[Any, list[str], dict[str, Any]]:
    """A series, corrected for motion where that is wanted."""
    series = run.case.series(role)
    if not run.settings.motion:
        return series, ["Motion was not corrected."], {}
    from .motion import correct_motion

    motion = correct_motion(series, progress=progress)
    return motion.series, list(motion.notes), {"motion": plain(motion.summary)}


def _to_reference(run: _Run, role: str, maps: dict[str, sitk.Image], mask: sitk.Image, folder: Path) -> None:
    """Write maps on the common grid; a voxel is undefined where most of what it is made of is undefined."""
    transform = run.transform(role)
    if transform is None:
        return
    inside = array(mask) > 0
    for name, image in maps.items():
        values = array(image)
        defined = inside & np.isfinite(values)
        weight = array(resample(Grid.of(image).image(defined.astype(np.float32)), run.grid, transform))
        carried = array(
            resample(Grid.of(image).image(np.where(defined, values, 0).astype(np.float32)), run.grid, transform)
        )
        result = np.where(weight > 0.5, carried / np.maximum(weight, 1e-6), np.nan).astype(np.float32)
        fitted = array(resample(Grid.of(image).image(inside.astype(np.float32)), run.grid, transform)) > 0.5
        write_image(
            run.grid.image(np.where(fitted, result, 0).astype(np.float32)), folder / "on_t1c" / f"{name}.nii.gz", name
        )


def _dce(run: _Run, folder: Path, progress: Progress) -> _Done:
    from .perfusion.dce import DceSettings, dce_maps, write

    if "dce" not in run:
        raise _Skip("the case has no DCE series")
    tr_ms, flip, times = run.case.need("dce", *_SERIES_NEEDS["dce"])
    known = run.case.acquisition("dce")
    series, notes, more = _steady(run, "dce", part(progress, 0.0, 0.5))
    masks = _perfusion_masks(run, "dce", series.grid)
    settings = DceSettings(
        tr_ms=tr_ms,
        flip_angle_deg=flip,
        model=run.settings.dce_model,
        hematocrit=known.get("hematocrit", run.settings.hematocrit),
        relaxivity=known.get("relaxivity", run.settings.relaxivity),
    )
    t10, how = _t10(run, series.grid, known)
    maps = dce_maps(
        series,
        times,
        settings,
        aif=run.settings.dce_aif,
        t10=t10,
        mask=masks.get("brain"),
        progress=part(progress, 0.5, 0.95),
    )
    write(maps, folder)
    wanted = {n: m for n, m in maps.maps.items() if not n.endswith("_sd")}
    _to_reference(run, "dce", wanted, maps.mask, folder)
    return _Done({"aif": maps.aif.how, "t10": how} | more, plain(settings), [how, *notes, *maps.notes])


def _t10(run: _Run, grid: Grid, known: dict[str, Any]) -> tuple[float | sitk.Image, str]:
    """The T1 before contrast: fitted from VFA where there is one, else as given, else 1 s (S0's value)."""
    if "vfa" in run:
        from .perfusion.t1 import t1_map

        flips, tr_ms = run.case.need("vfa", "flip_angle_deg", "tr_ms")
        t1 = t1_map(run.case.series("vfa"), flips, tr_ms)
        return resample(t1, grid), "T1 before contrast: fitted from the variable flip angle series."
    if "t10_s" in known:
        return float(known["t10_s"]), f"T1 before contrast: {known['t10_s']} s everywhere, as case.json gives it."
    return (
        1.0,
        "T1 before contrast: 1 s everywhere (Yoon 2024), since the case has no T1 map; ktrans, ve and vp scale with it.",
    )


def _dsc(run: _Run, folder: Path, progress: Progress) -> _Done:
    from .perfusion.dsc import DscSettings, dsc_maps, write

    if "dsc" not in run:
        raise _Skip("the case has no DSC series")
    te_ms, tr_ms = run.case.need("dsc", *_SERIES_NEEDS["dsc"])
    series, notes, more = _steady(run, "dsc", part(progress, 0.0, 0.5))
    masks = _perfusion_masks(run, "dsc", series.grid)
    settings = DscSettings(
        te_ms=te_ms, tr_ms=tr_ms, leakage=run.settings.leakage, deconvolution=run.settings.deconvolution
    )
    lesion = [boolean(masks[n]) for n in ("cel", "t2l", "cavity") if n in masks]
    maps = dsc_maps(
        series,
        settings,
        mask=masks.get("brain"),
        lesion=series.grid.image(np.any(lesion, axis=0)) if lesion else None,
        progress=part(progress, 0.5, 0.95),
    )
    write(maps, folder)
    _to_reference(run, "dsc", {n: m for n, m in maps.maps.items() if not n.endswith("_sd")}, maps.mask, folder)
    return _Done({"aif": maps.aif.how} | more, plain(settings), [*notes, *maps.notes])


def _progression(run: _Run, folder: Path, progress: Progress) -> _Done:
    raise _Skip("the case has no follow-up")


def _rt(run: _Run, folder: Path, progress: Progress) -> _Done:
    raise _Skip("not yet")


_FUNCTIONS: dict[str, Callable[[_Run, Path, Progress], _Done]] = {
    "registered": _registered,
    "lesions": _lesions,
    "dce": _dce,
    "dsc": _dsc,
    "progression": _progression,
    "rt": _rt,
}
# What a step's result depends on: case files by role, settings, and the steps before it.
_INPUTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "registered": ((*_STRUCTURAL, "dce", "dsc"), ("spacing_mm", "engine", "skip"), ()),
    "lesions": (("masks",), ("skip",), ("registered",)),
    "dce": (("dce", "vfa"), ("motion", "dce_model", "dce_aif", "hematocrit", "relaxivity"), ("lesions",)),
    "dsc": (("dsc",), ("motion", "leakage", "deconvolution"), ("lesions",)),
    "progression": (("followup", "masks"), (), ("lesions",)),
    "rt": (("dicom",), ("schemes",), ("lesions", "progression")),
}


def _fingerprint(run: _Run, step: str, before: dict[str, str]) -> str:
    """A hash of all that a step's result depends on; equal means that the result can be kept."""
    roles, settings, upstream = _INPUTS[step]
    files = run.case.files()
    names = [r for r in roles if r in files] + [
        n
        for n in files
        if n.split(":")[0] in ({"mask"} if "masks" in roles else set()) | ({"dicom"} if "dicom" in roles else set())
    ]
    if "followup" in roles and run.case.followup is not None:
        later = {n: sha256(p) for n, p in run.case.followup.files().items() if not n.startswith("dicom")}
    else:
        later = {}
    content = {
        "step": step,
        "version": version(),
        "files": {n: run.hash(n) for n in sorted(set(names))},
        "followup": later,
        "acquisition": {r: run.case.acquisition(r) for r in roles if r in run.case.images},
        "masks": run.case.data.get("masks", {}) if "masks" in roles else None,
        "settings": {s: getattr(run.settings, s) for s in settings},
        "before": {u: before.get(u) for u in upstream},
    }
    return hashlib.sha256(json.dumps(plain(content), sort_keys=True).encode()).hexdigest()


def check(case: Case, settings: RunSettings) -> None:
    """Refuse a case that cannot go through before anything is computed: damaged files, missing acquisition values.

    Raises
    ------
    InputError
        One sentence that names the file.
    """
    unknown = [s for s in settings.skip if s not in STEPS and s not in case.images and s not in case.masks]
    if unknown:
        raise InputError(
            f"--skip {unknown[0]}: neither a step ({', '.join(STEPS)}) nor a role of this case ({', '.join((*case.images, *case.masks))})"
        )
    for role in case.images:
        if role not in settings.skip:
            check_file(case.path(role))
    for role in case.masks:
        if role not in settings.skip:
            case.mask(role)
    for role, keys in _SERIES_NEEDS.items():
        if role in case.images and role not in settings.skip:
            case.need(role, *keys)
    if "vfa" in case.images and "vfa" not in settings.skip:
        case.need("vfa", "flip_angle_deg", "tr_ms")


def run_case(
    case: Case, out: str | Path, settings: RunSettings | None = None, device: str = "auto", progress: Progress = silent
) -> dict[str, Any]:
    """Take a case through every step that it allows, and write the report.

    Each step's folder appears whole or not at all; a step whose inputs and settings have not changed is kept, so a second run
    resumes. A step that the case does not allow is skipped, one whose input turns out unfit is refused; both are in ``run.json``
    and in the report with the reason.

    Parameters
    ----------
    case
        From `Case.load`.
    out
        The results folder.

    Returns
    -------
    dict
        The content of ``run.json`` and the path of the report.

    Raises
    ------
    InputError
        If the case is damaged or incomplete (nothing is written then), or `out` cannot be written.
    """
    from .doctor import switched_off

    settings = settings or RunSettings()
    check(case, settings)
    out = Path(out)
    reference = next((r for r in _REFERENCES if r in case.images and r not in settings.skip), None)
    run = _Run(case, out, settings, device, reference)
    prints: dict[str, str] = {}
    records: list[dict[str, Any]] = []
    for i, step in enumerate(STEPS):
        stretch = part(progress, i / (len(STEPS) + 1), (i + 1) / (len(STEPS) + 1))
        prints[step] = _fingerprint(run, step, prints)
        records.append(_one_step(run, step, prints[step], stretch))
        if records[-1]["status"] == "refused":
            warnings.warn(f"{step} was refused: {records[-1]['why']}", stacklevel=2)
    summary = {
        "id": case.id,
        "version": version(),
        "simulated": bool(case.data.get("simulated")),
        "research_use": "For research use only.",
        "reference": reference,
        "steps": records,
        "off": switched_off(),
    }
    with staged(out) as folder:
        write_json(folder / "run.json", summary)
        write_json(folder / "provenance.json", _provenance(run, records))
        if (rows := _regions(run)) is not None:
            write_csv(folder / "regions.csv", *rows)
    from .report import write_report

    progress(len(STEPS) / (len(STEPS) + 1), "report")
    report, missing = write_report(out)
    if missing:
        warnings.warn(missing, stacklevel=2)
    return {"report": report, **summary}


def _one_step(run: _Run, step: str, fingerprint: str, progress: Progress) -> dict[str, Any]:
    """Run, keep, skip or refuse one step; the record for ``run.json``."""
    if step in run.settings.skip:
        return {"step": step, "status": "skipped", "why": f"--skip {step} was given"}
    record = run.out / step / "provenance.json"
    if record.exists() and (old := read_json(record)).get("fingerprint") == fingerprint:
        return old["record"] | {"status": "kept"}
    progress(0.0, step)
    start = time.perf_counter()
    try:
        with staged(run.out / step) as folder:
            done = _FUNCTIONS[step](run, folder, progress)
            result = {"step": step, "status": "done", **plain(done)}
            write_json(
                folder / "provenance.json",
                {
                    "fingerprint": fingerprint,
                    "version": version(),
                    "settings": done.settings,
                    "inputs": {n: h for n, h in run.hashes.items()},
                    "device": "cpu",
                    "seconds": round(time.perf_counter() - start, 2),
                    "record": result,
                },
            )
        return result
    except _Skip as reason:
        return {"step": step, "status": "skipped", "why": str(reason)}
    except InputError as error:
        return {"step": step, "status": "refused", "why": str(error)}


def _provenance(run: _Run, records: list[dict[str, Any]]) -> dict[str, Any]:
    steps = {r["step"]: read_json(p) for r in records if (p := run.out / r["step"] / "provenance.json").exists()}
    return {
        "version": version(),
        "settings": plain(run.settings),
        "inputs": dict(sorted(run.hashes.items())),
        "written": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "steps": {n: {k: v for k, v in s.items() if k != "record"} for n, s in steps.items()},
    }


def _regions(run: _Run) -> tuple[list[str], list[list[Any]]] | None:
    """Statistics of every map in every region on the common grid, as a table; None where there are no maps or regions."""
    masks = {n: boolean(m) for n, m in run.masks().items()}
    maps = {
        p.name[:-7]: array(read_image(p))
        for kind in ("dce", "dsc")
        for p in sorted((run.out / kind / "on_t1c").glob("*.nii.gz"))
    }
    if not masks or not maps:
        return None
    if "brain" in masks:
        lesion = np.any([masks[n] for n in ("cel", "t2l", "necrosis", "cavity", "ventricles") if n in masks], axis=0)
        near = sitk.BinaryDilate(
            run.grid.image(np.broadcast_to(lesion, run.grid.shape).copy()), [round(10 / s) for s in run.grid.spacing]
        )
        masks["normal"] = masks["brain"] & ~boolean(near)
    rows = []
    for name, values in maps.items():
        for region, mask in masks.items():
            s = region_statistics(np.where(values == 0, np.nan, values), mask)
            rows.append(
                [
                    name,
                    region,
                    s.n,
                    s.n_undefined,
                    *(f"{v:.6g}" for v in (s.mean, s.sd, s.median, s.p5, s.p25, s.p75, s.p95)),
                ]
            )
    return ["map", "region", "n", "n_undefined", "mean", "sd", "median", "p5", "p25", "p75", "p95"], rows
