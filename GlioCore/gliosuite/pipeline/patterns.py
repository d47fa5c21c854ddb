"""Radiomic features of a case's CBV, and what models of recurrence patterns make of them."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, door, require
from ..files import plain, write_json
from ..images import array, boolean, read_image
from ..steps import Progress
from .context import Done, Run, SkippedStep
from .targets import usable_lesion


def radiomics(run: Run, folder: Path, progress: Progress) -> Done:
    """The 1702 features of CBV over that of white matter in CEL and NEL, as ``gliosuite radiomics`` measures them."""
    from ..recurrence.radiomics import measure, record_of, write
    from ..recurrence.settings import RadiomicsSettings

    path = run.result("dsc", "on_t1c", "ncbv.nii.gz")
    if path is None:
        raise SkippedStep("CBV over that of white matter (ncbv of DSC) is needed and not there")
    masks = run.masks()
    lesion, left_out = usable_lesion(run, masks)
    given = {n: masks[n] for n in ("cel", "nel") if n in masks and boolean(masks[n]).any()}
    lacking = [n.upper() for n in ("cel", "nel") if n not in given]
    # NEL is what is left of the T2 lesion, so that it is as sure as that.
    unsure = [n for n in ("cel", "t2l") if n in masks and boolean(masks[n]).any() and n not in lesion]
    if lacking or unsure:
        why = [f"{' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} absent or empty"] * bool(lacking)
        raise SkippedStep("; ".join([*why, *(left_out if unsure else [])]))
    settings = RadiomicsSettings()
    try:
        require("radiomics", "radiomic features", "pyradiomics")
        fitted = (
            boolean(read_image(path.with_name("mask.nii.gz"))) if run.result("dsc", "on_t1c", "mask.nii.gz") else True
        )
        cbv = run.grid.image(np.where(fitted, array(read_image(path), np.float32), np.nan).astype(np.float32))
        grid = run.grid.isotropic(settings.grid_mm)
        with door({}, "gliosuite radiomics"):
            found = measure(cbv, given["cel"], given["nel"], grid, settings, progress)
    except InputError as error:
        raise SkippedStep(str(error)) from None
    record = record_of(found, settings)
    drawn_by = run.record("lesions").get("summary", {})
    drafts = [n for n in given if drawn_by.get(n, {}).get("source") == "draft"]
    if drafts and not run.settings.drafts_accepted_by:
        record["notes"].append(f"{', '.join(drafts)}: a draft that no person has checked, and so is what rests on it")
    write(found, folder / "features.csv", record)
    return Done({n: record[n] for n in ("features", "grey_levels", "volumes_cc")}, plain(settings), record["notes"])


def patterns(run: Run, folder: Path, progress: Progress) -> Done:
    """The probabilities of local and of distant recurrence and the risk score of the shipped models."""
    from ..recurrence.patterns.model import read_pattern
    from ..recurrence.patterns.output import write_predicted
    from ..recurrence.patterns.settings import SHIPPED
    from ..recurrence.survival.model import shipped
    from ..recurrence.survival.scored import scored
    from ..recurrence.survival.table import read_table

    path = run.result("radiomics", "features.csv")
    if path is None:
        raise SkippedStep("there are no radiomic features to predict from")
    table = read_table(path)
    summary: dict[str, Any] = {}
    for i, (name, outcome) in enumerate(SHIPPED.items()):
        progress(i / (len(SHIPPED) + 1), outcome)
        model = read_pattern(name)
        within = folder / name
        within.mkdir()
        try:
            made = write_predicted(model, table, None, None, within)
        except InputError as error:
            raise SkippedStep(str(error)) from None
        area = model.about["figures"]["cross_validated"]["auc"]
        summary[name] = {n: made[n] for n in ("probability", "threshold", "called", "drove")} | {
            "auc": area,
            "trained_on": f"{model.about['n']} simulated patients ({model.about['settings']['patients']})",
        }
    score = shipped()
    made_score = scored(table, score)
    for note in made_score.notes:
        warnings.warn(note, stacklevel=1)
    value = float(made_score.values[0])
    risk = {"score": value, "cut": score.cut, "group": "high" if value > (score.cut or 0) else "low"}
    write_json(folder / "risk.json", risk | {"covariates": [c.name for c in score.covariates]})
    progress(1.0, "predicted")
    return Done(summary | {"risk": risk})
