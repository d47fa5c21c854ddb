"""Maps refined by a network, and its training: ``synthesize predict``, ``synthesize train``."""

import argparse
from collections.abc import Callable
from pathlib import Path

from ..errors import InputError, option
from ..files import staged
from ..perfusion.settings import POPULATION_AIFS, SynthesisTraining
from ..settings import add_options
from ..steps import Progress, part
from .perfusion import dce_series_options, fitted_series, written
from .series import format_option, region_option

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
    add_options(p, SynthesisTraining, "seed", "series", "voxels", "members", "width", "steps", "batch")
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
    from ..perfusion.synthesis.examples import examples
    from ..perfusion.synthesis.train import card, train_posterior
    from ..simulate.curves import draw_curves
    from ..training import write_model

    if args.device not in ("auto", "cpu", "cuda"):
        raise InputError(f"{option('--device')} is {args.device}; auto, cpu or cuda is needed")
    names = ("seed", "series", "voxels", "members", "width", "steps", "batch")
    settings = SynthesisTraining(**{name: getattr(args, name) for name in names})
    out = Path(args.out)
    model = train_posterior(
        lambda rng, n: examples(draw_curves(rng, n), rng), settings, out / "training", args.device == "cuda", progress
    )
    command = " ".join(["gliosuite synthesize train", *(f"--{name} {getattr(args, name)}" for name in names)])
    model.about["command"] = command
    write_model(out / "model", model, card(model))
    return {"out": str(out / "model"), "held_out_loss": model.about["held_out_loss"], "command": command}
