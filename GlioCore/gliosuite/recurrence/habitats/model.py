"""The habitats' model: autoencoder, clusters and their labels, fitted once on a cohort and applied frozen to any patient."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...steps import Progress, part, silent
from .autoencoder import decode, encode, train_autoencoder
from .clusters import kmeans, nearest, silhouette
from .curves import POINTS, REGIONS, LesionCurves, parameters
from .labels import OF_REGION, Label, label_patterns
from .references import TISSUES
from .settings import HabitatTraining

if TYPE_CHECKING:
    from ...training import Model

KIND = "habitats"
_MOST = 10  # clusters of a region where the silhouette chooses
_FEWEST = 10  # curves of a region for each of its clusters; chosen
_USUAL = 99.0  # percentile of how far training curves lie from what the autoencoder makes of them; chosen


@dataclass(frozen=True)
class Pattern:
    """A cluster of a region's curves.

    Attributes
    ----------
    region, value
        ``cel`` or ``nel``, and its number in the map, from 1 on.
    label
        What it is called.
    curve
        Mean (60,) of the training cohort's curves.
    """

    region: str
    value: int
    label: Label
    curve: np.ndarray


@dataclass(frozen=True)
class Habitats:
    """The patterns of a patient: the model's `patterns`, the `value` (n,) of each voxel's, and the share of curves that are `unlike` all
    but one in a hundred of those that the model was trained on, by what the autoencoder makes of them.
    """

    lesion: LesionCurves
    patterns: tuple[Pattern, ...]
    value: np.ndarray
    unlike: float


def shipped() -> "Model":
    """The model that travels with the library; trained on simulated patients."""
    from ...training.model_folder import read_model, shipped

    return read_model(shipped(KIND), KIND)


def fit(
    patients: Sequence[LesionCurves], settings: HabitatTraining, folder: Path, progress: Progress = silent
) -> "Model":
    """Fit autoencoder, clusters and labels to a cohort.

    Parameters
    ----------
    folder
        For the checkpoint of the training.

    Raises
    ------
    InputError
        If torch is missing, or a region has too few curves for its clusters.
    """
    from ...training import Model

    curves = np.concatenate([p.curves for p in patients])
    adc = np.concatenate([p.adc for p in patients]).astype(np.float64)
    at = {r: np.concatenate([p.of(r) for p in patients]) for r in REGIONS}
    at = {r: v for r, v in at.items() if v.any()}
    for region, inside in at.items():
        if inside.sum() < _FEWEST * max(settings.clusters, 2):
            raise InputError(
                f"{region.upper()} has {int(inside.sum())} curves; {_FEWEST * max(settings.clusters, 2)} at least are needed"
            )
    weights, history = train_autoencoder(curves, settings, folder, part(progress, 0.0, 0.8))
    latents = encode(weights, curves)
    references = {
        n: np.mean([p.references[n] for p in patients if n in p.references], axis=0)
        for n in TISSUES
        if any(n in p.references for p in patients)
    }
    tissue = {n: parameters(c) for n, c in references.items()}
    about: dict[str, Any] = {
        "kind": KIND,
        "points": POINTS,
        "settings": asdict(settings),
        "seed": settings.seed,
        "patients": len(patients),
        "marks": [p.mark for p in patients],
        "curves": {r: int(v.sum()) for r, v in at.items()},
        "held_out_loss": history[-1][2],
        "usual_error": float(np.percentile(_errors(weights, curves, latents), _USUAL)),
        "patterns": [],
        "silhouette": {},
    }
    for i, (region, inside) in enumerate(at.items()):
        progress(0.8 + 0.1 * i, f"clusters of {region.upper()}")
        centres, tried = _clusters(latents[inside], settings)
        index = nearest(latents[inside], centres)
        mean = np.stack([curves[inside][index == j].mean(axis=0) for j in range(len(centres))])
        mean_adc = np.array([_mean(adc[inside][index == j]) for j in range(len(centres))])
        measured = parameters(mean)
        labels = label_patterns(region, measured, mean_adc, tissue)
        order = sorted(range(len(labels)), key=lambda j: (OF_REGION[region].index(labels[j].name), -measured.drop[j]))
        weights |= {f"centres_{region}": centres[order], f"curves_{region}": mean[order].astype(np.float32)}
        about["silhouette"][region] = tried
        for j in order:
            about["patterns"].append(
                {
                    "region": region,
                    "value": len(about["patterns"]) + 1,
                    **asdict(labels[j]),
                    "curves": int((index == j).sum()),
                    **{n: float(v[j]) for n, v in vars(measured).items()},
                    "adc": float(mean_adc[j]) if np.isfinite(mean_adc[j]) else None,
                }
            )
    weights |= {f"reference_{n}": c.astype(np.float32) for n, c in references.items()}
    progress(1.0, "fitted")
    return Model(weights, about)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _clusters(latents: np.ndarray, settings: HabitatTraining) -> tuple[np.ndarray, dict[int, float]]:
    """Centres, as many as are asked for or as the silhouette says; and the silhouettes that were looked at."""
    wanted = [settings.clusters] if settings.clusters else range(2, _MOST + 1)
    made = {k: kmeans(latents, k, settings.seed) for k in wanted}
    tried = {k: silhouette(latents, nearest(latents, c), settings.seed) for k, c in made.items() if k > 1}
    best = max(tried, key=lambda k: tried[k]) if tried else settings.clusters
    return made[best], tried


def patterns_of(model: "Model") -> tuple[Pattern, ...]:
    """The patterns of a model, in the order of their values."""
    found = []
    counts = dict.fromkeys(REGIONS, 0)
    for entry in model.about["patterns"]:
        region = entry["region"]
        label = Label(entry["name"], entry["margin"], tuple(entry["doubts"]))
        found.append(Pattern(region, entry["value"], label, model.weights[f"curves_{region}"][counts[region]]))
        counts[region] += 1
    return tuple(found)


def trained_on(model: "Model", lesion: LesionCurves) -> bool:
    """Whether a patient is one of those that a model was trained on, and so tells nothing of it."""
    return lesion.mark in model.about["marks"]


def apply(model: "Model", lesion: LesionCurves) -> Habitats:
    """The pattern of each voxel of a patient, as the model has them.

    Raises
    ------
    InputError
        If the lesion has a region that the model was not trained on.
    """
    latents = encode(model.weights, lesion.curves)
    patterns, value = patterns_of(model), np.zeros(len(lesion.curves), np.uint8)
    for region in REGIONS:
        inside = lesion.of(region)
        if not inside.any():
            continue
        values = np.array([p.value for p in patterns if p.region == region], np.uint8)
        if not values.size:
            raise InputError(f"the habitats' model was trained without {region.upper()}")
        value[inside] = values[nearest(latents[inside], model.weights[f"centres_{region}"])]
    unlike = float((_errors(model.weights, lesion.curves, latents) > model.about["usual_error"]).mean())
    return Habitats(lesion, patterns, value, unlike)


def _errors(weights: Mapping[str, np.ndarray], curves: np.ndarray, latents: np.ndarray) -> np.ndarray:
    """Root mean square difference (n,) of curves and of what the autoencoder makes of them."""
    return np.sqrt(((decode(weights, latents) - curves) ** 2).mean(axis=1))


def reference_curves(model: "Model") -> Mapping[str, np.ndarray]:
    """Mean curves (60,) of the training cohort's reference tissues."""
    return {n: model.weights[f"reference_{n}"] for n in TISSUES if f"reference_{n}" in model.weights}
