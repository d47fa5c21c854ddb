"""``--kind nnunet`` of ``recurrence train``, ``recurrence predict`` and ``recurrence evaluate``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, option
from ..recurrence.nnunet.settings import NNUNET, NnunetTraining
from ..steps import Progress, part

if TYPE_CHECKING:
    from ..recurrence.nnunet.predict import Verdict
    from ..training import Model


def train(args: argparse.Namespace, settings: NnunetTraining, progress: Progress) -> dict[str, Any]:
    """Train nnU-Net on cases, and judge it on the patients that each network has not seen."""
    from ..compute.threads import thread_count
    from ..recurrence.nnunet.card import card
    from ..recurrence.nnunet.cases import Patient, read_patient
    from ..recurrence.nnunet.judged import reached
    from ..recurrence.nnunet.predict import predict, verdict
    from ..recurrence.nnunet.train import train as train_nnunet
    from ..recurrence.results import result_folders
    from ..settings import settings_of
    from ..training import Model, write_model

    if not args.cases:
        raise InputError(
            f"nnU-Net is trained on cases ({option('--cases')}): results folders of `gliosuite run` with a later visit, of patients "
            "without recurrence too"
        )
    folders = {f.name: f for f in result_folders(args.cases)}
    names, out = settings.images(), Path(args.out)
    device = _device(args)

    def read(name: str) -> Patient:
        return read_patient(folders[name], names, settings.grid_mm, target=True)

    trained, fold = train_nnunet(
        list(folders), read, settings, out / "nnunet", device, thread_count(), part(progress, 0.0, 0.9)
    )
    held_out = [n for n in folders if fold[n] in trained.about["folds"]]
    recurred, verdicts = [], []
    for i, name in enumerate(held_out):
        progress(0.9 + 0.1 * i / len(held_out), f"{name}, by the network that has not seen it")
        patient = read(name)
        recurred.append(patient.recurred)
        verdicts.append(verdict(predict(patient, trained, (fold[name],), device), trained.about["threshold"]))
    flags = " ".join(f"{one.flag} {getattr(settings, name)}" for name, one in settings_of(NnunetTraining).items())
    about = trained.about | {
        "figures": reached(recurred, verdicts) if held_out else None,
        "command": f"gliosuite recurrence train --kind nnunet {flags} --cases {args.cases}",
    }
    model = Model(trained.weights, about)
    write_model(out / "model", model, card(model))
    return {"out": str(out / "model"), "figures": about["figures"], "command": about["command"]}


def _device(args: argparse.Namespace) -> str:
    from ..compute import choose_device

    return choose_device(args.device).place or "cpu"


def read(folder: str) -> "Model":
    """An nnU-Net that `train` wrote."""
    from ..training import read_model

    return read_model(folder, NNUNET)


def predict(args: argparse.Namespace, model: "Model", progress: Progress) -> dict[str, Any]:
    """The probability of a patient on the grid of the results, and whether he counts as positive."""
    import numpy as np

    from ..files import staged, write_json
    from ..images import Grid, array, boolean, read_image, resample, write_image
    from ..recurrence.nnunet.cases import read_patient
    from ..recurrence.nnunet.predict import MEANS, verdict
    from ..recurrence.nnunet.predict import predict as ask
    from ..recurrence.output import PROBABILITY, RECORD

    about = model.about
    patient = read_patient(args.results, about["channels"], about["grid_mm"])
    probability = ask(patient, model, device=_device(args), progress=progress)
    found = verdict(probability, _threshold(args, model), args.min_voxels)
    record = {
        "model": NNUNET,
        "means": MEANS,
        "channels": about["channels"],
        "threshold": _threshold(args, model),
        "min_voxels": args.min_voxels,
        "grid_mm": about["grid_mm"],
        **vars(found),
        "weights_sha256": about["weights_sha256"],
    }
    with staged(args.out) as folder:
        brain = read_image(Path(args.results) / "lesions" / "brain.nii.gz")
        grid = Grid.of(brain)
        carried = array(resample(patient.grid.image(probability), grid))
        values = np.where(boolean(brain), carried, 0).clip(0, 1).astype(np.float32)
        write_image(grid.image(values), folder / f"{PROBABILITY}.nii.gz", f"probability by nnU-Net: {MEANS}")
        write_json(folder / RECORD, record)
        files = sorted(p.name for p in folder.iterdir())
    return {"out": args.out, "files": files, **record}


def _threshold(args: argparse.Namespace, model: "Model") -> float:
    value = float(model.about["threshold"] if args.threshold is None else args.threshold)
    if not 0 < value < 1:
        raise InputError(f"{option('--threshold')} is {value:g}; more than 0 and less than 1 is needed")
    if args.min_voxels < 1:
        raise InputError(f"{option('--min-voxels')} is {args.min_voxels}; 1 or more is needed")
    return value


def evaluate(args: argparse.Namespace, model: "Model", other: "Model | None", progress: Progress) -> dict[str, Any]:
    """Sensitivity and specificity by patient, and of two models by pairs."""
    from ..files import staged, write_csv, write_json
    from ..recurrence.nnunet.cases import read_patient
    from ..recurrence.nnunet.judged import compared, reached
    from ..recurrence.nnunet.predict import predict as ask
    from ..recurrence.nnunet.predict import verdict
    from ..recurrence.results import result_folders

    folders = result_folders(args.cases)
    models = [model, *([other] if other else [])]
    device = _device(args)
    recurred: list[bool] = []
    verdicts: list[list[Verdict]] = [[] for _ in models]
    for i, folder in enumerate(folders):
        progress(i / len(folders), folder.name)
        for m, said in zip(models, verdicts):
            patient = read_patient(folder, m.about["channels"], m.about["grid_mm"], target=True)
            said.append(verdict(ask(patient, m, device=device), _threshold(args, m), args.min_voxels))
        recurred.append(patient.recurred)
    found = compared(recurred, *verdicts) if other else reached(recurred, verdicts[0])
    heads = ["positive", "voxels", "largest", "highest"]
    several = [f"{head}{ending}" for ending in ("", "_against")[: len(models)] for head in heads]
    rows: Sequence[Sequence[Any]] = [
        [f.name, int(r), *(_number(getattr(v, h)) for v in said for h in heads)]
        for f, r, *said in zip(folders, recurred, *verdicts)
    ]
    with staged(args.out) as out:
        write_csv(out / "evaluation.csv", ["case", "recurred", *several], rows)
        write_json(out / "evaluation.json", found)
    return {"out": args.out, **found}


def _number(value: float) -> str:
    return f"{float(value):.6g}"
