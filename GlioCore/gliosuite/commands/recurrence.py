"""Where a glioma recurs, by a trained model: ``recurrence predict``, ``recurrence why``, ``recurrence evaluate``."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..recurrence.nnunet.settings import NNUNET
from ..steps import Progress, part
from . import local
from .followup import cases, outcomes
from .training import KIND_HELP, KINDS

if TYPE_CHECKING:
    import numpy as np

    from ..training import Model


def register(add: Callable) -> None:
    """Add ``recurrence predict``, ``recurrence why`` and ``recurrence evaluate``."""
    p = add(
        "recurrence predict",
        "the probability of recurrence in each voxel of a patient, from results of `gliosuite run`",
    )
    p.add_argument("results", metavar="RESULTS", help="a results folder of `gliosuite run`")
    _model(p)
    _positive(p)
    p.add_argument(
        "--out", required=True, metavar="DIR", help="folder for probability, probability_sd, recurrence.json"
    )
    p.set_defaults(run=_predict)
    p = add(
        "recurrence why",
        "what drove the probability of recurrence of one voxel: what each image, distance and size of the lesion adds, by occlusion",
    )
    p.add_argument("results", metavar="RESULTS", help="a results folder of `gliosuite run`")
    p.add_argument(
        "--at", required=True, type=_point, metavar="R,A,S", help="the place, R,A,S in mm as 3D Slicer shows it"
    )
    _model(p)
    p.add_argument("--out", metavar="FILE", help="file for the result as JSON")
    p.set_defaults(run=_why)
    p = add(
        "recurrence evaluate",
        "hold predicted target volumes and those by margins against the progression of patients that a model has not seen",
    )
    cases(p)
    _model(p)
    _positive(p)
    p.add_argument(
        "--against",
        metavar="DIR",
        help="local recurrence: another model, compared on the same patients by exact McNemar tests, e.g. combined against conventional",
    )
    outcomes(p, "with them, early and late progression, arms and survival are compared")
    p.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for evaluation.csv, patients.csv, reliability.csv, evaluation.json, paired.png, reliability.png",
    )
    p.set_defaults(run=_evaluate)


def _point(text: str) -> tuple[float, float, float]:
    try:
        right, anterior, superior = (float(v) for v in text.split(","))
        if not all(map(math.isfinite, (right, anterior, superior))):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no place R,A,S in mm such as '12,30,-5'") from None
    return right, anterior, superior


def _model(p: argparse.ArgumentParser) -> None:
    p.add_argument("--kind", choices=KINDS, help=KIND_HELP)
    p.add_argument(
        "--model-folder", metavar="DIR", help="of `gliosuite recurrence train` (default: the shipped model of the kind)"
    )


def _positive(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--threshold", type=float, help="local recurrence: a voxel counts from this probability on (default .5)"
    )
    p.add_argument(
        "--min-voxels",
        type=int,
        default=1,
        metavar="N",
        help="local recurrence: a patient is positive with a connected piece of so many voxels that count (default 1)",
    )


def _predict(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..files import read_json, staged
    from ..images import read_image
    from ..recurrence import predict
    from ..recurrence.output import cautions, write
    from ..recurrence.results import lesion_of, read_results

    results = Path(args.results)
    model = _read(args)
    if local.answers_local(model):
        return local.predict(args, model, progress)
    _refuse_local(args, "threshold", "min_voxels")
    made = predict(read_results(results, grid_mm=model.about["grid_mm"]), model, part(progress, 0.0, 0.8))
    cavity = results / "lesions" / "cavity.nii.gz"
    steps = {s["step"]: s.get("summary", {}) for s in read_json(results / "run.json").get("steps", [])}
    drafts = [n for n in ("cel", "t2l", "cavity") if steps.get("lesions", {}).get(n, {}).get("source") == "draft"]
    made.notes.extend(cautions(drafts, cavity.exists()))
    with staged(args.out) as folder:
        record = write(
            made,
            folder,
            read_image(results / "lesions" / "brain.nii.gz"),
            lesion_of(results),
            read_image(cavity) if cavity.exists() else None,
        )
        files = sorted(p.name for p in folder.iterdir())
    return {"out": args.out, "files": files, **record}


def _why(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..files import write_json
    from ..recurrence.reasons import reasons
    from ..recurrence.results import read_results

    model = _read(args)
    if local.answers_local(model):
        raise InputError("a model of local recurrence does not say what drove a voxel: it needs all of its images")
    right, anterior, superior = args.at
    inputs = read_results(args.results, grid_mm=model.about["grid_mm"])
    found = {"at_ras_mm": list(args.at), **reasons(inputs, (-right, -anterior, superior), model).record()}
    if args.out:
        write_json(args.out, found)
    return found


def _read(args: argparse.Namespace) -> "Model":
    from ..recurrence import MODELS, shipped
    from ..training import read_model

    if not args.model_folder:
        if args.kind == NNUNET:
            raise InputError(
                "no nnU-Net travels with the library; --model-folder names one of `gliosuite recurrence train`"
            )
        return shipped(args.kind or KINDS[0])
    model = read_model(args.model_folder, *MODELS, NNUNET)
    if args.kind not in (None, model.about["kind"]):
        raise InputError(
            f"{args.model_folder} holds a model of kind {model.about['kind']}, and --kind {args.kind} is asked for"
        )
    return model


def _refuse_local(args: argparse.Namespace, *names: str) -> None:
    """Refuse options that only models of local recurrence have."""
    for name in names:
        if getattr(args, name) not in (None, 1):
            raise InputError(f"--{name.replace('_', '-')} is for models of local recurrence, and the model is another")


def _evaluate(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..files import staged
    from ..recurrence import predict
    from ..recurrence.followup.outcomes import read_outcomes
    from ..recurrence.results import read_results, result_folders
    from .followup import write_evaluation
    from .judged import judged

    folders = result_folders(args.cases)
    names = [f.name for f in folders]
    known = read_outcomes(args.outcomes, names) if args.outcomes else None
    model = _read(args)
    if local.answers_local(model):
        return local.evaluate(args, model, local.read(args.against) if args.against else None, progress)
    _refuse_local(args, "threshold", "min_voxels", "against")
    patients = [read_results(f, True, model.about["grid_mm"]) for f in folders]
    maps: list[np.ndarray] = []
    for i, patient in enumerate(patients):
        progress(0.5 * i / len(patients), folders[i].name)
        try:
            maps.append(predict(patient, model).probability)
        except InputError as error:
            raise InputError(f"{folders[i]}: {error}") from None
    rows = judged(patients, maps, float(model.about["threshold"]), part(progress, 0.5, 1.0))
    with staged(args.out) as folder:
        found = write_evaluation(folder, names, patients, maps, rows, known)
    return {"out": args.out, **found}
