"""``run``, ``case``, ``report``, ``demo``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..perfusion.settings import POPULATION_AIFS, DceSettings, DscSettings, preset_names
from ..settings import add_options, settings_of
from .caseoptions import add_case_options, case_of_options, images_given

if TYPE_CHECKING:
    from ..case import Case

Add = Callable[..., argparse.ArgumentParser]
Progress = Callable[[float, str], None]


def register(add: Add) -> None:
    """Add ``run``, ``case``, ``report`` and ``demo``."""
    p = add(
        "run",
        "take a case through everything that it allows: registration, lesions, maps, target volumes, report",
        description="Take a case through everything that it allows. A step whose inputs and settings have not changed is kept, so a second "
        "run resumes. What was skipped or refused, and why, is in run.json and in the report.",
    )
    p.add_argument(
        "case",
        nargs="?",
        metavar="CASE",
        help="case folder, or its case.json (default: the options for images and masks)",
    )
    p.add_argument("--out", required=True, metavar="DIR", help="results folder")
    _options(p)
    add_case_options(p)
    p.set_defaults(run=_run)

    p = add(
        "case",
        "make a case folder of images and masks",
        description="Write CASE/case.json for images and masks where they lie: what gliosuite run takes. From DICOM or BIDS, "
        "gliosuite import makes a case.",
    )
    p.add_argument("--out", required=True, metavar="CASE", help="case folder to write")
    add_case_options(p)
    p.set_defaults(run=_case)

    p = add("report", "write report.html from the results of run or demo")
    p.add_argument("folder", metavar="DIR", help="results folder of gliosuite run")
    p.add_argument(
        "--times",
        action="store_true",
        help="say how long each registration took (default not: reports of the same results are the same bytes)",
    )
    p.set_defaults(run=_report)

    p = add(
        "demo",
        "simulate a patient and take it through everything",
        description="Simulate a glioma patient (DIR/case, with the truth in DIR/truth) and take it through everything, down to "
        "DIR/report.html.",
    )
    p.add_argument("--out", required=True, metavar="DIR", help="results folder")
    p.add_argument("--seed", type=int, default=3, metavar="N", help="which patient (default 3)")
    _options(p)
    p.set_defaults(run=_demo)


def _options(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--skip",
        action="append",
        default=[],
        metavar="NAME",
        help="leave out a step (registered lesions dce dsc dti progression recurrence rt scored) or an image or mask role; may be "
        "repeated; without registered, images are taken as they lie",
    )
    p.add_argument(
        "--scheme",
        action="append",
        default=[],
        metavar="NAME",
        help="CTV scheme; may be repeated (default rtog, estro-acrop, estro-eano); target volumes that come out the same are drawn once",
    )
    p.add_argument(
        "--barriers",
        default="none",
        metavar="DIR",
        help="what margins of CTVs go round, as in gliosuite ctv: a folder of masks on the reference image, auto: the template registered "
        "to it, or none: margins run straight (default none)",
    )
    p.add_argument(
        "--through",
        nargs="+",
        default=[],
        metavar="NAME",
        help="of brainstem and chiasm, those that stop no margin (default both stop it, where there is a mask)",
    )
    p.add_argument(
        "--allow-derived",
        action="store_true",
        help="write the structure set on a series that is marked as a reformat or a secondary copy too (default not)",
    )
    p.add_argument(
        "--drafts-accepted-by",
        metavar="NAME",
        help="who has looked at the drafts of lesions and accepts them: structures are then no longer called drafts, and unsure drafts "
        "give target volumes too (default nobody)",
    )
    p.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="of the recurrence probability: the least that CTV_MODEL includes, 0-1 (default: what the model's validation chose; 0.5 for a "
        "probability of the case, image role probability)",
    )
    p.add_argument(
        "--recurrence-model",
        default="shipped",
        metavar="NAME or DIR",
        help="network, for the shipped network, which needs torch, or a folder of `gliosuite recurrence train` (default shipped: the "
        "shipped trees; both were trained on simulated patients)",
    )
    p.add_argument("--like", metavar="SCHEME", help="give CTV_MODEL the volume of this scheme, in place of --threshold")
    p.add_argument(
        "--spacing-mm",
        type=float,
        default=1.0,
        metavar="MM",
        help="voxel size of the grid that everything is carried to, mm (default 1)",
    )
    p.add_argument("--no-motion", action="store_true", help="do not correct 4-D series for motion")
    add_options(p, DceSettings, "model", help="DCE model", more=", extended Tofts")
    add_options(p, DceSettings, "delay", "dispersion_s", unset=True)
    p.add_argument(
        "--aif",
        default="auto",
        choices=("auto", *POPULATION_AIFS),
        help="DCE arterial input function: found in the data, or the population's (default auto)",
    )
    p.add_argument(
        "--preset",
        choices=preset_names(),
        help="DCE as that paper states it, in place of --model, --delay, --dispersion, --aif and the case's T1",
    )
    add_options(p, DscSettings, "leakage", help="DSC leakage correction")
    add_options(p, DscSettings, "deconvolution", help="DSC deconvolution")
    for kind, cls in (("dce", DceSettings), ("dsc", DscSettings)):
        for name in ("baseline", "arrival_s"):
            one = settings_of(cls)[name]
            p.add_argument(
                f"--{kind}-{one.flag[2:]}",
                type=one.kind or str,
                metavar=one.metavar,
                help=f"{kind.upper()}: {one.help}",
            )
    p.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that share steps which do not wait for each other; results are the same for any number (default one a core, two at "
        "most)",
    )
    p.add_argument(
        "--engine",
        default="auto",
        choices=("auto", "brainsfit", "simpleitk"),
        help="registration engine: auto takes BRAINSFit where there is one (default auto)",
    )


def _settings(args: argparse.Namespace) -> Any:
    from ..errors import InputError
    from ..images import accepting
    from ..pipeline.context import RunSettings

    if args.device == "cuda":
        raise InputError("every step of a run computes on the CPU; use --device cpu or auto")
    settings_of(RunSettings)["spacing_mm"].check(args.spacing_mm)
    settings = {
        "skip": tuple(args.skip),
        "spacing_mm": args.spacing_mm,
        "motion": not args.no_motion,
        "dce_model": args.model,
        "dce_aif": args.aif,
        "dce_delay": args.delay,
        "dce_dispersion_s": args.dispersion,
        "dce_preset": args.preset,
        "leakage": args.leakage,
        "deconvolution": args.deconvolution,
        "dce_baseline": args.dce_baseline,
        "dce_arrival_s": args.dce_arrival,
        "dsc_baseline": args.dsc_baseline,
        "dsc_arrival_s": args.dsc_arrival,
        "engine": args.engine,
        "barriers": args.barriers,
        "through": tuple(args.through),
        "like": args.like,
        "recurrence_model": args.recurrence_model,
        "allow_derived": args.allow_derived,
        "drafts_accepted_by": accepting(args.drafts_accepted_by),
    }
    if args.threshold is not None and args.like is not None:
        raise InputError("--threshold and --like both say how much CTV_MODEL includes; give one of them")
    if args.threshold is not None:
        settings["threshold"] = args.threshold
    return RunSettings(**settings | ({"schemes": tuple(args.scheme)} if args.scheme else {}))


def _workers(args: argparse.Namespace) -> int:
    import os

    from ..errors import InputError

    if args.workers is not None and args.workers < 1:
        raise InputError(f"--workers is {args.workers}; 1 or more is needed")
    return args.workers or min(os.cpu_count() or 1, 2)


def _run(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..pipeline.run import run_case

    return run_case(_case_to_run(args), args.out, _settings(args), progress, _workers(args))


def _case_to_run(args: argparse.Namespace) -> "Case":
    """The case of a folder, or that of the options."""
    from ..case import Case
    from ..errors import InputError
    from ..images import suffix

    images = images_given(args)
    if args.case and images:
        raise InputError(f"{args.case} is a case, and --{next(iter(images))} is given too; give one of them")
    if args.case and suffix(args.case):
        raise InputError(
            f"{args.case} is an image, no case; say what it is (gliosuite run --t1c {args.case} --out {args.out}, with --t1 --flair --dce "
            "... for others), or make a case with gliosuite case or gliosuite import"
        )
    if args.case:
        return Case.load(args.case)
    case, unknown = case_of_options(args, Path(args.out).resolve().name, "the options")
    if unknown:
        raise InputError("; ".join(unknown))
    return case


def _case(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    import warnings

    from ..errors import InputError

    out = Path(args.out)
    if (out / "case.json").exists():
        raise InputError(f"{out / 'case.json'} exists; another folder is needed, or that file is to be removed first")
    case, unknown = case_of_options(args, out.resolve().name, "the options")
    for sentence in unknown:
        warnings.warn(sentence, stacklevel=1)
    return {"case": case.save(out), "id": case.id, "images": list(case.images), "masks": list(case.masks)}


def _report(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    import warnings

    from ..pipeline import write_report

    path, missing = write_report(args.folder, times=args.times)
    if missing:
        warnings.warn(missing, stacklevel=1)
    return {"report": path}


def _demo(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..pipeline.run import run_case
    from ..simulate.cohort import simulate_case
    from ..steps import part

    settings = _settings(args)
    out = Path(args.out)
    patient = simulate_case(args.seed, progress=part(progress, 0.0, 0.15))
    # Lesions are left to the library, so that the demo shows drafts; cavity and progression stand for a reader's outlines.
    case = patient.write(
        out / "case", out / "truth", dicom=("t1c",), masks=("cavity", "progression_cel", "progression_t2l")
    )
    result = run_case(case, out, settings, part(progress, 0.2, 1.0), _workers(args))
    return {"case": case.folder, **result}
