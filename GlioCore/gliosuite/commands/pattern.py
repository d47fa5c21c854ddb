"""Local and distant recurrence from tables of radiomic features: ``pattern train``, ``pattern predict``, ``pattern simulate``."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..recurrence.patterns.settings import FEATURES, RECURRENCE, SHIPPED, PatternSettings
from ..settings import add_options
from ..steps import Progress
from .survival import TABLE, names_given


def register(add: Callable) -> None:
    """Add ``pattern train``, ``pattern predict`` and ``pattern simulate``."""
    p = add(
        "pattern train",
        "train a model of local or distant recurrence on a table of radiomic features; judge it on held-out patients (Shim et al. 2021)",
        description="Train a classifier of any outcome that a table of features holds: z-score, recursive elimination by a linear SVM, "
        "oversampling of the smaller class and a classifier, all inside each fold of a cross-validation.",
    )
    p.add_argument("table", metavar="TABLE.csv", help=TABLE)
    p.add_argument(
        "--outcome",
        required=True,
        metavar="COL",
        help=f"column that says whether a patient has the outcome, e.g. {RECURRENCE[0]}: 0/1, no/yes",
    )
    add_options(p, PatternSettings, "positive")
    p.add_argument(
        "--features",
        type=names_given,
        default=FEATURES,
        metavar="A,B",
        help=f"columns of the features; CE_* stands for all whose name begins so (default {','.join(FEATURES)})",
    )
    add_options(p, PatternSettings, "kind", "patients")
    p.add_argument(
        "--recurrence",
        type=names_given,
        default=RECURRENCE,
        metavar="A,B",
        help=f"columns that tell who recurred: one of them is 1 (default {','.join(RECURRENCE)})",
    )
    add_options(p, PatternSettings, "select", "folds", "seed", "steps")
    p.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for pattern.json, held_out.csv, shapley.csv, pictures, and model/ for `pattern predict`",
    )
    p.set_defaults(run=_train)
    p = add(
        "pattern predict",
        "the probability of an outcome for each row of a table of radiomic features, with what drove it",
        description="Predict with a trained model. With --outcome it is judged, too.",
    )
    p.add_argument("table", metavar="TABLE.csv", help=f"{TABLE}; `gliosuite radiomics` writes one of one row")
    p.add_argument(
        "--model-folder",
        required=True,
        metavar="MODEL",
        help=f"the folder model/ of `pattern train`, or a model that is shipped (trained on simulated patients): {', '.join(SHIPPED)}",
    )
    p.add_argument("--outcome", metavar="COL", help="column of the outcome, where known")
    add_options(p, PatternSettings, "positive")
    p.add_argument(
        "--out", required=True, metavar="DIR", help="folder for predictions.csv, pattern.json, shapley.csv and pictures"
    )
    p.set_defaults(run=_predict)
    p = add(
        "pattern simulate",
        "a table of features and outcomes of simulated patients, such as the shipped models were trained on",
    )
    p.add_argument("--patients", type=int, default=190, metavar="N", help="how many (default 190)")
    p.add_argument(
        "--first-patient", type=int, default=1860000, metavar="SEED", help="seed of the first (default 1860000)"
    )
    p.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for table.csv, and a file for each patient: a stopped run goes on",
    )
    p.set_defaults(run=_simulate)


def _train(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..files import staged, write_json
    from ..recurrence.patterns.evaluate import train
    from ..recurrence.patterns.model import about_of
    from ..recurrence.patterns.output import write_trained
    from ..recurrence.patterns.patients import patients
    from ..recurrence.survival.table import read_table
    from ..steps import part, provenance

    begun = time.monotonic()
    settings = PatternSettings(**{n: getattr(args, n) for n in PatternSettings.__dataclass_fields__})
    table = read_table(args.table)
    given = patients(table, args.outcome, args.features, settings)
    made = train(given.x, given.y, given.names, settings, part(progress, 0.02, 0.95))
    about = about_of(made, given, args.outcome, settings)
    about |= {"simulated": table.is_simulated(), "command": _said(args)}
    with staged(args.out) as folder:
        write_trained(made, given, about, table, folder)
        record = provenance(
            "pattern train", settings, {"table": args.table}, time.monotonic() - begun, command=_said(args)
        )
        write_json(folder / "provenance.json", record)
        files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {"out": args.out, "files": files, **about}


def _said(args: argparse.Namespace) -> str:
    """The command without the table's path, which may hold a name."""
    words = ["gliosuite pattern train TABLE.csv --outcome", args.outcome]
    for name, usual in (("features", FEATURES), ("recurrence", RECURRENCE)):
        words += [f"--{name}", "'" + ",".join(getattr(args, name)) + "'"] if getattr(args, name) != usual else []
    words += ["--positive", args.positive] if args.positive else []
    for name in ("kind", "patients", "select", "folds", "seed", "steps"):
        words += [f"--{name}", str(getattr(args, name))]
    return " ".join([*words, "--out MODEL"])


def _predict(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..files import staged, write_json
    from ..recurrence.patterns.model import read_pattern
    from ..recurrence.patterns.output import write_predicted
    from ..recurrence.survival.table import read_table
    from ..steps import provenance

    begun = time.monotonic()
    table, model = read_table(args.table), read_pattern(args.model_folder)
    progress(0.2, "predicting")
    with staged(args.out) as folder:
        record = write_predicted(model, table, args.outcome, args.positive, folder)
        write_json(
            folder / "provenance.json",
            provenance(
                "pattern predict",
                {"model": model.about["weights_sha256"], "outcome": args.outcome},
                {"table": args.table},
                time.monotonic() - begun,
            ),
        )
        files = sorted(p.name for p in folder.iterdir())
    return {"out": args.out, "files": files, **record}


def _simulate(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..errors import InputError
    from .textured import simulated

    if args.patients < 1 or args.first_patient < 0:
        raise InputError(
            f"{args.patients} patients from seed {args.first_patient} were asked for; 1 at least from 0 or more are needed"
        )
    return {"table": simulated(args.patients, args.first_patient, Path(args.out), progress)}
