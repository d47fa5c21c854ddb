"""Where a glioma recurs: ``recurrence train``, ``recurrence predict``, ``recurrence why``, ``recurrence evaluate``."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..recurrence.settings import VoxelwiseTraining
from ..settings import add_options, settings_of
from ..steps import Progress, part
from .followup import outcomes

if TYPE_CHECKING:
    import numpy as np

    from ..recurrence import Inputs
    from ..training import Model

KINDS = ("voxelwise",)


def register(add: Callable) -> None:
    """Add ``recurrence train``, ``recurrence predict``, ``recurrence why`` and ``recurrence evaluate``."""
    p = add(
        "recurrence train",
        "train a model of where a glioma recurs, on results of `gliosuite run` with a follow-up or on simulated patients; a run that was "
        "stopped goes on where it was",
    )
    _kind(p)
    p.add_argument(
        "--cases",
        metavar="DIR",
        help="a folder of results folders of `gliosuite run`, a patient each, with a progression (default: simulated patients)",
    )
    add_options(p, VoxelwiseTraining, *settings_of(VoxelwiseTraining))
    p.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for the model, held-out figures, and what a stopped run left",
    )
    p.set_defaults(run=_train)
    p = add(
        "recurrence predict",
        "the probability of recurrence in each voxel of a patient, from results of `gliosuite run`",
    )
    p.add_argument("results", metavar="RESULTS", help="a results folder of `gliosuite run`")
    _kind(p)
    _model(p)
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
    _kind(p)
    _model(p)
    p.add_argument("--out", metavar="FILE", help="file for the result as JSON")
    p.set_defaults(run=_why)
    p = add(
        "recurrence evaluate",
        "hold predicted target volumes and those by margins against the progression of patients that a model has not seen",
    )
    p.add_argument(
        "--cases",
        required=True,
        metavar="DIR",
        help="a folder of results folders of `gliosuite run`, with a progression",
    )
    _kind(p)
    _model(p)
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


def _kind(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--kind", choices=KINDS, default=KINDS[0], help="voxelwise: boosted trees, voxel by voxel (default voxelwise)"
    )


def _model(p: argparse.ArgumentParser) -> None:
    p.add_argument("--model-folder", metavar="DIR", help="of `gliosuite recurrence train` (default: the shipped model)")


def _train(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..recurrence.card import card
    from ..recurrence.results import read_results, result_folders
    from ..recurrence.train import grow
    from ..training import Model, write_model
    from .judged import best_threshold, judged, summary

    names = tuple(settings_of(VoxelwiseTraining))
    settings, out = VoxelwiseTraining(**{n: getattr(args, n) for n in names}), Path(args.out)
    if args.cases:
        folders = result_folders(args.cases)
        patients = [read_results(f, True, settings.grid_mm) for f in folders]
        said = f"{len(patients)} cases of the user"
    else:
        patients = simulated(settings, out / "training", part(progress, 0.0, 0.6))
        said = f"{len(patients)} simulated patients"
    grown = grow(patients, settings, part(progress, 0.6, 0.8))
    threshold = best_threshold(patients, grown.held_out)
    rows = judged(patients, grown.held_out, threshold, part(progress, 0.8, 1.0))
    flags = " ".join(f"--{n.replace('_', '-')} {getattr(args, n)}" for n in names)
    command = f"gliosuite recurrence train --kind {args.kind} {flags}" + f" --cases {args.cases}" * bool(args.cases)
    about = grown.about | {
        "simulated": not args.cases,
        "trained_on": said,
        "threshold": threshold,
        "figures": summary(rows),
        "command": command,
    }
    model = Model(grown.weights, about)
    write_model(out / "model", model, card(model))
    return {"out": str(out / "model"), "threshold": threshold, **about["figures"], "command": command}


def simulated(settings: VoxelwiseTraining, folder: Path, progress: Progress) -> "list[Inputs]":
    """Simulated patients who progressed, each kept in a file of `folder`, so that a stopped run goes on."""
    from ..recurrence import Inputs
    from ..recurrence.inputs import GRID_MM
    from .recurred import recurred

    found = []
    for i in range(settings.patients):
        seed = settings.first_patient + i
        progress(i / settings.patients, f"patient {i + 1} of {settings.patients}")
        stem = f"patient-{seed}" + f"-{settings.grid_mm:g}mm" * (settings.grid_mm != GRID_MM)
        path, none = folder / f"{stem}.npz", folder / f"{stem}.none"
        if not path.exists() and not none.exists():
            patient = recurred(seed, grid_mm=settings.grid_mm)
            if patient is None:
                folder.mkdir(parents=True, exist_ok=True)
                none.touch()
            else:
                patient.write(path)
        if path.exists():
            found.append(Inputs.read(path))
    return found


def _predict(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..files import read_json, staged
    from ..images import read_image
    from ..recurrence import predict
    from ..recurrence.output import cautions, write
    from ..recurrence.results import lesion_of, read_results

    results = Path(args.results)
    model = _read(args)
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
    right, anterior, superior = args.at
    inputs = read_results(args.results, grid_mm=model.about["grid_mm"])
    found = {"at_ras_mm": list(args.at), **reasons(inputs, (-right, -anterior, superior), model).record()}
    if args.out:
        write_json(args.out, found)
    return found


def _read(args: argparse.Namespace) -> "Model":
    from ..recurrence import KIND
    from ..recurrence.voxelwise import shipped
    from ..training import read_model

    return read_model(args.model_folder, KIND) if args.model_folder else shipped()


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
