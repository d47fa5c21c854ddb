"""``recurrence train`` and ``recurrence search``: models of where a glioma recurs, on results of runs or on simulated patients."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, option
from ..recurrence.nnunet.settings import NNUNET, NnunetTraining
from ..recurrence.settings import (
    BASE_CUDA,
    LOCAL,
    LOSS_LOCAL,
    NETWORK,
    VOXELWISE,
    NetworkTraining,
    Training,
    VoxelwiseTraining,
)
from ..settings import add_options, settings_of
from ..steps import Progress, part
from . import local

if TYPE_CHECKING:
    from ..recurrence import Inputs
    from ..recurrence.ensemble import Grown

_SETTINGS: dict[str, type[Training] | type[NnunetTraining]] = {
    VOXELWISE: VoxelwiseTraining,
    NETWORK: NetworkTraining,
    NNUNET: NnunetTraining,
}
KINDS = tuple(_SETTINGS)
KIND_HELP = (
    "voxelwise: boosted trees, voxel by voxel; network: a 3D U-Net after Tran et al. 2025, which needs torch; nnunet: nnU-Net, for local "
    "recurrence inside the lesion that does not enhance, after Yoon et al. 2024, which needs nnunetv2 (default voxelwise)"
)
_COMMON = tuple(settings_of(Training))
_SEARCHED = ("base", "learning_rate", "batch")
_NOT_SEARCHED = ("target", "channels")  # a search is for progression from all images


def register(add: Callable) -> None:
    """Add ``recurrence train`` and ``recurrence search``."""
    p = add(
        "recurrence train",
        "train a model of where a glioma recurs, on results of `gliosuite run` with a follow-up or on simulated patients; a run that was "
        "stopped goes on where it was",
    )
    p.add_argument("--kind", choices=KINDS, default=VOXELWISE, help=KIND_HELP)
    _patients(p)
    there = set(_COMMON)
    for cls in _SETTINGS.values():
        for name, one in settings_of(cls).items():
            if name in there:
                continue
            there.add(name)
            kinds = [k for k, c in _SETTINGS.items() if name in settings_of(c)]
            add_options(p, cls, name, unset=True, help=f"{' and '.join(kinds)}: {one.help}")
    p.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for the model, held-out figures, and what a stopped run left",
    )
    p.set_defaults(run=_train)
    p = add(
        "recurrence search",
        "look for base features, learning rate and batch of the recurrence network: a grid, then random trials between the neighbours of "
        "its best; each is judged on patients that it does not learn from (Tversky index .02, .98)",
    )
    _patients(p)
    apart = (*_COMMON, *_SEARCHED, *_NOT_SEARCHED)
    add_options(p, NetworkTraining, *(n for n in settings_of(NetworkTraining) if n not in apart))
    p.add_argument("--bases", type=_several(int), default=(8, 16), metavar="N,...", help="of the grid (default 8,16)")
    p.add_argument(
        "--learning-rates",
        type=_several(float),
        default=(5e-4, 2e-3, 8e-3),
        metavar="R,...",
        help="of the grid (default 5e-4,2e-3,8e-3)",
    )
    p.add_argument("--batches", type=_several(int), default=(1,), metavar="N,...", help="of the grid (default 1)")
    p.add_argument("--trials", type=int, default=30, metavar="N", help="random trials after the grid (default 30)")
    p.add_argument(
        "--out", required=True, metavar="DIR", help="folder for search.csv, search.json, and what a stopped search left"
    )
    p.set_defaults(run=_search)


def _patients(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--cases",
        metavar="DIR",
        help="a folder of results folders of `gliosuite run`, a patient each, with a progression (default: simulated patients)",
    )
    add_options(p, Training, *(n for n in _COMMON if n != "grid_mm"), unset=True)
    add_options(p, Training, "grid_mm", unset=True, more=f"; {NNUNET} 1")


def _several(kind: type) -> Callable[[str], tuple[Any, ...]]:
    def read(text: str) -> tuple[Any, ...]:
        try:
            return tuple(sorted({kind(v) for v in text.split(",")}))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as '8,16'") from None

    return read


def _settings(args: argparse.Namespace) -> Training | NnunetTraining:
    """The settings of the kind that is asked for.

    Raises
    ------
    InputError
        If an option of another kind is given.
    """
    own = settings_of(_SETTINGS[args.kind])
    for cls in _SETTINGS.values():
        for name, one in settings_of(cls).items():
            if name not in own and getattr(args, name) is not None:
                kinds = " and ".join(k for k, c in _SETTINGS.items() if name in settings_of(c))
                raise InputError(f"{option(one.flag)} is for --kind {kinds}, and {args.kind} is trained")
    given = {n: v for n in own if (v := getattr(args, n)) is not None}
    if args.kind == NETWORK and _cuda(args):
        given.setdefault("base", BASE_CUDA)
    if given.get("target") == LOCAL:
        given.setdefault("loss", LOSS_LOCAL)
    return _SETTINGS[args.kind](**given)


def _cuda(args: argparse.Namespace) -> bool:
    """Whether a network is to be trained on a CUDA device.

    Raises
    ------
    InputError
        If one is asked for and there is none.
    """
    from ..compute import choose_device

    return choose_device(args.device).place == "cuda"


def _train(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..recurrence.card import card
    from ..recurrence.ensemble import folds_of
    from ..training import Model, write_model
    from .judged import best_threshold, by_images, judged, summary

    settings, out = _settings(args), Path(args.out)
    if isinstance(settings, NnunetTraining):
        return local.train(args, settings, progress)
    if isinstance(settings, NetworkTraining) and settings.target == LOCAL:
        return local.train_network(args, settings, _cuda(args), progress)
    if isinstance(settings, VoxelwiseTraining) and args.device == "cuda":
        raise InputError(f"{option('--device')} cuda is for --kind {NETWORK}; trees are grown on the processor")
    notes: list[str] = []
    patients, said = _read_or_simulate(args, settings, out, part(progress, 0.0, 0.2))
    found = _grown(args, settings, patients, part(progress, 0.2, 0.9), notes)
    threshold = best_threshold(patients, found.held_out)
    rows = judged(patients, found.held_out, threshold, part(progress, 0.9, 0.95))
    about = found.about | {
        "simulated": not args.cases,
        "trained_on": said,
        "threshold": threshold,
        "figures": summary(rows),
        "command": _command(args, settings),
    }
    folds = folds_of(len(patients), settings.folds, settings.seed)
    about["by_images"] = by_images(patients, Model(found.weights, about), folds.tolist(), part(progress, 0.95, 1.0))
    model = Model(found.weights, about)
    write_model(out / "model", model, card(model))
    result = {"out": str(out / "model"), "threshold": threshold, **about["figures"], "command": about["command"]}
    return result | ({"notes": notes} if notes else {})


def _grown(
    args: argparse.Namespace, settings: Training, patients: "list[Inputs]", progress: Progress, notes: list[str]
) -> "Grown":
    if isinstance(settings, NetworkTraining):
        from ..recurrence.network.train import train_network

        return train_network(patients, settings, Path(args.out) / NETWORK, _cuda(args), progress, notes.append)
    from ..recurrence.train import grow

    assert isinstance(settings, VoxelwiseTraining)
    return grow(patients, settings, progress)


def _command(args: argparse.Namespace, settings: Training) -> str:
    kind = NETWORK if isinstance(settings, NetworkTraining) else VOXELWISE
    flags = " ".join(f"{one.flag} {getattr(settings, name)}" for name, one in settings_of(type(settings)).items())
    more = " --device cuda" * (kind == NETWORK and args.device == "cuda") + f" --cases {args.cases}" * bool(args.cases)
    return f"gliosuite recurrence train --kind {kind} {flags}{more}"


def _read_or_simulate(
    args: argparse.Namespace, settings: Training, out: Path, progress: Progress
) -> "tuple[list[Inputs], str]":
    """Patients with a progression, and what a card says of them."""
    from ..recurrence.results import read_results, result_folders

    if args.cases:
        patients = [read_results(f, True, settings.grid_mm) for f in result_folders(args.cases)]
        return patients, f"{len(patients)} cases of the user"
    patients = simulated(settings, out / "training", progress)
    return patients, f"{len(patients)} simulated patients"


def simulated(settings: Training, folder: Path, progress: Progress) -> "list[Inputs]":
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


def _search(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..files import write_csv, write_json
    from ..recurrence.network.search import search

    if args.trials < 0:
        raise InputError(f"{option('--trials')} is {args.trials}; 0 or more are needed")
    names = [n for n in settings_of(NetworkTraining) if n not in (*_SEARCHED, *_NOT_SEARCHED)]
    settings = NetworkTraining(**{n: v for n in names if (v := getattr(args, n)) is not None})
    out, cuda = Path(args.out), _cuda(args)
    patients, _said = _read_or_simulate(args, settings, out, part(progress, 0.0, 0.2))
    grid = (args.bases, args.learning_rates, args.batches)
    trials = search(patients, settings, grid, args.trials, out / "trials", cuda, part(progress, 0.2, 1.0))
    best = max(trials, key=lambda t: t.tversky)
    write_csv(
        out / "search.csv",
        ["trial", *_SEARCHED, "epochs", "best_epoch", "tversky"],
        [
            [t.phase, *(f"{getattr(t.settings, n):g}" for n in _SEARCHED), t.epochs, t.best_epoch, f"{t.tversky:.6g}"]
            for t in trials
        ],
    )
    found = {n: getattr(best.settings, n) for n in _SEARCHED} | {
        "tversky": best.tversky,
        "trials": len(trials),
        "command": _command(args, best.settings),
    }
    write_json(out / "search.json", found)
    return {"out": args.out, **found}
