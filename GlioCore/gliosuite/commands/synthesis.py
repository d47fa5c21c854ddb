"""Maps refined by a network, and its training: ``synthesize predict``, ``synthesize train``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, option
from ..files import staged
from ..perfusion.settings import POPULATION_AIFS, Lyoo2025Training, SynthesisTraining
from ..settings import add_options, settings_of
from ..steps import Progress, part
from .perfusion import dce_series_options, fitted_series, written
from .series import format_option, region_option

if TYPE_CHECKING:
    from ..perfusion.synthesis.lyoo2025.cases import Labelled
    from ..training import Model

_NO_AIF = "none"


def register(add: Callable) -> None:
    """Add ``synthesize predict`` and ``synthesize train``."""
    p = add(
        "synthesize predict",
        "ktrans, ve, vp and delay with their uncertainty: the fit of a DCE series refined by a network trained on simulated patients",
    )
    dce_series_options(p)
    p.add_argument("--model-folder", metavar="DIR", help="of `gliosuite synthesize train` (default: the shipped model)")
    format_option(p)
    p.add_argument(
        "--out", required=True, metavar="DIR", help="folder for maps, *_sd, *_lower, *_upper, synthesis.json"
    )
    region_option(p)
    p.set_defaults(run=_predict)
    p = add(
        "synthesize train",
        "train the network of `synthesize predict` on simulated curves; a run that was stopped goes on where it was",
    )
    p.add_argument("--model", choices=_TRAINED, default=next(iter(_TRAINED)), help="which network to train (default posterior)")
    add_options(p, SynthesisTraining, "seed", *_POSTERIOR[1:])
    add_options(p, Lyoo2025Training, *_LYOO2025[1:])
    p.add_argument(
        "--out", required=True, metavar="DIR", help="folder for the model; what a stopped run left lies in it"
    )
    p.set_defaults(run=_train)


def _predict(args: argparse.Namespace, progress: Progress) -> dict:
    from ..perfusion.synthesis import KIND, Fitted, posterior
    from ..perfusion.synthesis.output import write
    from ..training import read_model

    model = read_model(args.model_folder, KIND) if args.model_folder else None
    if args.aif == _NO_AIF:
        args.aif = POPULATION_AIFS[0]
    # A population's AIF does not say when the bolus came.
    args.delay = True if args.delay is None else args.delay
    result, still, regions = fitted_series(args, part(progress, 0.0, 0.9))
    fitted = Fitted.of(result)
    made = posterior(fitted, model, part(progress, 0.9, 1.0))
    with staged(args.out) as folder:
        record = write(made, fitted, folder, args.format, regions, args.max_uncertainty)
        fit = written(args, result, still, regions, folder / "fitted")
        files = sorted(p.name for p in folder.iterdir())
    return {
        "out": args.out,
        "files": files,
        **{key: record[key] for key in ("model", "units", "medians", "outside_share")},
        "aif": fit["aif"],
        "notes": [*record["notes"], *fit["notes"]],
    }


def _train(args: argparse.Namespace, progress: Progress) -> dict:
    from ..training import write_model

    if args.device not in ("auto", "cpu", "cuda"):
        raise InputError(f"{option('--device')} is {args.device}; auto, cpu or cuda is needed")
    names, trained = _TRAINED[args.model]
    out = Path(args.out)
    model, card = trained({name: getattr(args, name) for name in names}, out / "training", args.device == "cuda", progress)
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
