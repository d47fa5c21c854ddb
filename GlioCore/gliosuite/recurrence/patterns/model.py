"""A trained model on disk: what it takes, its scaler, its weights, calibration and threshold, and a card for people."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...errors import InputError
from ...steps import version
from ...training import Model, read_model
from ...training.model_folder import shipped
from .classifiers import Classifier
from .evaluate import Trained, Tuned, compared, figures, said
from .patients import Patients
from .settings import RECURRENT, SHIPPED, TITLES, PatternSettings

KIND = "pattern"
_FAR_SD = 6.0  # from the mean in training; features this far out are likely in another unit; chosen
_FAR_SHARE = 0.1  # of the rows; chosen


@dataclass(frozen=True)
class Pattern:
    """A model as it is asked.

    Attributes
    ----------
    tuned
        Classifier, calibration, threshold.
    about
        What model.json says.
    """

    tuned: Tuned
    about: dict[str, Any]

    @property
    def features(self) -> tuple[str, ...]:
        """What it takes of a table."""
        return self.tuned.classifier.features

    def notes(self) -> list[str]:
        """What every reader of its predictions must know."""
        said = [
            "The pattern model was trained on simulated patients alone: it shows how such a model is used, and is no evidence of how this "
            "tumour will recur."
            if self.about.get("simulated")
            else "The pattern model was trained on the table that its card names."
        ]
        if self.about["settings"]["patients"] == RECURRENT:
            said.append(
                "It was trained within patients who recurred: it says how a tumour recurs if it does, not whether."
            )
        return said

    def cautions(self, x: np.ndarray) -> list[str]:
        """Features (n, k) that are far from what they were in training, in one sentence."""
        c = self.tuned.classifier
        z = np.abs((x - c.mean) / c.sd)
        far = [n for n, v in zip(c.features, z.T) if np.mean(v[np.isfinite(v)] > _FAR_SD) > _FAR_SHARE]
        if not far:
            return []
        return [
            f"{len(far)} of {len(c.features)} features lie more than {_FAR_SD:g} SD from their mean in training ({', '.join(far[:3])}"
            f"{' ...' if len(far) > 3 else ''}): are map, scale and voxels those of training? The probability is not to be trusted"
        ]


def about_of(made: Trained, given: Patients, outcome: str, settings: PatternSettings) -> dict[str, Any]:
    """What model.json and pattern.json say of a trained model."""
    y = given.y
    return {
        "kind": KIND,
        "version": version(),
        "classifier": settings.kind,
        "outcome": outcome,
        "patients": given.said,
        "n": int(y.size),
        "with_outcome": int(y.sum()),
        "offered": len(given.names),
        "inputs": list(made.model.classifier.features),
        "normalisation": "each input less its mean, divided by its SD (n in the denominator), both in training",
        "threshold": made.model.threshold,
        "calibration": {"slope": made.model.slope, "offset": made.model.offset},
        "figures": {"cross_validated": figures(made.folds, y), "split": figures(made.split, y)},
        "comparison": compared(made.folds, y),
        "chosen_in_folds": _often(made),
        "settings": asdict(settings),
        "seed": settings.seed,
    }


def _often(made: Trained) -> dict[str, int]:
    """In how many of the folds each of the final features was chosen."""
    return {n: sum(n in one for one in made.folds.chosen) for n in made.model.classifier.features}


def model_of(tuned: Tuned, about: dict[str, Any]) -> Model:
    """As it is kept on disk."""
    c = tuned.classifier
    return Model({"mean": c.mean, "sd": c.sd, **c.arrays}, about)


def read_pattern(folder: str) -> Pattern:
    """A model by the name of a shipped one or by its folder.

    Raises
    ------
    InputError
        If it is no whole model of this kind.
    """
    kept = read_model(shipped(f"pattern-{folder}") if folder in SHIPPED else folder, KIND)
    about, arrays = kept.about, dict(kept.weights)
    try:
        mean, sd = (np.asarray(arrays.pop(n), np.float64) for n in ("mean", "sd"))
        names = tuple(about["inputs"])
        classifier = Classifier(about["classifier"], names, mean, sd, arrays)
        slope, offset = (float(about["calibration"][n]) for n in ("slope", "offset"))
        tuned = Tuned(classifier, slope, offset, float(about["threshold"]))
        tuned.probability(mean[None])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder} is no whole pattern model ({error} is missing or wrong); train it anew") from None
    return Pattern(tuned, about)


def card(about: dict[str, Any]) -> str:
    """The card of a model folder, in Markdown."""
    f, s = about["figures"]["cross_validated"], about["figures"]["split"]
    percent = lambda e: f"{100 * e[0]:.0f} % ({100 * e[1]:.0f}-{100 * e[2]:.0f})"
    others = "".join(
        f"| {TITLES[k]}, same features | {said(v['auc'])}, P {v['p']:.2g} against the first row | | | |\n"
        for k, v in about["comparison"].items()
    )
    right = lambda e: " | ".join(percent(e[n]) for n in ("sensitivity", "specificity", "accuracy"))
    of_folds = f"{said(f['auc'])}; folds {f['auc_mean']:.2f} +- {f['auc_sd']:.2f}"
    within = about["settings"]["patients"] == RECURRENT
    times = "".join(f"| {n} | {k} |\n" for n, k in about["chosen_in_folds"].items())
    who = about["patients"]
    simulated = " of SIMULATED patients" if about.get("simulated") else ""
    alone = (
        "\n* Trained on simulated patients alone: figures of simulated patients are no evidence about patients.\n"
        "* Train one of your own cohort with `gliosuite pattern train`."
        if about.get("simulated")
        else ""
    )
    return f"""# A model of `{about["outcome"]}`

What it gives: the probability of `{about["outcome"]}` for each row of a table of radiomic features, and whether it reaches
{about["threshold"]:.3f}, the threshold of the highest sensitivity + specificity in held-out patients.

How: {about["offered"]} features z-scored; {len(about["inputs"])} left by recursive elimination with a linear SVM; the smaller class
oversampled (SMOTE); {TITLES[about["classifier"]]}; log odds calibrated (Platt). Trained on {about["n"]} rows{simulated} ({who}),
{about["with_outcome"]} with the outcome.

```
{about["command"]}
```

## Figures

Scaling, selection, oversampling, calibration and threshold are learned inside each fold; no figure is of oversampled or seen patients.

| | AUC (95 %) | sensitivity | specificity | accuracy |
|---|---|---|---|---|
| {about["settings"]["folds"]}-fold, n {f["n"]} | {of_folds} | {right(f)} |
| one split 80/20, n {s["n"]} | {said(s["auc"])} | {right(s)} |
{others}
| feature | in how many folds it was chosen |
|---|---|
{times}
## Limits

* Research use only, no clinical claim.{alone}
* Features must be measured as in training: same map, scale, bin width and voxels (`gliosuite radiomics`).
* {"It says how a tumour recurs if it does, not whether." if within else "Who did not recur counts as without the outcome."}
"""
