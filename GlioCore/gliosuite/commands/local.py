"""Local recurrence as Yoon 2024 has it in ``recurrence train``, ``predict`` and ``evaluate``: by nnU-Net, or by the network."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, option
from ..recurrence.nnunet.settings import NNUNET, NnunetTraining
from ..recurrence.settings import LOCAL, NETWORK, NetworkTraining
from ..steps import Progress, part, silent

if TYPE_CHECKING:
    import numpy as np

    from ..recurrence import Inputs
    from ..recurrence.nnunet.predict import Verdict
    from ..training import Model


def answers_local(model: "Model") -> bool:
    """Whether a recurrence model answers about local recurrence."""
    return model.about["kind"] == NNUNET or model.about.get("target") == LOCAL


def train_network(
    args: argparse.Namespace, settings: NetworkTraining, cuda: bool, progress: Progress
) -> dict[str, Any]:
    """Train the network on cases, those without recurrence too, and judge each patient by the member that has not seen him."""
    from ..recurrence.network.train import train_network as train_members
    from ..recurrence.nnunet.card import card
    from ..recurrence.nnunet.judged import reached
    from ..recurrence.nnunet.predict import THRESHOLD, verdict
    from ..recurrence.results import read_local
    from ..training import Model, write_model

    out = Path(args.out)
    notes: list[str] = []
    patients = [read_local(f, True, settings.grid_mm) for f in _folders(args)]
    found = train_members(patients, settings, out / NETWORK, cuda, part(progress, 0.0, 1.0), notes.append)
    recurred = [bool(p.target.any()) for p in patients if p.target is not None]
    about = found.about | {
        "threshold": THRESHOLD,
        "recurred": sum(recurred),
        "simulated": False,
        "trained_on": f"{len(patients)} cases of the user",
        "figures": reached(recurred, [verdict(m, THRESHOLD) for m in found.held_out]),
        "command": _command(NETWORK, args, settings, " --device cuda" * cuda),
    }
    model = Model(found.weights, about)
    write_model(out / "model", model, card(model))
    result = {"out": str(out / "model"), "figures": about["figures"], "command": about["command"]}
    return result | ({"notes": notes} if notes else {})


def _folders(args: argparse.Namespace) -> Sequence[Path]:
    from ..recurrence.results import result_folders

    if not args.cases:
        raise InputError(
            f"models of local recurrence are trained on cases ({option('--cases')}): results folders of `gliosuite run` with a later "
            "visit, of patients without recurrence too"
        )
    return result_folders(args.cases)


def _command(kind: str, args: argparse.Namespace, settings: NnunetTraining | NetworkTraining, more: str = "") -> str:
    from ..settings import settings_of

    flags = " ".join(f"{one.flag} {getattr(settings, name)}" for name, one in settings_of(type(settings)).items())
    return f"gliosuite recurrence train --kind {kind} {flags}{more} --cases {args.cases}"


def train(args: argparse.Namespace, settings: NnunetTraining, progress: Progress) -> dict[str, Any]:
    """Train nnU-Net on cases, and judge it on the patients that each network has not seen."""
    from ..compute.threads import thread_count
    from ..recurrence.nnunet.card import card
    from ..recurrence.nnunet.cases import Patient, read_patient
    from ..recurrence.nnunet.judged import reached
    from ..recurrence.nnunet.predict import predict, verdict
    from ..recurrence.nnunet.train import train as train_nnunet
    from ..training import Model, write_model

    folders = {f.name: f for f in _folders(args)}
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
    about = trained.about | {
        "figures": reached(recurred, verdicts) if held_out else None,
        "command": _command(NNUNET, args, settings),
    }
    model = Model(trained.weights, about)
    write_model(out / "model", model, card(model))
    return {"out": str(out / "model"), "figures": about["figures"], "command": about["command"]}


def _device(args: argparse.Namespace) -> str:
    from ..compute import choose_device

    return choose_device(args.device).place or "cpu"


def read(folder: str) -> "Model":
    """A model of local recurrence.

    Raises
    ------
    InputError
        If the folder holds another.
    """
    from ..training import read_model

    model = read_model(folder, NNUNET, NETWORK)
    if not answers_local(model):
        raise InputError(f"{folder} holds a network that does not answer about local recurrence")
    return model


def _ask(inputs: "Inputs", model: "Model", device: str, progress: Progress = silent) -> "np.ndarray":
    """The probability of each voxel (z, y, x), by either kind of model."""
    from ..recurrence import predict
    from ..recurrence.nnunet.cases import of_inputs
    from ..recurrence.nnunet.predict import predict as predict_nnunet

    if model.about["kind"] == NETWORK:
        return predict(inputs, model, progress).probability
    return predict_nnunet(of_inputs(inputs, model.about["channels"]), model, device=device, progress=progress)


def predict(args: argparse.Namespace, model: "Model", progress: Progress) -> dict[str, Any]:
    """The probability of a patient on the grid of the results, and whether he counts as positive."""
    import numpy as np

    from ..files import staged, write_json
    from ..images import Grid, array, boolean, read_image, resample, write_image
    from ..recurrence.nnunet.predict import MEANS, verdict
    from ..recurrence.output import PROBABILITY, RECORD
    from ..recurrence.results import read_local

    about = model.about
    inputs = read_local(args.results, grid_mm=about["grid_mm"])
    probability = _ask(inputs, model, _device(args), progress)
    found = verdict(probability, _threshold(args, model), args.min_voxels)
    record = {
        "model": about["kind"],
        "means": MEANS,
        "channels": about.get("channels", list(inputs.images)),
        "threshold": _threshold(args, model),
        "min_voxels": args.min_voxels,
        "grid_mm": about["grid_mm"],
        **vars(found),
        "weights_sha256": about["weights_sha256"],
    }
    with staged(args.out) as folder:
        brain = read_image(Path(args.results) / "lesions" / "brain.nii.gz")
        grid = Grid.of(brain)
        carried = array(resample(inputs.grid.image(probability), grid))
        values = np.where(boolean(brain), carried, 0).clip(0, 1).astype(np.float32)
        write_image(grid.image(values), folder / f"{PROBABILITY}.nii.gz", f"probability by {about['kind']}: {MEANS}")
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
    from ..recurrence.nnunet.judged import compared, reached
    from ..recurrence.nnunet.predict import verdict
    from ..recurrence.results import read_local, result_folders

    folders = result_folders(args.cases)
    models = [model, *([other] if other else [])]
    device = _device(args)
    recurred: list[bool] = []
    verdicts: list[list[Verdict]] = [[] for _ in models]
    for i, folder in enumerate(folders):
        progress(i / len(folders), folder.name)
        for m, said in zip(models, verdicts):
            inputs = read_local(folder, True, m.about["grid_mm"])
            said.append(verdict(_ask(inputs, m, device), _threshold(args, m), args.min_voxels))
        recurred.append(inputs.target is not None and bool(inputs.target.any()))
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
