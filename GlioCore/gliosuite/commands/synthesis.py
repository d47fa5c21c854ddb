"""Maps refined by a network, and its training: ``synthesize predict``, ``synthesize train``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, option, require
from ..files import staged
from ..perfusion.settings import POPULATION_AIFS, Lyoo2025Training, SynthesisTraining
from ..settings import add_options, settings_of
from ..steps import Progress, part
from .perfusion import dce_series_options, fitted_series, written
from .series import format_option, mask_of, read, region_option, regions_of, steadied, times_of

if TYPE_CHECKING:
    from ..perfusion.synthesis.lyoo2025.cases import Labelled
    from ..training import Model

_NO_AIF = "none"


def register(add: Callable) -> None:
    """Add ``synthesize predict`` and ``synthesize train``."""
    p = add(
        "synthesize predict",
        "ktrans, ve and vp of a DCE series with their uncertainty by networks trained on simulated patients: a fit refined, or raw "
        "signal alone",
    )
    dce_series_options(p, kinetic=False)
    p.add_argument(
        "--model",
        choices=tuple(_TRAINED),
        default="posterior",
        help="posterior: refines the fit voxel by voxel; lyoo2025: the networks of Lyoo et al. 2025 on the raw signal, without AIF and T1, "
        "which need torch (default posterior)",
    )
    p.add_argument("--model-folder", metavar="DIR", help="of `gliosuite synthesize train` (default: the shipped model)")
    format_option(p)
    p.add_argument(
        "--out", required=True, metavar="DIR", help="folder for maps, *_sd, *_lower, *_upper, synthesis.json"
    )
    region_option(p)
    p.set_defaults(run=_predict, defaults={a.dest: a.default for a in p._actions})
    p = add(
        "synthesize train",
        "train a model of `synthesize predict` on simulated curves or patients; a run that was stopped goes on where it was",
    )
    p.add_argument("--model", choices=tuple(_TRAINED), default="posterior", help="what to train (default posterior)")
    add_options(p, SynthesisTraining, "seed", *_POSTERIOR[1:])
    add_options(p, Lyoo2025Training, *_LYOO2025[1:])
    p.add_argument(
        "--out", required=True, metavar="DIR", help="folder for the model; what a stopped run left lies in it"
    )
    p.set_defaults(run=_train)


def _predict(args: argparse.Namespace, progress: Progress) -> dict:
    return (_predict_lyoo2025 if args.model == "lyoo2025" else _predict_posterior)(args, progress)


def _predict_posterior(args: argparse.Namespace, progress: Progress) -> dict:
    from ..perfusion.synthesis import KIND, Fitted, posterior
    from ..perfusion.synthesis.output import write
    from ..training import read_model

    model = read_model(args.model_folder, KIND) if args.model_folder else None
    if args.aif == _NO_AIF:
        args.aif = POPULATION_AIFS[0]
    # A population's AIF does not say when the bolus came.
    args.delay = True if args.delay is None else args.delay
    # From here on the fit's model, which is the one that the network knows.
    args.model = "etm"
    result, still, regions = fitted_series(args, part(progress, 0.0, 0.9))
    fitted = Fitted.of(result)
    made = posterior(fitted, model, part(progress, 0.9, 1.0))
    with staged(args.out) as folder:
        record = write(made, fitted, folder, args.format, regions, args.max_uncertainty)
        fit = written(args, result, still, regions, folder / "fitted")
        files = sorted(p.name for p in folder.iterdir())
    return _said(args, files, record) | {"aif": fit["aif"], "notes": [*record["notes"], *fit["notes"]]}


# What `lyoo2025` has a use for beside what places and what all commands take.
_OF_LYOO2025 = {
    *("series", "times", "dt", "tr_ms", "flip_angle", "mask", "motion", "allow_invalid_voxels", "baseline", "arrival"),
    *(
        "input",
        "model",
        "model_folder",
        "format",
        "out",
        "regions",
        "max_uncertainty",
        "device",
        "threads",
        "quiet",
        "progress",
    ),
}


def _predict_lyoo2025(args: argparse.Namespace, progress: Progress) -> dict:
    from dataclasses import replace

    from ..compute import choose_device
    from ..perfusion.settings import DceSettings, check_known
    from ..perfusion.synthesis.lyoo2025 import KIND, lyoo2025
    from ..perfusion.synthesis.lyoo2025.networks import PURPOSE
    from ..perfusion.synthesis.output import write
    from ..training import read_model

    require("torch", f"{PURPOSE} (or take {option('--model')} posterior, which needs none)")
    model = read_model(args.model_folder, KIND) if args.model_folder else None
    device = choose_device(args.device).place or "cpu"
    series, acquisition = read(args.series)
    known = lambda name, key: getattr(args, name) if getattr(args, name) is not None else acquisition.get(key)
    settings = DceSettings(
        tr_ms=known("tr_ms", "tr_ms"),
        flip_angle_deg=known("flip_angle", "flip_angle_deg"),
        input=args.input,
        allow_invalid_voxels=args.allow_invalid_voxels,
        baseline=args.baseline,
        arrival_s=args.arrival,
    )
    told = [name for name in ("tr_ms", "flip_angle_deg") if getattr(settings, name) is not None]
    times = times_of(args, series, acquisition)
    check_known(settings, series, *told)
    regions, mask = regions_of(args, series), mask_of(args.mask, series)
    still = steadied(args, series, part(progress, 0.0, 0.4))
    made = lyoo2025(still.series, times, settings, mask, model, device, part(progress, 0.4, 1.0))
    unused = [n for n, v in args.defaults.items() if n not in _OF_LYOO2025 and getattr(args, n, v) != v]
    if unused:
        flags = ", ".join("--" + name.replace("_", "-") for name in unused)
        made.notes.append(f"without effect on {KIND}, which needs neither AIF nor T1: {flags}")
    made = replace(made, notes=[*still.notes, *made.notes], record={**made.record, **still.record})
    with staged(args.out) as folder:
        still.write(folder)
        record = write(made, None, folder, args.format, regions, args.max_uncertainty)
        files = sorted(p.name for p in folder.iterdir())
    return _said(args, files, record) | {"notes": record["notes"]}


def _said(args: argparse.Namespace, files: list[str], record: dict) -> dict:
    shown = ("model", "units", "medians", "outside_share")
    return {"out": args.out, "files": files, **{key: record[key] for key in shown}}


def _train(args: argparse.Namespace, progress: Progress) -> dict:
    from ..training import write_model

    if args.device not in ("auto", "cpu", "cuda"):
        raise InputError(f"{option('--device')} is {args.device}; auto, cpu or cuda is needed")
    names, trained = _TRAINED[args.model]
    out = Path(args.out)
    model, card = trained(
        {name: getattr(args, name) for name in names}, out / "training", args.device == "cuda", progress
    )
    said = " ".join(f"--{name.replace('_', '-')} {getattr(args, name)}" for name in names)
    command = f"gliosuite synthesize train --model {args.model} {said}" + " --device cuda" * (args.device == "cuda")
    model.about["command"] = command
    write_model(out / "model", model, card(model))
    return {"out": str(out / "model"), "held_out_loss": model.about["held_out_loss"], "command": command}


def _train_posterior(settings: dict, folder: Path, cuda: bool, progress: Progress) -> "tuple[Model, Callable]":
    from ..perfusion.synthesis.examples import examples
    from ..perfusion.synthesis.train import card, train_posterior
    from ..simulate.curves import draw_curves

    series = lambda rng, n: examples(draw_curves(rng, n), rng)
    return train_posterior(series, SynthesisTraining(**settings), folder, cuda, progress), card


def _train_lyoo2025(settings: dict, folder: Path, cuda: bool, progress: Progress) -> "tuple[Model, Callable]":
    from ..perfusion.synthesis.lyoo2025.card import card
    from ..perfusion.synthesis.lyoo2025.train import train_lyoo2025

    chosen = Lyoo2025Training(**settings)
    return train_lyoo2025(lambda i: _patient(chosen.seed, i), chosen, folder, cuda, progress), card


# Seeds of the patients that the first seed trains on, and how far on those of the next lie. Chosen: away from all that tests and
# benches make, development's from 1 250 000 on among them.
_PATIENTS, _APART = 1_200_000, 1_000_000
# What differs from one scan to the next; chosen: white matter's signal over the noise, and when the contrast agent comes, s.
_SNR, _ARRIVAL_S = (15.0, 35.0), (20.0, 45.0)
_GRID_MM = 1.875  # as the DCE series' voxels are wide
_LESION = ("cel", "necrosis", "oedema")


def _patient(seed: int, i: int) -> "Labelled":
    """The i-th simulated patient to train `lyoo2025` on; its motion is left out, as it is corrected before the networks are used."""
    import numpy as np

    from ..images import Grid, array
    from ..perfusion.synthesis.lyoo2025.cases import NAMES, Labelled
    from ..simulate.acquisition import CLASSES, Effects
    from ..simulate.cohort import simulate_case
    from ..simulate.protocols import DEFAULT, changed

    own = _PATIENTS + _APART * (seed - 1) + i
    rng = np.random.default_rng(own)
    protocols = changed(DEFAULT, (f"dce.snr={rng.uniform(*_SNR):.2f}", f"dce.arrival_s={rng.uniform(*_ARRIVAL_S):.2f}"))
    made = simulate_case(
        own, grid_mm=_GRID_MM, scans=("dce",), effects=Effects.without(("motion",)), protocols=protocols
    )
    tissue = made.truth["dce_tissue"]
    lesion = np.isin(array(tissue), [CLASSES.index(name) + 1 for name in _LESION])
    maps = {name: made.truth[f"dce_{name}"] for name in NAMES}
    times = made.case.acquisition("dce")["times_s"]
    return Labelled(made.case.series("dce"), times, maps, Grid.of(tissue).image(lesion))


# By model: the settings that make it, and what trains it.
_POSTERIOR = ("seed", "series", "voxels", "members", "width", "steps", "batch")
_LYOO2025 = tuple(settings_of(Lyoo2025Training))
_TRAINED = {"posterior": (_POSTERIOR, _train_posterior), "lyoo2025": (_LYOO2025, _train_lyoo2025)}
