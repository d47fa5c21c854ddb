"""Patterns of DSC curves: ``habitats train``, ``habitats predict``, ``habitats cohort``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..perfusion.settings import DscSettings
from ..recurrence.habitats.settings import HabitatCohort, HabitatTraining
from ..settings import add_options, settings_of
from ..steps import Progress, part
from .series import motion_option

if TYPE_CHECKING:
    from ..images import Series
    from ..recurrence.habitats.curves import LesionCurves
    from ..recurrence.habitats.model import Pattern
    from ..recurrence.survival.fit import Group
    from ..training import Model

_TISSUES = ("artery", "gm", "wm", "csf")
CURVES, PICTURE = "curves.npz", "curves.png"


def register(add: Callable) -> None:
    """Add ``habitats train``, ``habitats predict`` and ``habitats cohort``."""
    p = add(
        "habitats train",
        "train a model of the patterns of DSC curves (Yun et al. 2023), on results of `gliosuite run` or on simulated patients",
    )
    p.add_argument(
        "--cases",
        metavar="DIR",
        help="a folder of results folders, a patient each, that hold habitats/curves.npz or curves.npz (default: simulated patients)",
    )
    add_options(p, HabitatTraining, *settings_of(HabitatTraining))
    p.add_argument("--out", required=True, metavar="DIR", help="folder for the model and what a stopped run left")
    p.set_defaults(run=_train)
    p = add(
        "habitats predict",
        "the pattern of each DSC curve in the enhancing and the non-enhancing lesion, by a model that was trained on others",
    )
    p.add_argument("series", metavar="DSC", help="4-D image (NIfTI, NRRD, MHA) or a DICOM folder, signal over time")
    p.add_argument(
        "--times", metavar="FILE", help="text file with one time in s per frame, or a CSV with a column time_s"
    )
    p.add_argument("--dt", type=float, metavar="S", help="frame interval in s, in place of --times")
    for name, text in (
        ("cel", "enhancing lesion, without necrosis"),
        ("nel", "non-enhancing lesion: the rest of the T2 lesion, without cavity"),
    ):
        p.add_argument(
            f"--{name}", required=True, metavar="MASK", help=f"{text}; on any grid, in the position of the series"
        )
    p.add_argument("--brain", default="brain", metavar="MASK", help="the brain (default: found on the series' mean)")
    p.add_argument("--adc", metavar="IMAGE", help="ADC in mm2/s, in the position of the series: supports the labels")
    for name, text in zip(_TISSUES, ("artery", "grey matter", "white matter, which curves are scaled by", "fluid")):
        p.add_argument(
            f"--{name}", metavar="MASK", help=f"reference tissue: {text} (default: found away from the lesion)"
        )
    add_options(p, DscSettings, "baseline", "arrival_s")
    p.add_argument("--model", metavar="DIR", help="of `gliosuite habitats train` (default: the shipped model)")
    p.add_argument(
        "--fit-here",
        action="store_true",
        help="fit the patterns on this patient alone, in place of a model; they are not comparable between patients",
    )
    motion_option(p)
    p.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for habitats.nii.gz with its colour table, patterns.csv, habitats.json, curves.png, curves.npz",
    )
    p.set_defaults(run=_predict)
    p = add(
        "habitats cohort",
        "volumes of patterns against survival, beside clinical predictors; ADC by pattern, and shares against EGFR (Yun et al. 2023)",
    )
    p.add_argument(
        "--cases",
        required=True,
        metavar="DIR",
        help="a folder of results folders, a patient each, that hold habitats/habitats.json or habitats.json",
    )
    p.add_argument(
        "--outcomes",
        required=True,
        metavar="TABLE.csv",
        help="a row a patient; the column id holds the names of the results folders",
    )
    p.add_argument("--time", required=True, metavar="COL", help="column of the times, in --outcomes")
    p.add_argument("--event", required=True, metavar="COL", help="column that says whether the event happened")
    p.add_argument(
        "--covariates",
        type=lambda text: tuple(w.strip() for w in text.split(",") if w.strip()),
        default=(),
        metavar="A,B",
        help="columns of clinical predictors",
    )
    p.add_argument(
        "--group", default="egfr", metavar="COL", help="column that shares of patterns are held against (default egfr)"
    )
    p.add_argument(
        "--cut",
        default="nel_infiltrated_cc",
        metavar="COL",
        help="column that is cut where survival differs most (default nel_infiltrated_cc)",
    )
    add_options(p, HabitatCohort, *settings_of(HabitatCohort))
    p.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for cohort.csv, cohort.json, forest.png, kaplan_meier.csv and .png",
    )
    p.set_defaults(run=_cohort)


def _train(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..recurrence.habitats.card import card
    from ..recurrence.habitats.model import fit
    from ..training import Model, write_model

    names = tuple(settings_of(HabitatTraining))
    settings, out = HabitatTraining(**{n: getattr(args, n) for n in names}), Path(args.out)
    if args.cases:
        patients = list(read_cases(args.cases).values())
        said = f"{len(patients)} cases of the user"
    else:
        patients = _simulated(settings, out / "training", part(progress, 0.0, 0.6))
        said = f"{len(patients)} simulated patients"
    fitted = fit(patients, settings, out / "training", part(progress, 0.6, 1.0))
    flags = " ".join(f"--{n.replace('_', '-')} {getattr(args, n)}" for n in names)
    command = f"gliosuite habitats train {flags}" + f" --cases {args.cases}" * bool(args.cases)
    model = Model(fitted.weights, fitted.about | {"simulated": not args.cases, "trained_on": said, "command": command})
    write_model(out / "model", model, card(model))
    patterns = [{k: p[k] for k in ("region", "name", "margin", "curves")} for p in fitted.about["patterns"]]
    return {"out": str(out / "model"), "patients": len(patients), "patterns": patterns, "command": command}


def read_cases(folder: str) -> "dict[str, LesionCurves]":
    """The curves of all patients of a folder, by the name of theirs.

    Raises
    ------
    InputError
        If there are none.
    """
    from ..recurrence.habitats.curves import LesionCurves

    found = {}
    for case in sorted(p for p in Path(folder).iterdir() if p.is_dir()):
        path = next((p for p in (case / "habitats" / CURVES, case / CURVES) if p.exists()), None)
        if path is not None:
            found[case.name] = LesionCurves.read(path)
    if not found:
        raise InputError(
            f"{folder} holds no folder with habitats/{CURVES} or {CURVES}; results of gliosuite run or of habitats predict are needed"
        )
    return found


def _simulated(settings: HabitatTraining, folder: Path, progress: Progress) -> "list[LesionCurves]":
    """Simulated patients, each kept in a file of `folder`, so that a stopped run goes on."""
    from ..recurrence.habitats.curves import LesionCurves
    from .perfused import perfused

    found = []
    for i in range(settings.patients):
        seed = settings.first_patient + i
        progress(i / settings.patients, f"patient {i + 1} of {settings.patients}")
        path = folder / f"patient-{seed}.npz"
        if not path.exists():
            lesion = perfused(seed).lesion
            folder.mkdir(parents=True, exist_ok=True)
            lesion.write(path)
        found.append(LesionCurves.read(path))
    return found


def _predict(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..files import staged, write_bytes
    from ..recurrence.drawing import drawn
    from ..recurrence.habitats.model import apply
    from ..recurrence.habitats.output import record_of, write
    from ..report.habitats import draw_patterns
    from .series import read, times_of

    if args.fit_here and args.model:
        raise InputError("both --fit-here and --model are given; one of them is needed")
    model = None if args.fit_here else _read(args.model)
    series, acquisition = read(args.series)
    times = times_of(args, series, acquisition)
    with staged(args.out) as folder:
        lesion, notes = _curves(args, series, times, folder, part(progress, 0.0, 0.7))
        lesion.write(folder / CURVES)
        lesion = type(lesion).read(folder / CURVES)  # as whoever reads the file has it, to the last bit
        model = model or _fitted_here(lesion, folder / "fit", part(progress, 0.7, 0.95))
        found = apply(model, lesion)
        record = record_of(found, model, comparable=not args.fit_here)
        record["notes"] = [*notes, *record["notes"]]
        write(found, record, folder)
        drawn(lambda path: write_bytes(path, draw_patterns(record)), folder / PICTURE)
        files = sorted(p.name for p in folder.iterdir())
    said = ("value", "pattern", "cc", "percent", "doubts")
    return {
        "out": args.out,
        "files": files,
        "patterns": [{k: row[k] for k in said} for row in record["patterns"]],
        **{k: record[k] for k in ("comparable", "unlike_share", "model", "notes")},
    }


def _curves(
    args: argparse.Namespace, series: "Series", times: Any, folder: Path, progress: Progress
) -> "tuple[LesionCurves, list[str]]":
    """The curves of the lesion, and what is to be said of the series."""
    from ..images import array, boolean, read_image, resample
    from ..perfusion.bolus import locate
    from ..recurrence.habitats.gathering import gathered, known_adc
    from ..registration.steady import steady, uncorrected
    from .series import mask_of

    masks = {n: boolean(mask_of(getattr(args, n), series)) for n in ("cel", "nel", "brain")}
    given = {n: boolean(mask_of(getattr(args, n), series)) for n in _TISSUES if getattr(args, n)}
    adc = (
        known_adc(array(resample(read_image(args.adc), series.grid, outside=float("nan"))), args.adc)
        if args.adc
        else None
    )
    still = steady(series, progress) if args.motion else uncorrected(series)
    still.write(folder)
    bolus = None
    if args.baseline is not None or args.arrival is not None:
        told = DscSettings(baseline=args.baseline, arrival_s=args.arrival)
        bolus = locate(still.series.frames[:, masks["brain"]].T, times, told, rising=False, name=series.name)
    made = gathered(still.series.frames, times, series.grid, masks, given, adc, bolus, series.name)
    return made, list(still.notes)


def _fitted_here(lesion: "LesionCurves", folder: Path, progress: Progress) -> "Model":
    """A model of one patient; nothing of its training stays."""
    import shutil

    from ..recurrence.habitats.model import fit
    from ..training import Model

    fitted = fit([lesion], HabitatTraining(), folder, progress)
    shutil.rmtree(folder, ignore_errors=True)
    return Model(fitted.weights, fitted.about | {"simulated": False, "trained_on": "this patient alone"})


def _read(folder: str | None) -> "Model":
    from ..recurrence.habitats.model import KIND, shipped
    from ..training import read_model

    return read_model(folder, KIND) if folder else shipped()


def _cohort(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from dataclasses import asdict, replace

    from ..files import read_json, staged, write_csv, write_json
    from ..recurrence.drawing import drawn
    from ..recurrence.habitats.cohort import adc_by_pattern, columns_of, cut_of, row_of, shares_by_group, survival
    from ..recurrence.survival.fit import Group
    from ..recurrence.survival.output import write_curves
    from ..recurrence.survival.table import read_table

    settings = HabitatCohort(**{n: getattr(args, n) for n in settings_of(HabitatCohort)})
    records = {c: read_json(p) for c, p in _records(args.cases).items()}
    patterns = _shared_patterns(records)
    table = read_table(args.outcomes)
    at = {cell: i for i, cell in enumerate(table.cells("id"))}
    lacking = [c for c in records if c not in at]
    if lacking:
        raise InputError(f"{args.outcomes} has no row with the id {lacking[0]}, as a folder of {args.cases} is called")
    rows = [row_of(r) for r in records.values()]
    import numpy as np

    kept = table.kept(np.array([at[c] for c in records]))
    own = {n: [str(r[n]) for r in rows] for n in rows[0]}
    table = replace(kept, columns={**kept.columns, **own})
    volumes = [c for region in ("cel", "nel") for c in columns_of(patterns, region, "cc")]
    more = [c for region in ("cel", "nel") for c in columns_of(patterns, region, "percent")] + ["cel_adc", "nel_adc"]
    progress(0.1, "survival")
    modelled = columns_of(patterns, "nel", "cc")  # Yun's models hold NEL alone
    found = survival(
        table, args.time, args.event, args.covariates, modelled, [*volumes, *more], settings.folds, settings.seed
    )
    progress(0.7, "cut")
    cut, patients, p = cut_of(table, args.time, args.event, args.cut, settings.seed)
    record = {
        "patients": len(records),
        "adc": adc_by_pattern(list(records.values())),
        f"shares_against_{args.group}_p": shares_by_group(table, args.group, patterns)
        if args.group in table.columns
        else None,
        "univariable": found.univariable,
        "combined": found.combined,
        "concordance": {n: asdict(c) for n, c in found.concordance.items()},
        "combined_less_clinical": None if found.gain is None else asdict(found.gain),
        "cut": {"column": args.cut, "above": cut.value, "p": cut.p, "tried": cut.tried, "p_if_given_beforehand": p},
        "notes": [
            "Volumes count per 10 cc, ADC per 0.001 mm2/s. C is that of patients whom the models of the other folds had not seen; for the "
            "gain's interval models are fitted on draws of the patients and asked about the others. The cut was chosen among many: p pays "
            "for that by permutation, p_if_given_beforehand does not."
        ],
    }
    high = patients.table.numbers(args.cut) > cut.value
    groups = [
        Group(n, patients.times[w], patients.events[w])
        for n, w in ((f"up to {cut.value:.3g}", ~high), (f"above {cut.value:.3g}", high))
    ]
    with staged(args.out) as folder:
        write_csv(folder / "cohort.csv", list(table.columns), list(zip(*table.columns.values())))
        write_json(folder / "cohort.json", record)
        write_curves(groups, folder / "kaplan_meier.csv")
        # With the P value that pays for the choice of the cut.
        drawn(lambda path: _curves_of(groups, cut.p, args.time, path), folder / "kaplan_meier.png")
        drawn(lambda path: _forest(found.combined, path), folder / "forest.png")
        files = sorted(p.name for p in folder.iterdir())
    return {"out": args.out, "files": files, **{k: v for k, v in record.items() if k not in ("adc", "univariable")}}


def _curves_of(groups: "list[Group]", p: float, time: str, path: Path) -> None:
    from ..recurrence.survival.pictures import draw_curves
    from ..recurrence.survival.settings import unit_of

    unit = unit_of(time)
    draw_curves(groups, p, f"time ({unit})" if unit else f"{time} (in the table's unit)", unit or "", path)


def _forest(combined: dict[str, Any], path: Path) -> None:
    from ..recurrence.survival.pictures import draw_forest
    from ..statistics.agreement import Estimate

    ratios = {n: (Estimate(c["hr"], *c["interval"]), c["p"]) for n, c in combined.items()}
    draw_forest(ratios, "Clinical predictors and patterns; volumes per 10 cc", path)


def _records(folder: str) -> dict[str, Path]:
    found = {}
    for case in sorted(p for p in Path(folder).iterdir() if p.is_dir()):
        path = next((p for p in (case / "habitats" / "habitats.json", case / "habitats.json") if p.exists()), None)
        if path is not None:
            found[case.name] = path
    if not found:
        raise InputError(
            f"{folder} holds no folder with habitats/habitats.json or habitats.json; results of gliosuite run are needed"
        )
    return found


def _shared_patterns(records: dict[str, dict[str, Any]]) -> "tuple[Pattern, ...]":
    """The patterns that all patients share.

    Raises
    ------
    InputError
        If one was fitted alone or by another model, or is one that the model was trained on.
    """
    from ..recurrence.habitats.labels import Label
    from ..recurrence.habitats.model import Pattern

    first = next(iter(records.values()))
    for name, record in records.items():
        if not record["comparable"]:
            raise InputError(f"{name}: its patterns were fitted on it alone, and are not comparable between patients")
        if record["trained_on"]:
            raise InputError(f"{name} is one of the patients that the habitats' model was trained on; leave it out")
        if record["model"]["weights_sha256"] != first["model"]["weights_sha256"]:
            raise InputError(f"{name}: its patterns are those of another model than those of {next(iter(records))}")
    import numpy as np

    return tuple(
        Pattern(p["region"], p["value"], Label(p["pattern"].split("_")[1], p["margin"]), np.empty(0))
        for p in first["patterns"]
    )
