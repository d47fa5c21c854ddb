"""Times to an event from any table: ``survival fit``, ``survival score``."""

import argparse
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..recurrence.survival.settings import PUBLISHED, SHIPPED, SurvivalSettings, unit_of
from ..settings import add_options
from ..steps import Progress

if TYPE_CHECKING:
    from ..recurrence.survival.model import RiskScore

TABLE = "CSV with a line of column names; commas, semicolons or tabs, decimal points or commas"


def register(add: Callable) -> None:
    """Add ``survival fit`` and ``survival score``."""
    p = add(
        "survival fit",
        "Cox's model or a Cox-LASSO score of any table of patients, with Kaplan-Meier curves, log-rank test and forest plot",
    )
    p.add_argument("table", metavar="TABLE.csv", help=TABLE)
    p.add_argument(
        "--time", required=True, metavar="COL", help="column of the times to the event or to the last follow-up"
    )
    p.add_argument(
        "--event",
        required=True,
        metavar="COL",
        help="column that says whether the event happened: 0/1, no/yes, alive/dead",
    )
    p.add_argument(
        "--covariates",
        required=True,
        type=names_given,
        metavar="A,B",
        help="columns of the covariates, numbers or categories; CE_* stands for all whose name begins so",
    )
    add_options(p, SurvivalSettings, "event_value")
    p.add_argument(
        "--categories",
        type=names_given,
        default=(),
        metavar="A,B",
        help="columns of numbers that stand for categories, such as a code of the centre",
    )
    p.add_argument(
        "--reference",
        dest="references",
        action="append",
        type=_pair,
        default=[],
        metavar="COL=CATEGORY",
        help="the category that others of its column are compared with (default: one that says that something is absent, such as no or "
        "wildtype, else the first by name); may be given again",
    )
    add_options(p, SurvivalSettings, "unit", "group")
    p.add_argument(
        "--without",
        type=names_given,
        default=(),
        metavar="A,B",
        help="columns, each of which is left out of a model of its own, with a forest plot",
    )
    add_options(p, SurvivalSettings, "lasso", "penalty", "folds", "seed")
    p.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for survival.json, tables, pictures, and model/ for `survival score`",
    )
    p.set_defaults(run=_fit)
    p = add(
        "survival score",
        "the risk score of a fitted model, or one that a paper prints, for each row of another table; with --time and --event, how well "
        "it tells who has the event earlier",
    )
    p.add_argument("table", metavar="TABLE.csv", help=TABLE)
    p.add_argument(
        "--model",
        required=True,
        metavar="MODEL",
        help=f"the folder model/ that `survival fit` wrote, the score of a paper: {', '.join(PUBLISHED)}, or {SHIPPED}, "
        "which is shipped and was fitted to radiomic features of simulated patients",
    )
    p.add_argument(
        "--scale",
        choices=("table", "zscored"),
        help="for a paper's score, which takes z-scores and brings no scaler. table: with means and SDs of this table; zscored: the "
        "values are z-scores",
    )
    p.add_argument("--time", metavar="COL", help="column of the times, where known")
    p.add_argument("--event", metavar="COL", help="column of the events, where known")
    add_options(p, SurvivalSettings, "event_value", "unit")
    p.add_argument(
        "--out", required=True, metavar="DIR", help="folder for scored.csv, survival.json, kaplan_meier.csv and .png"
    )
    p.set_defaults(run=_score)


def names_given(text: str) -> tuple[str, ...]:
    """Names of columns between commas, an option's."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise argparse.ArgumentTypeError("names no column")
    return names


def _pair(text: str) -> tuple[str, str]:
    column, equals, category = (part.strip() for part in text.partition("="))
    if not (column and equals and category):
        raise argparse.ArgumentTypeError(f"{text!r} is not COL=CATEGORY")
    return column, category


def _fit(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..errors import require
    from ..files import staged, write_json
    from ..recurrence.survival.fit import fit
    from ..recurrence.survival.output import record_of, write_fit
    from ..recurrence.survival.table import read_table
    from ..steps import provenance

    begun = time.monotonic()
    settings = SurvivalSettings(**{n: getattr(args, n) for n in SurvivalSettings.__dataclass_fields__})
    if not settings.lasso:
        require("lifelines", "Cox regression")
    found = fit(read_table(args.table), args.time, args.event, args.covariates, settings, progress)
    record = record_of(found, args.time, args.event, settings)
    with staged(args.out) as folder:
        write_fit(found, record, _said(args), folder)
        write_json(
            folder / "provenance.json",
            provenance("survival fit", settings, {"table": args.table}, time.monotonic() - begun, command=_said(args)),
        )
        files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {"out": args.out, "files": files, **record}


def _said(args: argparse.Namespace) -> str:
    """The command without the table's path, which may hold a name."""
    words = [
        "gliosuite survival fit TABLE.csv --time",
        args.time,
        "--event",
        args.event,
        "--covariates",
        ",".join(args.covariates),
    ]
    for name in ("event_value", "unit", "group"):
        words += [f"--{name.replace('_', '-')}", getattr(args, name)] if getattr(args, name) else []
    for name in ("categories", "without"):
        words += [f"--{name}", ",".join(getattr(args, name))] if getattr(args, name) else []
    for column, category in args.references:
        words += ["--reference", f"{column}={category}"]
    if args.lasso:
        words += ["--lasso --penalty", args.penalty, "--folds", str(args.folds), "--seed", str(args.seed)]
    return " ".join(f"'{w}'" if set(w) & set(" *?[") and not w.startswith(("gliosuite", "--")) else w for w in words)


def _score(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    import warnings

    from ..files import staged, write_json
    from ..recurrence.survival.output import write_scored
    from ..recurrence.survival.scored import judged, scored
    from ..recurrence.survival.table import read_table
    from ..steps import provenance

    begun = time.monotonic()
    if (args.time is None) != (args.event is None):
        raise InputError("--time and --event are needed together")
    table, score = read_table(args.table), _read(args)
    made = scored(table, score, args.scale)
    for note in made.notes:
        warnings.warn(note, stacklevel=1)
    record = made.record()
    with staged(args.out) as folder:
        if args.time is not None:
            record |= judged(
                made, table, args.time, args.event, args.event_value, args.unit or unit_of(args.time), folder
            )
        write_scored(made.score, table.columns, made.values, folder)
        write_json(folder / "survival.json", record)
        write_json(
            folder / "provenance.json",
            provenance(
                "survival score",
                {"model": made.score.about, "scale": args.scale},
                {"table": args.table},
                time.monotonic() - begun,
            ),
        )
        files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {"out": args.out, "files": files, **record}


def _read(args: argparse.Namespace) -> "RiskScore":
    from ..recurrence.survival.model import KIND, published, score_of, shipped
    from ..training import read_model

    if args.model in PUBLISHED:
        return published(args.model)
    if args.model == SHIPPED and args.scale is None:
        return shipped()
    if args.scale is not None:
        raise InputError(
            f"--scale is for scores of papers ({', '.join(PUBLISHED)}); {args.model} brings its own scaler"
        )
    return score_of(read_model(args.model, KIND), args.model)
