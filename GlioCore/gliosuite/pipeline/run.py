"""A case through every step: checks first, then each step whole or not at all, kept where nothing has changed."""

import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .. import report
from ..case import Case
from ..compute import each
from ..curves import check_duration
from ..errors import InputError, door, together
from ..files import check_room, plain, read_json, staged, write_json
from ..images import array, check_file, read_ahead, shared_reading
from ..perfusion.settings import DceSettings, DscSettings
from ..settings import settings_of
from ..steps import Progress, heard, part, silent, version
from .context import ACQUISITION_NEEDS, BARRIERS, PROBABILITY, RECURRENCE_MODELS, SERIES_NEEDS, Run, RunSettings
from .diffusion import dti, gradients_of
from .habitats import habitats
from .maps import dce, dsc, names_in_run, regions, steady_dce, steady_dsc, synthesis
from .patterns import patterns, radiomics
from .recurrence import recurrence
from .scored import scored
from .seen import Files
from .step import Step, kept, run_steps
from .structure import brain, drawn_on, lesions, progression, registered, visits
from .targets import rt
from .workers import Workers

STEPS = (
    Step("registered", registered, report.REGISTRATION, always=True),
    Step("lesions", lesions, report.LESIONS, after=("registered",), early=brain),
    Step("dce", dce, report.DCE, after=("lesions",), early=steady_dce, role="dce"),
    Step("dsc", dsc, report.DSC, after=("lesions",), early=steady_dsc, role="dsc"),
    Step("synthesis", synthesis, report.SYNTHESIS, after=("registered", "dce")),
    Step("dti", dti, report.DIFFUSION, after=("lesions",), role="dti"),
    Step("habitats", habitats, report.HABITATS, after=("registered", "lesions", "dsc", "dti"), role="dsc"),
    Step("progression", progression, report.PROGRESSION, ("lesions",), early=visits, early_after=("registered",)),
    Step("recurrence", recurrence, report.RECURRENCE, after=("registered", "lesions", "dce", "dsc", "dti")),
    Step("radiomics", radiomics, report.RADIOMICS, after=("registered", "lesions", "dsc"), role="dsc"),
    Step("patterns", patterns, report.PATTERNS, after=("radiomics",), role="dsc"),
    Step("rt", rt, report.TARGETS, after=("lesions", "progression", "recurrence")),
    Step("scored", scored, report.SCORED, after=("registered", "lesions", "dce", "dsc", "progression")),
)
TABLES = Step(
    "regions", regions, report.REGIONS, after=("lesions", "dce", "dsc", "synthesis", "dti"), among_results=True
)
NAMES = tuple(s.name for s in STEPS)
_ENDED = {"refused": "was refused", "failed": "failed"}  # states of a step that was begun and has no result
_STEPS_END = 0.93  # of a run's progress: the report takes the rest of the time, measured on the demo


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
    if settings.threshold is not None and not 0 < settings.threshold < 1:
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

    def look(role: str) -> None:
        if role == "dti":
            gradients_of(case).check_count(case.series(role))
        elif role in SERIES_NEEDS:
            case.series(role)
        else:
            read_ahead(case.path(role))
        if role == PROBABILITY:
            from ..rt.targets import check_probability

            check_probability(array(case.image(role)))

    def look_at_mask(role: str) -> None:
        if case.roi(role) is not None:
            drawn_on(case, role)
        elif role == "labelmap":
            read_ahead(case.mask_path(role))  # its convention says what is a mask of it
        else:
            case.mask(role)

    # In threads, since most of it is inflating; all faults are told at once, in the case's order.
    images = [r for r in case.images if r not in settings.skip]
    looks: list[Callable[[], object]] = [partial(look, r) for r in images]
    looks += [partial(case.need, r, *ACQUISITION_NEEDS[r]) for r in images if r in ACQUISITION_NEEDS]
    looks += [partial(_check_ranges, case, r) for r in images if r in ("dce", "dsc")]
    looks += [partial(look_at_mask, r) for r in case.masks if r not in settings.skip]
    with heard(repeated=False):  # the step that takes a mask says what is to be said of it
        together(*looks, spread=each)


def _check_ranges(case: Case, role: str) -> None:
    """Refuse values of a series that are in another unit, as its command would."""
    own, known = settings_of({"dce": DceSettings, "dsc": DscSettings}[role]), case.acquisition(role)
    with door(names_in_run(role), f"gliosuite {role}"):
        for key in (k for k in own if known.get(k) is not None and k != "times_s"):
            own[key].check(known[key], f"{case.path(role).name}: ")
    if known.get("times_s"):
        check_duration(known["times_s"], case.path(role).name)


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
    resumes. A step that the case does not allow is skipped, one whose input turns out unfit is refused, one with an unexpected error has
    failed; all are in ``run.json`` and in the report with the reason, and the other steps go on.

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
        The content of ``run.json``, the path of the report, and under ``losses`` a sentence for all that was asked for and not got.

    Raises
    ------
    InputError
        If the case is damaged or incomplete (nothing is written then), or `out` cannot be written.
    KeyboardInterrupt
        If the run is cancelled; its text says which steps are whole. What runs is ended, and leaves nothing half-written.
    """
    settings = settings or RunSettings()
    out = Path(out)
    files = Files()
    check_settings(case, settings)
    case.keep(out, NAMES)
    check_room(out, is_folder=True)
    steps = (*STEPS, TABLES)
    with tempfile.TemporaryDirectory(prefix="gliosuite-", ignore_cleanup_errors=True) as shared, shared_reading(shared):
        try:
            with Workers(workers, shared) as side_by_side:
                # Where all that the steps were seen to read is as it was, it has been checked before.
                if not all(s.idle(case, settings) or kept(s, case, out, settings, files) for s in STEPS):
                    side_by_side.start()
                    check(case, settings)
                found = run_steps(steps, case, out, settings, files, side_by_side, part(progress, 0.0, _STEPS_END))
                return _concluded(case, out, settings, files, found, side_by_side, progress)
        except KeyboardInterrupt:
            whole = [s.name for s in STEPS if kept(s, case, out, settings, Files())]
            stands = f"{', '.join(whole)} {'is' if len(whole) == 1 else 'are'} whole" if whole else "no step was whole"
            raise KeyboardInterrupt(f"cancelled: {stands} in {out}; the same command goes on from there") from None


def _concluded(
    case: Case,
    out: Path,
    settings: RunSettings,
    files: Files,
    found: dict[str, dict[str, Any]],
    workers: Workers,
    progress: Progress,
) -> dict[str, Any]:
    """Write ``run.json``, ``provenance.json`` and the report of steps that have ended."""
    from ..doctor import switched_off

    records = [found[s.name] for s in STEPS]
    losses = _losses([*records, found[TABLES.name]])
    summary = {
        "id": case.id,
        "version": version(),
        "simulated": bool(case.data.get("simulated")),
        "research_use": "For research use only.",
        "reference": Run(case, out, settings, files).reference,
        "steps": records,
        "off": switched_off(),
    }
    fresh = found[TABLES.name]["status"] == "done" or not _as_before(out, summary)
    with staged(out) as folder:
        write_json(folder / "run.json", summary)
        write_json(folder / "provenance.json", _provenance(settings, out))
    if not fresh:
        return {"report": out / "report.html", **summary, "losses": losses}
    progress(_STEPS_END, "report")
    page, missing = write_report(out, map if workers.count == 1 else workers.map)
    if missing:
        warnings.warn(missing, stacklevel=3)
    return {"report": page, **summary, "losses": losses}


def _losses(records: list[dict[str, Any]]) -> list[str]:
    """A sentence for each step that was refused or failed, for what other steps lost, and for a run in which nothing was done."""
    done = [r for r in records if r["status"] in ("done", "kept")]
    lost = [f"{r['step']} {_ENDED[r['status']]}: {r['why']}" for r in records if r["status"] in _ENDED]
    lost += [f"{r['step']}: {sentence}" for r in done for sentence in r.get("losses", [])]
    if not [r for r in done if r["step"] != "scored"] and not lost:
        lost = ["nothing was done: " + "; ".join(f"{r['step']}: {r['why']}" for r in records if "why" in r)]
    return lost


def write_report(folder: str | Path, spread: report.Spread = map, times: bool = False) -> tuple[Path, str | None]:
    """Write the report of a run's results (`report.write_page`): its path, and a sentence where pictures could not be drawn."""
    return report.write_page(folder, {s.name: s.section for s in (*STEPS, TABLES)}, spread, times)


def _as_before(out: Path, summary: dict[str, Any]) -> bool:
    """Whether tables and report of an earlier run still say all that there is to say: every step is kept or skipped as it was."""
    if not ((out / "run.json").exists() and (out / "report.html").exists()):
        return False
    unmarked = lambda run: run | {"steps": [s | {"status": s["status"].replace("kept", "done")} for s in run["steps"]]}
    settled = all(s["status"] in ("kept", "skipped") for s in summary["steps"])
    return settled and unmarked(read_json(out / "run.json")) == unmarked(plain(summary))


def _unnamed(settings: RunSettings) -> dict[str, str]:
    """Folders are known by their hash: a path can hold a patient's name."""
    barriers = {} if settings.barriers in BARRIERS else {"barriers": "masks given"}
    return barriers | ({} if settings.recurrence_model in RECURRENCE_MODELS else {"recurrence_model": "a folder given"})


def _provenance(settings: RunSettings, out: Path) -> dict[str, Any]:
    steps = {s.name: read_json(s.note(out)) for s in (*STEPS, TABLES) if s.note(out).exists()}
    inputs = {n: h for s in steps.values() for n, h in s["inputs"].items()}
    return {
        "version": version(),
        "settings": plain(settings) | _unnamed(settings),
        "inputs": dict(sorted(inputs.items())),
        "written": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "steps": {n: {k: v for k, v in s.items() if k not in ("record", "seen")} for n, s in steps.items()},
    }
