"""Patterns of DSC curves: ``habitats train``, ``habitats predict``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..recurrence.habitats.settings import HabitatTraining
from ..settings import add_options, settings_of
from ..steps import Progress, part
from .series import motion_option

if TYPE_CHECKING:
    from ..images import Series
    from ..recurrence.habitats.curves import LesionCurves
    from ..training import Model

_TISSUES = ("artery", "gm", "wm", "csf")
CURVES, PICTURE = "curves.npz", "curves.png"


def register(add: Callable) -> None:
    """Add ``habitats train`` and ``habitats predict``."""
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
        drawn(lambda: write_bytes(folder / PICTURE, draw_patterns(record)), PICTURE)
        files = sorted(p.name for p in folder.iterdir())
    said = ("value", "pattern", "cc", "percent", "doubts")
    return {
        "out": args.out,
        "files": files,
        "patterns": [{k: row[k] for k in said} for row in record["patterns"]],
        **{k: record[k] for k in ("comparable", "unlike_share", "model", "notes")},
    }


def drawn(draw: Callable[[], Any], name: str) -> None:
    """Draw a picture, or warn of what it needs."""
    import warnings

    try:
        draw()
    except InputError as error:
        warnings.warn(f"{name} was not written: {error}", stacklevel=2)


def _curves(
    args: argparse.Namespace, series: "Series", times: Any, folder: Path, progress: Progress
) -> "tuple[LesionCurves, list[str]]":
    """The curves of the lesion, and what is to be said of the series."""
    from ..images import array, boolean, read_image, resample
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
    made = gathered(still.series.frames, times, series.grid, masks, given, adc, name=series.name)
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
