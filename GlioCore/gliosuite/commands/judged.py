"""Predicted target volumes beside those by margins, on patients whose progression is known: the comparison of Tran 2025."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..steps import Progress, silent

if TYPE_CHECKING:
    import numpy as np

    from ..recurrence import Inputs
    from ..rt.targets.predicted import Candidates
    from ..training import Model

MODEL, NULL = "model", "distance"
SCHEMES = ("s3-rtog", "s3-eortc")  # as Tran 2025 draws them
LESION = "lesion"  # what is seen before radiotherapy, without a margin
# Of `rt.compare`, and of `_near_and_far`.
COLUMNS = (
    *("sensitivity", "specificity", "pcc", "ppv", "dice", "hd95_mm", "ctv_cc", "normal_brain_cc", "missed_cc", "f"),
    *("specificity_to_2cm", "sensitivity_beyond_2cm"),
)
_LEVELS = (0.004, 0.5, 36)  # from, to and number of the thresholds that are tried


def candidates(patient: "Inputs", probability: "np.ndarray") -> "Candidates":
    """The nested target volumes of a patient's probability (z, y, x), as the scheme ``model`` makes them."""
    from ..rt.targets.predicted import Candidates

    brain = patient.masks["brain"]
    return Candidates.of(patient.masks["t2l"], brain, patient.grid.image(probability), patient.grid)


def reached(patients: "Sequence[Inputs]", probabilities: "Sequence[np.ndarray]") -> "tuple[np.ndarray, np.ndarray]":
    """Thresholds (l,) and the PCC (Tran 2025, eq. 1) that each patient's target volume has at each of them (n, l)."""
    import numpy as np

    levels = np.geomspace(*_LEVELS)
    rows = []
    for patient, probability in zip(patients, probabilities):
        nested = candidates(patient, probability)
        rows.append([_pcc(patient, nested.whole(nested.ctv(level))) for level in levels])
    return levels, np.array(rows)


def best_threshold(patients: "Sequence[Inputs]", probabilities: "Sequence[np.ndarray]") -> float:
    """The threshold of the highest mean PCC over patients whose probabilities were held out."""
    levels, pcc = reached(patients, probabilities)
    return float(levels[int(pcc.mean(axis=0).argmax())])


def by_images(
    patients: "Sequence[Inputs]", model: "Model", folds: "Sequence[int]", progress: Progress = silent
) -> dict[str, list[float]]:
    """Mean and SD of PCC over patients by what the model is shown, each patient by the member that was trained without him.

    Parameters
    ----------
    model
        With its threshold; images are hidden from it, as they were at random in training.
    folds
        The member of each patient.
    """
    import numpy as np

    from ..recurrence.ensemble import calibrated
    from ..recurrence.inputs import CHANNELS, KINDS
    from ..recurrence.prediction import asked

    found: dict[str, list[float]] = {}
    more = [k for k in KINDS[1:] if any(CHANNELS[n].kind == k for p in patients for n in p.images)]
    sets = {"anatomy alone": more} | {f"with {k}": [m for m in more if m != k] for k in more}
    sets = {n: hidden for n, hidden in sets.items() if hidden} | {"all": []}
    for i, (name, hidden) in enumerate(sets.items()):
        values = []
        for j, (patient, fold) in enumerate(zip(patients, folds)):
            progress((i + j / len(patients)) / len(sets), f"shown {name}, patient {j + 1} of {len(patients)}")
            log_odds, where, _used, _notes = asked(patient.without(hidden), model)
            probability = np.zeros(patient.grid.shape, np.float32)
            probability[where] = calibrated(log_odds[fold], model.about["calibration"])
            probability[patient.masks["t2l"]] = 1.0
            nested = candidates(patient, probability)
            values.append(_pcc(patient, nested.whole(nested.ctv(float(model.about["threshold"])))))
        found[name] = [float(np.mean(values)), float(np.std(values, ddof=1))]
    return found


def _pcc(patient: "Inputs", ctv: "np.ndarray") -> float:
    from ..statistics import coverage_coefficient

    assert patient.target is not None
    inside = ctv & ~patient.masks["cavity"]
    hit, target = int((inside & patient.target).sum()), int(patient.target.sum())
    brain = int((patient.masks["brain"] & ~patient.masks["cavity"]).sum())
    return coverage_coefficient(hit, int(inside.sum()) - hit, target - hit, brain)


def judged(
    patients: "Sequence[Inputs]",
    probabilities: "Sequence[np.ndarray]",
    threshold: "float | Sequence[float]",
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """Rows with `COLUMNS` of each patient and target volume.

    Target volumes are the model's at `threshold` (one, or one a patient); those of `SCHEMES`; the model's at the volume of each of these
    (``model at s3-rtog``); what a plain margin has at the volume of the model's (``distance at model``); and the lesion alone. The cavity
    belongs to none.
    """
    import numpy as np

    from ..images import boolean
    from ..rt.compare import compare_ctv
    from ..rt.targets import Structures, target_volumes

    rows = []
    thresholds = np.broadcast_to(threshold, len(patients))
    for i, (patient, probability) in enumerate(zip(patients, probabilities)):
        progress(i / len(patients), f"patient {i + 1} of {len(patients)}")
        grid, masks = patient.grid, patient.masks
        assert patient.target is not None
        image = lambda mask, grid=grid: grid.image(mask.astype(np.uint8))
        brain = masks["brain"] & ~masks["cavity"]
        given = {n: image(masks[n]) if masks[n].any() else None for n in ("cel", "t2l", "cavity")}
        structures = Structures(image(masks["brain"]), given["cel"], given["t2l"], given["cavity"], None)
        nested = candidates(patient, probability)
        near = candidates(patient, np.exp(-patient.away("t2l") / 20.0).astype(np.float32))
        volumes = {MODEL: nested.whole(nested.ctv(float(thresholds[i])))}
        for name in SCHEMES:
            volumes[name] = boolean(target_volumes(name, structures, grid).ctv)
            level = nested.level_for(float(volumes[name].sum()))
            volumes[f"{MODEL} at {name}"] = nested.whole(nested.ctv(level))
        level = near.level_for(float(volumes[MODEL].sum()))
        volumes[f"{NULL} at {MODEL}"] = near.whole(near.ctv(level))
        volumes[LESION] = masks["t2l"]
        for name, ctv in volumes.items():
            compared = vars(compare_ctv(image(ctv & brain), image(patient.target), image(brain)))
            compared |= _near_and_far(ctv & brain, patient.target & brain, brain, patient.away("t2l"))
            rows.append({"patient": i, "ctv": name} | {c: float(compared[c]) for c in COLUMNS})
    return rows


def _near_and_far(ctv: "np.ndarray", target: "np.ndarray", brain: "np.ndarray", away: "np.ndarray") -> dict[str, float]:
    """What share of the target volume progressed; of brain to 2 cm from the T2 lesion that did not, what share is spared; of progression
    beyond, what share is covered. NaN where there is nothing of it."""
    from ..recurrence.followup.evaluated import MARGIN_MM

    share = lambda part, whole: part.sum() / whole.sum() if whole.any() else float("nan")
    spared, far = brain & ~target & (away <= MARGIN_MM), target & (away > MARGIN_MM)
    return {
        "ppv": share(ctv & target, ctv),
        "specificity_to_2cm": share(spared & ~ctv, spared),
        "sensitivity_beyond_2cm": share(far & ctv, far),
    }


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and SD of `COLUMNS` by target volume over patients, and exact Wilcoxon tests of the model against the margins.

    What is not defined of a patient is left out of the mean (as of progression beyond 2 cm); NaN where it is of none.
    """
    import numpy as np

    from ..statistics.groups import wilcoxon

    of = lambda ctv, column: np.array([r[column] for r in rows if r["ctv"] == ctv])
    names = list(dict.fromkeys(r["ctv"] for r in rows))
    defined = lambda values: values[np.isfinite(values)]
    moments = lambda v: [float(v.mean()) if v.size else np.nan, float(v.std(ddof=1)) if v.size > 1 else np.nan]
    table = {n: {c: moments(defined(of(n, c))) for c in COLUMNS} for n in names}
    tests = {
        f"{column}, {MODEL} and {other}": wilcoxon(of(MODEL, column), of(other, column))
        for other in names
        if other != MODEL and " at " not in other
        for column in ("sensitivity", "specificity", "pcc")
    }
    tests[f"pcc, {MODEL} and {NULL} at {MODEL}"] = wilcoxon(of(MODEL, "pcc"), of(f"{NULL} at {MODEL}", "pcc"))
    return {"patients": len({r["patient"] for r in rows}), "mean_and_sd": table, "p_wilcoxon": tests}
