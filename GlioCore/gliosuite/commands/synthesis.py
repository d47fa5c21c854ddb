"""Maps refined by a network, and its training: ``synthesize predict``, ``synthesize train``."""

import argparse
from collections.abc import Callable
from functools import partial
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
    from collections.abc import Iterator

    from ..perfusion.synthesis.spatial_train import Head
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
    # The command with no options, so that those that were given can be told.
    p.set_defaults(run=_predict, bare=partial(p.parse_args, ["series", "--out", "folder"]))
    p = add(
        "synthesize train",
        "train a model of `synthesize predict` on simulated curves or patients; a run that was stopped goes on where it was",
    )
    p.add_argument("--model", choices=tuple(_TRAINED), default="posterior", help="what to train (default posterior)")
    add_options(p, SynthesisTraining, "seed", *_POSTERIOR[1:])
    add_options(p, Lyoo2025Training, *_LYOO2025[1:])
    p.add_argument(
        "--cases",
        metavar="DIR",
        help="a folder of case folders. lyoo2025 is trained on them: each DCE series is fitted, and its maps are the labels. Of the "
        "posterior, the shipped networks stay and their intervals are calibrated anew on these cases, which must be simulated",
    )
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
    unused = [n for n, v in vars(args.bare()).items() if n not in _OF_LYOO2025 and getattr(args, n) != v]
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
    from .labelled import folders

    if args.device not in ("auto", "cpu", "cuda"):
        raise InputError(f"{option('--device')} is {args.device}; auto, cpu or cuda is needed")
    if args.cases and args.model == "posterior":
        return _recalibrate(args, progress)
    names, trained = _TRAINED[args.model]
    out, settings = Path(args.out), {name: getattr(args, name) for name in names}
    cases = folders(args.cases) if args.cases else []
    if cases:
        settings["patients"] = len(cases)
    model, card = trained(
        settings, out / ("training-cases" if cases else "training"), args.device == "cuda", progress, cases
    )
    said = " ".join(f"--{name.replace('_', '-')} {settings[name]}" for name in names)
    command = f"gliosuite synthesize train --model {args.model} {said}"
    command += " --device cuda" * (args.device == "cuda") + f" --cases {args.cases}" * bool(cases)
    model.about["command"] = command
    write_model(out / "model", model, card(model))
    return {"out": str(out / "model"), "held_out_loss": model.about["held_out_loss"], "command": command}


# Cases to calibrate on, below which one whose AIF went wrong is more than a twentieth of them.
_FEW_CASES = 19


def _recalibrate(args: argparse.Namespace, progress: Progress) -> dict:
    """The shipped posterior with intervals calibrated on a folder of simulated cases."""
    from ..perfusion.synthesis import KIND
    from ..perfusion.synthesis.posterior import beyond, trained_within
    from ..perfusion.synthesis.spatial import GROUPS
    from ..perfusion.synthesis.train import card, recalibrate
    from ..training import read_model, write_model
    from ..training.model_folder import shipped
    from .heads import check_truth, own_example
    from .labelled import folders

    cases, left_out = folders(args.cases), {}
    for case in cases:
        check_truth(case)
    model = read_model(shipped(KIND), KIND)

    def heads() -> "Iterator[Head]":
        for i, case in enumerate(cases):
            progress(i / len(cases), f"{case.name}, {i + 1} of {len(cases)}")
            try:
                one = own_example(case)
                if beyond(one.voxels.told, *trained_within(model)).all():
                    raise InputError(f"{case.name} lies outside what the network was trained on, as a whole")
                yield one
            except InputError as error:  # or an artery that cannot be found, as happens in patients
                left_out[case.name] = str(error)
        if len(left_out) == len(cases):
            raise InputError(f"no case of {args.cases} can be used; the last: {next(reversed(left_out.values()))}")

    made = recalibrate(model, heads())
    used = len(cases) - len(left_out)
    command = f"gliosuite synthesize train --model {KIND} --cases {args.cases}"
    made.about["recalibrated"] = {"cases": used, "command": command}
    write_model(Path(args.out) / "model", made, card(made))
    few = f"{used} cases calibrate the intervals; with fewer than {_FEW_CASES}, one whose AIF went wrong decides how wide they are"
    notes = [few] if used < _FEW_CASES else []
    return {
        "out": str(Path(args.out) / "model"),
        "cases": used,
        "left_out": left_out,
        "sds_that_hold_95_percent": {
            n: dict(zip(GROUPS, v)) for n, v in made.about["tissue_intervals"]["0.95"].items()
        },
        "command": command,
        "notes": notes,
    }


def _train_posterior(
    settings: dict, folder: Path, cuda: bool, progress: Progress, cases: list[Path]
) -> "tuple[Model, Callable]":
    from ..perfusion.synthesis.examples import examples
    from ..perfusion.synthesis.train import card, train_posterior
    from ..simulate.curves import draw_curves
    from .heads import example

    series = lambda rng, n: examples(draw_curves(rng, n), rng)
    return train_posterior(series, SynthesisTraining(**settings), folder, cuda, progress, example), card


def _train_lyoo2025(
    settings: dict, folder: Path, cuda: bool, progress: Progress, cases: list[Path]
) -> "tuple[Model, Callable]":
    from ..perfusion.synthesis.lyoo2025.card import card
    from ..perfusion.synthesis.lyoo2025.train import train_lyoo2025
    from .labelled import fitted, simulated

    chosen = Lyoo2025Training(**settings)
    patient = (lambda i: fitted(cases[i])) if cases else (lambda i: simulated(chosen.seed, i))
    return train_lyoo2025(patient, chosen, folder, cuda, progress), card


# By model: the settings that make it, and what trains it.
_POSTERIOR = tuple(settings_of(SynthesisTraining))
_LYOO2025 = tuple(settings_of(Lyoo2025Training))
_TRAINED = {"posterior": (_POSTERIOR, _train_posterior), "lyoo2025": (_LYOO2025, _train_lyoo2025)}
