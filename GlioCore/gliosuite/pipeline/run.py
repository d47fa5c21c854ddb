"""A case through every step: checks first, then each step whole or not at all, kept where nothing has changed."""

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..case import Case
from ..errors import InputError
from ..files import plain, read_json, staged, write_csv, write_json
from ..images import array, boolean, check_file, read_image, resample_mask
from ..perfusion.regions import CATEGORIES
from ..resources import look
from ..statistics import histogram_table, statistics_table
from ..steps import Progress, part, silent, version
from .context import BARRIERS, PROBABILITY, SERIES_NEEDS, Run, RunSettings
from .maps import dce, dsc
from .seen import Files
from .step import Step, kept, run_steps
from .structure import lesions, progression, registered
from .targets import rt

STEPS = (
    Step("registered", registered),
    Step("lesions", lesions, after=("registered",)),
    Step("dce", dce, after=("lesions",)),
    Step("dsc", dsc, after=("lesions",)),
    Step("progression", progression, after=("lesions",)),
    Step("rt", rt, after=("lesions", "progression")),
)
NAMES = tuple(s.name for s in STEPS)
_STEPS_END, _REGIONS_END = 0.85, 0.93  # of a run's progress


def check_settings(case: Case, settings: RunSettings) -> None:
    """Refuse settings that name what there is not, or are out of range; no image is read."""
    unknown = [s for s in settings.skip if s not in NAMES and s not in case.images and s not in case.masks]
    if unknown:
        raise InputError(
            f"--skip {unknown[0]}: neither a step ({', '.join(NAMES)}) nor a role of this case ({', '.join((*case.images, *case.masks))})"
        )
    from ..rt.targets import scheme

    for name in (*settings.schemes, *([settings.like] if settings.like else [])):
        scheme(name)
    if not 0 < settings.threshold < 1:
        raise InputError(f"threshold {settings.threshold} is out of range; a probability between 0 and 1 is needed")


def check(case: Case, settings: RunSettings) -> None:
    """Refuse a case that cannot go through before anything is computed: damaged files, missing acquisition values.

    Raises
    ------
    InputError
        One sentence that names the file.
    """
    check_settings(case, settings)
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
    if settings.barriers not in BARRIERS:
        for path in barrier_files(settings.barriers, settings.through).values():
            check_file(path)


def run_case(
    case: Case, out: str | Path, settings: RunSettings | None = None, progress: Progress = silent, workers: int = 1
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
    workers
        Processes among which steps that do not wait for each other are shared; results are the same bytes for any number. With more than
        one, the calling script needs the ``if __name__ == "__main__"`` guard.

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
    out = Path(out)
    files = Files()
    check_settings(case, settings)
    # Where all that the steps were seen to read is as it was, it has been checked before.
    if not all(s.name in settings.skip or kept(s, case, out, settings, files) for s in STEPS):
        check(case, settings)
    records = run_steps(STEPS, case, out, settings, files, part(progress, 0.0, _STEPS_END), workers)
    for record in records:
        if record["status"] == "refused":
            warnings.warn(f"{record['step']} was refused: {record['why']}", stacklevel=2)
    run = Run(case, out, settings, files)
    summary = {
        "id": case.id,
        "version": version(),
        "simulated": bool(case.data.get("simulated")),
        "research_use": "For research use only.",
        "reference": run.reference,
        "steps": records,
        "off": switched_off(),
    }
    fresh = not _as_before(out, summary)
    with staged(out) as folder:
        write_json(folder / "run.json", summary)
        write_json(folder / "provenance.json", _provenance(case, settings, out, files, records))
        if fresh:
            progress(_STEPS_END, "regions")
            for name, table in _regions(run).items():
                write_csv(folder / name, *table)
    if not fresh:
        return {"report": out / "report.html", **summary}
    from ..report import write_report

    progress(_REGIONS_END, "report")
    report, missing = write_report(out)
    if missing:
        warnings.warn(missing, stacklevel=2)
    return {"report": report, **summary}


def _as_before(out: Path, summary: dict[str, Any]) -> bool:
    """Whether tables and report of an earlier run still say all that there is to say: every step is kept or skipped as it was."""
    if not ((out / "run.json").exists() and (out / "report.html").exists()):
        return False
    unmarked = lambda run: run | {"steps": [s | {"status": s["status"].replace("kept", "done")} for s in run["steps"]]}
    settled = all(s["status"] in ("kept", "skipped") for s in summary["steps"])
    return settled and unmarked(read_json(out / "run.json")) == unmarked(plain(summary))


def _unnamed(settings: RunSettings) -> dict[str, str]:
    """The folder of barriers is known by its hash: a path can hold a patient's name."""
    return {} if settings.barriers in BARRIERS else {"barriers": "masks given"}


def _provenance(
    case: Case, settings: RunSettings, out: Path, files: Files, records: list[dict[str, Any]]
) -> dict[str, Any]:
    steps = {r["step"]: read_json(p) for r in records if (p := out / r["step"] / "provenance.json").exists()}
    inputs = {n: h for s in steps.values() for n, h in s["inputs"].items()}
    return {
        "version": version(),
        "settings": plain(settings) | _unnamed(settings),
        "inputs": dict(sorted(inputs.items())),
        "written": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "steps": {n: {k: v for k, v in s.items() if k not in ("record", "seen")} for n, s in steps.items()},
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
    units = {n: look(n).unit for n in maps}
    return {
        "regions.csv": statistics_table(maps, units, masks, run.grid.spacing),
        "regions_histogram.csv": histogram_table(maps, units, masks),
    }
