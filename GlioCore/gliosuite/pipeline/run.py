"""A case through every step: checks first, then each step whole or not at all, kept where nothing has changed."""

import hashlib
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..case import Case
from ..errors import InputError
from ..files import plain, read_json, staged, write_csv, write_json
from ..images import array, boolean, check_file, read_image, resample_mask
from ..perfusion.dce import UNITS as DCE_UNITS
from ..perfusion.dsc import UNITS as DSC_UNITS
from ..perfusion.regions import CATEGORIES
from ..statistics import histogram_table, statistics_table
from ..steps import Progress, part, sha256, silent, version
from .context import PROBABILITY, REFERENCES, SERIES_NEEDS, STEPS, STRUCTURAL, Done, Run, RunSettings, SkippedStep
from .maps import dce, dsc
from .structure import lesions, progression, registered
from .targets import rt

FUNCTIONS: dict[str, Callable[[Run, Path, Progress], Done]] = {
    "registered": registered,
    "lesions": lesions,
    "dce": dce,
    "dsc": dsc,
    "progression": progression,
    "rt": rt,
}
# What a step's result depends on: case files by role, settings, and the steps before it.
_INPUTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "registered": ((*STRUCTURAL, "dce", "dsc"), ("spacing_mm", "engine", "skip"), ()),
    "lesions": (("masks",), ("skip",), ("registered",)),
    "dce": (
        ("dce", "vfa"),
        ("motion", "dce_model", "dce_aif", "dce_delay", "dce_preset", "hematocrit", "relaxivity"),
        ("lesions",),
    ),
    "dsc": (("dsc",), ("motion", "leakage", "deconvolution"), ("lesions",)),
    "progression": (("followup", "masks"), (), ("lesions",)),
    "rt": (
        ("dicom", "masks", PROBABILITY, "barriers"),
        ("schemes", "skip", "through", "threshold", "like", "allow_derived"),
        ("lesions", "progression"),
    ),
}


def _fingerprint(run: Run, step: str, before: dict[str, str]) -> str:
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
    if "barriers" in roles:
        wanted = run.settings.barriers
        content["barriers"] = wanted if wanted in ("none", "auto") else sha256(wanted)
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
    from ..rt.targets import scheme

    for name in (*settings.schemes, *([settings.like] if settings.like else [])):
        scheme(name)
    if not 0 < settings.threshold < 1:
        raise InputError(f"threshold {settings.threshold} is out of range; a probability between 0 and 1 is needed")
    _check_barriers(settings)
    for role in case.images:
        if role in settings.skip:
            continue
        if role in SERIES_NEEDS:
            case.series(role)
            case.need(role, *SERIES_NEEDS[role])
        else:
            check_file(case.path(role))
    for role in case.masks:
        if role not in settings.skip:
            case.mask(role)
    if "vfa" in case.images and "vfa" not in settings.skip:
        case.need("vfa", "flip_angle_deg", "tr_ms")
    if PROBABILITY in case.images and PROBABILITY not in settings.skip:
        from ..rt.targets import check_probability

        check_probability(array(case.image(PROBABILITY)))


def _check_barriers(settings: RunSettings) -> None:
    from ..rt.barriers import barrier_files

    if settings.barriers == "none" and settings.through:
        raise InputError("--through names ways through barriers, and there are none; --barriers DIR or auto is needed")
    if settings.barriers not in ("none", "auto"):
        for path in barrier_files(settings.barriers, settings.through).values():
            check_file(path)


def run_case(
    case: Case, out: str | Path, settings: RunSettings | None = None, progress: Progress = silent
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
    from ..doctor import switched_off

    settings = settings or RunSettings()
    check(case, settings)
    out = Path(out)
    reference = next((r for r in REFERENCES if r in case.images and r not in settings.skip), None)
    run = Run(case, out, settings, reference)
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
        for name, table in _regions(run).items():
            write_csv(folder / name, *table)
    from ..report import write_report

    progress(len(STEPS) / (len(STEPS) + 1), "report")
    report, missing = write_report(out)
    if missing:
        warnings.warn(missing, stacklevel=2)
    return {"report": report, **summary}


def _one_step(run: Run, step: str, fingerprint: str, progress: Progress) -> dict[str, Any]:
    """Run, keep, skip or refuse one step; the record for ``run.json``."""
    if step in run.settings.skip:
        return {"step": step, "status": "skipped", "why": f"--skip {step} was given"}
    record = run.out / step / "provenance.json"
    if record.exists() and (old := read_json(record)).get("fingerprint") == fingerprint:
        return old["record"] | {"status": "kept"}
    progress(0.0, step)
    start = time.perf_counter()
    try:
        # What an earlier run left of this step must not stand beside the new results as if it belonged to them.
        with staged(run.out / step, replace=True) as folder:
            done = FUNCTIONS[step](run, folder, progress)
            result = {"step": step, "status": "done", **plain(done)}
            write_json(
                folder / "provenance.json",
                {
                    "fingerprint": fingerprint,
                    "version": version(),
                    "settings": done.settings,
                    "inputs": dict(run.hashes),
                    "device": "cpu",
                    "seconds": round(time.perf_counter() - start, 2),
                    "record": result,
                },
            )
        return result
    except SkippedStep as reason:
        return {"step": step, "status": "skipped", "why": str(reason)}
    except InputError as error:
        return {"step": step, "status": "refused", "why": str(error)}


def _unnamed(settings: RunSettings) -> dict[str, str]:
    """The folder of barriers is known by its hash: a path can hold a patient's name."""
    return {} if settings.barriers in ("none", "auto") else {"barriers": "masks given"}


def _provenance(run: Run, records: list[dict[str, Any]]) -> dict[str, Any]:
    steps = {r["step"]: read_json(p) for r in records if (p := run.out / r["step"] / "provenance.json").exists()}
    return {
        "version": version(),
        "settings": plain(run.settings) | _unnamed(run.settings),
        "inputs": dict(sorted(run.hashes.items())),
        "written": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "steps": {n: {k: v for k, v in s.items() if k != "record"} for n, s in steps.items()},
    }


def _regions(run: Run) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """Statistics and histograms of every map in every region on the common grid, by file; none where there are no maps or regions."""
    masks = {n: boolean(m) for n, m in run.masks().items()}
    maps = {}
    for kind in ("dce", "dsc"):
        folder = run.out / kind / "on_t1c"
        if not (folder / "mask.nii.gz").exists():
            continue
        # A fitted 0 (ktrans on its bound) counts; a voxel that was not fitted does not.
        fitted = boolean(read_image(folder / "mask.nii.gz"))
        for path in sorted(p for p in folder.glob("*.nii.gz") if p.name[:-7] not in ("mask", *CATEGORIES)):
            maps[path.name[:-7]] = np.where(fitted, array(read_image(path)), np.nan)
    if not masks or not maps:
        return {}
    if "brain" in masks:
        lesion = np.any([masks[n] for n in ("cel", "t2l", "necrosis", "cavity", "ventricles") if n in masks], axis=0)
        near = sitk.BinaryDilate(
            run.grid.image(np.broadcast_to(lesion, run.grid.shape).copy()), [round(10 / s) for s in run.grid.spacing]
        )
        masks["normal"] = masks["brain"] & ~boolean(near)
    transform = run.transform("dsc")
    if transform is not None and (path := run.result("dsc", "nawm.nii.gz")):
        masks["nawm"] = boolean(resample_mask(read_image(path), run.grid, transform))
    units = {n: (DCE_UNITS | DSC_UNITS).get(n.removesuffix("_sd"), "") for n in maps}
    return {
        "regions.csv": statistics_table(maps, units, masks, run.grid.spacing),
        "regions_histogram.csv": histogram_table(maps, units, masks),
    }
