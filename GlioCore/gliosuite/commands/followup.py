"""What follow-up tells of voxels: ``recurrence classes`` and ``recurrence forest``; the tables and pictures of ``recurrence evaluate``."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..recurrence.followup.settings import ClassSettings, ForestSettings
from ..settings import add_options, settings_of
from ..steps import Progress, part

if TYPE_CHECKING:
    import numpy as np

    from ..recurrence import Inputs
    from ..recurrence.followup.classes import Followed
    from ..recurrence.followup.outcomes import Outcomes

_OUTCOMES = (
    "table with a row for each case: id (as its results folder is named), and pfs_days, pfs_event, os_days, os_event, treatment where "
    "known"
)


def register(add: Callable) -> None:
    """Add ``recurrence classes`` and ``recurrence forest``."""
    p = add(
        "recurrence classes",
        "what became of each voxel at progression (normal-appearing, non-enhancing, enhancing), what the images held there before, and "
        "whether that differs; with box plots",
    )
    cases(p)
    add_options(p, ClassSettings, *settings_of(ClassSettings))
    p.add_argument(
        "--out", required=True, metavar="DIR", help="folder for medians.csv, tests.csv, classes.json, classes.png"
    )
    p.set_defaults(run=_classes)
    p = add(
        "recurrence forest",
        "random forests that foresee, voxel by voxel, which tissue will enhance or become lesion: AUC on patients that a forest has not "
        "seen, early and late progression, importances of the images",
    )
    cases(p)
    outcomes(p, "with pfs_days, early and late progression are foreseen apart too")
    add_options(p, ForestSettings, *settings_of(ForestSettings))
    p.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for forest.csv, importances.csv, forest.json, roc.png, importances.png",
    )
    p.set_defaults(run=_forest)


def cases(p: argparse.ArgumentParser) -> None:
    """Add the option of a folder of results whose progression is known."""
    p.add_argument(
        "--cases",
        required=True,
        metavar="DIR",
        help="a folder of results folders of `gliosuite run`, a patient each, with a progression",
    )


def outcomes(p: argparse.ArgumentParser, what_for: str) -> None:
    """Add the option of a table of outcomes."""
    p.add_argument("--outcomes", metavar="TABLE.csv", help=f"{_OUTCOMES}; {what_for}")


def _followed(cases: str, progress: Progress) -> "list[Followed]":
    from ..recurrence.followup.classes import read_followed
    from ..recurrence.results import result_folders

    folders = result_folders(cases)
    found = []
    for i, folder in enumerate(folders):
        progress(i / len(folders), folder.name)
        found.append(read_followed(folder))
    return found


def _classes(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    import numpy as np

    from ..files import staged, write_csv, write_json
    from ..recurrence.drawing import drawn
    from ..recurrence.features import feature_of
    from ..recurrence.followup.classes import CLASSES, LEAST, compared, medians
    from ..recurrence.followup.pictures import draw_classes
    from ..recurrence.inputs import CHANNELS

    settings = ClassSettings(args.within_mm)
    patients = _followed(args.cases, part(progress, 0.0, 0.5))
    tables = []
    for i, patient in enumerate(patients):
        progress(0.5 + 0.5 * i / len(patients), patient.name)
        tables.append(medians(patient, settings.within_mm))
    values, counts = (np.stack(v) for v in zip(*tables))
    tests = compared(values)
    rows = [
        [
            p.name,
            c,
            feature_of(f),
            int(counts[i, j, k]),
            f"{values[i, j, k]:.6g}" if np.isfinite(values[i, j, k]) else "",
        ]
        for i, p in enumerate(patients)
        for j, c in enumerate(CLASSES)
        for k, f in enumerate(CHANNELS)
        if f in p.inputs.images
    ]
    record = {
        "patients": len(patients),
        "within_mm": settings.within_mm,
        "least_voxels": LEAST,
        "patients_with": {c: int((np.isfinite(values[:, j]).any(axis=1)).sum()) for j, c in enumerate(CLASSES)},
        "tests": tests,
        "notes": _notes(patients),
    }
    with staged(args.out) as folder:
        write_csv(folder / "medians.csv", ["case", "class", "feature", "voxels", "median"], rows)
        heads = list(tests[0]) if tests else ["feature", "first", "second"]
        write_csv(folder / "tests.csv", heads, [[_cell(t[h]) for h in heads] for t in tests])
        write_json(folder / "classes.json", record)
        drawn(lambda path: draw_classes(values, tests, path), folder / "classes.png")
    return {"out": args.out, **record}


def _notes(patients: "Sequence[Followed]") -> list[str]:
    none = [p.name for p in patients if not p.later["cel"].any()]
    some = ", ".join(none[:5]) + " ..." * (len(none) > 5)
    said = f"{len(none)} of {len(patients)} patients have no enhancing lesion at progression ({some})."
    return [said] if none else []


def _cell(value: Any) -> Any:
    import math

    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return value


def _forest(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    import numpy as np

    from ..files import staged, write_csv, write_json
    from ..recurrence.drawing import drawn as picture
    from ..recurrence.followup.forest import all_targets, drawn, importances, row
    from ..recurrence.followup.outcomes import read_outcomes
    from ..recurrence.followup.pictures import draw_importances, draw_roc
    from ..recurrence.results import result_folders

    settings = ForestSettings(**{n: getattr(args, n) for n in settings_of(ForestSettings)})
    days = None
    if args.outcomes:
        days = read_outcomes(args.outcomes, [f.name for f in result_folders(args.cases)]).pfs_days
        if days is None:
            raise InputError(f"{args.outcomes} has no pfs_days of all patients, by which early and late are told apart")
    patients = _followed(args.cases, part(progress, 0.0, 0.2))
    voxels, names, notes = drawn(patients, settings)
    found, missing = all_targets(voxels, days, settings, part(progress, 0.2, 1.0))
    notes += [*_notes(patients), *missing]
    rows = [row(j) for j in found]
    bars = [b for j in found for b in importances(j, names)]
    record = {
        "patients": len(patients),
        "settings": settings,
        "images": names,
        "median_days": None if days is None else float(np.median(days)),
        "forests": [r | {"least_voxels_of_a_leaf": j.leaf} for r, j in zip(rows, found)],
        "notes": notes,
    }
    with staged(args.out) as folder:
        for name, table in (("forest.csv", rows), ("importances.csv", bars)):
            write_csv(folder / name, list(table[0]), [[_cell(v) for v in r.values()] for r in table])
        write_json(folder / "forest.json", record)
        picture(lambda path: draw_roc(found, path), folder / "roc.png")
        if any(j.group == "all" for j in found):
            picture(lambda path: draw_importances(found, names, path), folder / "importances.png")
    return {"out": args.out, **record}


def write_evaluation(
    folder: Path,
    names: Sequence[str],
    patients: "Sequence[Inputs]",
    maps: "Sequence[np.ndarray]",
    rows: Sequence[dict[str, Any]],
    known: "Outcomes | None",
) -> dict[str, Any]:
    """Write what `judged` found: evaluation.csv, patients.csv, reliability.csv, evaluation.json, paired.png, reliability.png.

    Parameters
    ----------
    names
        Of the patients.
    maps
        Their probabilities (z, y, x).

    Returns
    -------
    dict
        What evaluation.json says.
    """
    from ..files import write_csv, write_json
    from ..recurrence.drawing import drawn
    from ..recurrence.ensemble import reliability
    from ..recurrence.followup.evaluated import evaluation, place
    from ..recurrence.followup.pictures import draw_paired, draw_reliability
    from .judged import COLUMNS, LESION, MODEL, SCHEMES, summary

    found = summary(rows)
    asked = [(m > 0) & ~p.masks["t2l"] for p, m in zip(patients, maps)]
    bins = reliability(
        [m[w] for m, w in zip(maps, asked)], [p.target[w] for p, w in zip(patients, asked) if p.target is not None]
    )
    found |= evaluation(rows, patients, MODEL, known) | {"reliability": bins}
    write_csv(
        folder / "evaluation.csv",
        ["case", "ctv", *COLUMNS],
        [[names[r["patient"]], r["ctv"], *(_cell(r[c]) for c in COLUMNS)] for r in rows],
    )
    columns = ("treatment", "pfs_days", "pfs_event", "os_days", "os_event")
    of = {c: v for c in columns if known is not None and (v := getattr(known, c)) is not None}
    places = [place(p) for p in patients]
    write_csv(
        folder / "patients.csv",
        ["case", *places[0], *of],
        [
            [n, *map(_cell, p.values()), *(v[i] if isinstance(v[i], str) else f"{float(v[i]):g}" for v in of.values())]
            for i, (n, p) in enumerate(zip(names, places))
        ],
    )
    write_csv(folder / "reliability.csv", list(bins[0]), [[_cell(v) for v in b.values()] for b in bins])
    write_json(folder / "evaluation.json", found)
    ctvs = [MODEL, *SCHEMES, LESION]
    drawn(lambda path: draw_paired(rows, ctvs, found["p_wilcoxon"], path), folder / "paired.png")
    drawn(lambda path: draw_reliability(bins, path), folder / "reliability.png")
    return found
