"""DSC from a series to maps: ΔR2*, AIF, leakage correction, blood volume, flow, timing, normalisation."""

from dataclasses import replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from ...compute import choose_device
from ...curves import mask_array
from ...images import Series, array, resample
from ...steps import Progress, part, silent
from ..aif import Aif
from ..prepared import Prepared, strongest
from ..result import MeanCurve, PerfusionMaps
from ..settings import AUTO, CORRECTIONS, VASCULAR, DscSettings
from ..signal import BLOOD_R2STAR
from ..t1 import b1_values, check_t10
from .artery.choice import dr2star
from .artery.concentration import blood_concentration
from .fit import DscFit, perfusion_maps
from .flow.choice import BY_MODEL, BY_OSVD
from .leakage.corrections import reference_voxels
from .leakage.shinethrough import SIGNIFICANT
from .nawm import Reference, find_nawm, given_nawm
from .picking import DscPicking, artery_of, prepared
from .protocol import protocol_notes, t1_effect, t1_notes
from .recovery import recovery
from .settings import excitation

N_TAIL = 10  # frames at the end that count as recovered (psr) and as the tail of the leakage reference; chosen, 15 s


def dsc_aif(
    series: Series,
    times_s: ArrayLike,
    settings: DscSettings,
    aif: str | sitk.Image = "auto",
    mask: sitk.Image | None = None,
) -> Aif:
    """The AIF of a DSC series alone; see `dsc_maps`."""
    return DscPicking.of(series, times_s, settings, mask).aif(aif)


def dsc_maps(
    series: Series,
    times_s: ArrayLike,
    settings: DscSettings,
    aif: str | Aif | sitk.Image = "auto",
    mask: sitk.Image | None = None,
    nawm: str | sitk.Image | None = None,
    brain: sitk.Image | None = None,
    lesion: sitk.Image | None = None,
    progress: Progress = silent,
    device: str = "auto",
    t10: sitk.Image | None = None,
    b1: sitk.Image | None = None,
) -> PerfusionMaps:
    """Blood volume, flow and timing maps of a DSC series.

    Parameters
    ----------
    series
        4-D signal, or ΔR2* in 1/s (``settings.input``).
    times_s
        (t,) s; resampled where uneven.
    aif
        ``"auto"``, an `Aif` (ΔR2*, 1/s), or a mask of an artery.
    mask
        Voxels to fit, on any grid; the head where None.
    nawm
        Normal-appearing white matter for ncbv and ncbf: a mask, ``"auto"`` (needs `brain` and `lesion`), or None.
    brain, lesion
        Masks on any grid; with `lesion`, the leakage reference lies outside it.
    device
        ``"auto"`` or ``"cpu"`` (numpy), or ``"cuda"`` (torch).
    t10
        Map of T1 before the bolus in s, on any grid; ``settings.t10_s`` everywhere where None.
    b1
        Map of the actual over the nominal flip angle, on any grid; 1 everywhere where None.

    Raises
    ------
    InputError
        If the series, its times, a mask, a map or the AIF cannot be used; the text says why.
    """
    if t10 is not None:
        check_t10(t10)
    progress(0.05, "finding the bolus")
    p = prepared(series, times_s, settings, mask)
    progress(0.15, "arterial input function")
    curves = dr2star(p.fitted_curves(), settings, p.n_baseline)
    chosen, relation = artery_of(p, settings, aif, curves, choose_device(device))
    settings = replace(settings, aif_r2star=relation)
    p.notes.extend(chosen.notes)
    dt = float(np.median(np.diff(p.times_s)))
    p.notes.extend(protocol_notes(settings, dt, p.times_s.size, p.n_baseline))
    reference, in_lesion = None, None
    if lesion is not None:
        in_lesion = mask_array(lesion, p.series)[p.fitted]
    if in_lesion is not None and settings.leakage in ("bsw", "bidirectional", "auto"):
        reference = reference_voxels(curves, p.n_baseline, N_TAIL) & ~in_lesion
        reference = reference if reference.sum() >= 20 else None
    # On the scale of ΔR2* in blood with little agent, as if tissue had the same; `tissue` below takes that back.
    aif_curve = BLOOD_R2STAR[0] * blood_concentration(chosen.concentration, settings.aif_r2star)
    fit = perfusion_maps(
        curves,
        dt,
        aif_curve,
        settings.leakage,
        settings.deconvolution,
        reference,
        device,
        part(progress, 0.2, 0.9),
        excitation(
            settings,
            None if t10 is None else array(resample(t10, p.series.grid))[p.fitted],
            None if b1 is None else b1_values(b1, p.series.grid, p.inside)[p.fitted],
        ),
    )
    progress(0.9, "maps")
    tissue = BLOOD_R2STAR[0] / settings.tissue_r2star
    said, made = _made(settings, fit)
    p.notes.extend(said)
    values = {"cbv": tissue * fit.cbv, "cbf": tissue * fit.cbf, "mtt": fit.mtt_s, "tmax": fit.tmax_s}
    spread = {"k1": fit.k1_sd, "k2": fit.k2_sd, "mtt": fit.mtt_sd}
    if fit.cbv_sd is not None and fit.cbf_sd is not None:
        spread |= {"cbv": tissue * fit.cbv_sd, "cbf": tissue * fit.cbf_sd}
    values["ttp"] = np.where(
        np.isfinite(fit.cbv), dt * (np.argmax(np.nan_to_num(curves), axis=1) - p.n_baseline), np.nan
    )
    p.notes.append("ttp: from the arrival to the highest frame")
    for name in ("k1", "k2"):
        if getattr(fit, name) is not None:
            values[name] = getattr(fit, name)
    if fit.kep is not None and fit.k2 is not None and fit.k2_sd is not None:
        # Where nothing leaks, there is no way back either: its rate would be noise.
        through_signal = fit.shine_through
        leaks = np.abs(fit.k2) > SIGNIFICANT * fit.k2_sd if through_signal is None else through_signal
        values["kep"] = np.where(leaks, fit.kep, np.nan)
        share = f"{100 * float(leaks.mean()):.1f} % of the voxels"
        p.notes.append(
            f"kep is that of the leakage, given where K2 of its linear fit is above {SIGNIFICANT:g} SD: {share}"
        )
    if fit.deconvolution is not None:
        values["deconvolution_model"] = np.where(fit.deconvolution > 0, fit.deconvolution, np.nan)
    if fit.model is not None:
        values["leakage_model"] = np.where(fit.model > 0, fit.model, np.nan)
        share = np.bincount(fit.model, minlength=4)[1:] / max((fit.model > 0).sum(), 1)
        text = ", ".join(f"{n} {100 * v:.0f} %" for n, v in zip(CORRECTIONS, share))
        p.notes.append(f"leakage correction by corrected Akaike criterion: {text} of the voxels")
    heights, note = recovery(curves, p.times_s, p.n_baseline, p.peak, settings.te_ms, _n_tail(p))
    p.notes.append(note)
    values |= heights
    known = np.isfinite(fit.cbv)
    arrays = {name: p.whole(v, known) for name, v in values.items()}
    masks = {}
    if fit.reference is not None:
        masks["leakage_reference"] = p.series.grid.image(p.where(fit.reference))
    given = {"t10_s": settings.t10_s if t10 is None else "map", "b1": "nominal" if b1 is None else "map"}
    record = _trust(p, settings, fit, curves, in_lesion, given)
    if fit.reference is not None:
        p.notes.append(f"leakage reference: {int(fit.reference.sum())} non-enhancing voxels (leakage_reference)")
    normal = _normal(p, arrays["cbv"], p.where(known), nawm, brain, lesion)
    if normal is not None:
        masks["nawm"] = p.series.grid.image(normal)
        relative = {}
        for name in ("cbv", "cbf"):
            level = float(np.nanmean(arrays[name][normal]))
            relative[f"n{name}"] = arrays[name] / level
            record[f"nawm_{name}"] = level
        arrays = relative | arrays  # what is calibrated comes first
        record["nawm_cbv_sd"] = float(np.nanstd(arrays["cbv"][normal]))
    p.notes.extend(p.left_out(known))
    return PerfusionMaps(
        step="dsc",
        maps={name: p.series.grid.image(a.astype(np.float32)) for name, a in arrays.items()},
        sd={name: p.image(v, known) for name, v in spread.items() if v is not None},
        mask=p.series.grid.image(p.where(known)),
        aif=chosen,
        aif_unit="ΔR2* (1/s)",
        settings=settings,
        bolus=p.bolus,
        n_baseline=p.n_baseline,
        times_s=p.times_s,
        mean=_mean(p, fit, curves, known, in_lesion),
        medians={name: _median(a[p.where(known)]) for name, a in arrays.items()},
        notes=p.notes,
        masks=masks,
        record=record,
        made=made,
    )


_MODEL = {"mtt": "vascular model", "tmax": "delay of the vascular model"}
_RESIDUE = {"mtt": "cbv / cbf", "tmax": "maximum of the residue function"}


def _made(settings: DscSettings, fit: DscFit) -> tuple[list[str], dict[str, str]]:
    """How volume, flow, transit time and Tmax were made: sentences, and a few words by map."""
    linear, square = BLOOD_R2STAR
    relation = f"{linear:g} C + {square:g} C^2 1/s" if settings.aif_r2star == "quadratic" else f"{linear:g} C 1/s"
    notes = [
        f"AIF: concentration C (mM) from ΔR2* = {relation} (van Osch 2003); in the vessels of tissue ΔR2* = {settings.tissue_r2star:g} C "
        "(tissue_r2star): cbv and cbf are not calibrated, their ratios between regions are",
        *fit.said,
    ]
    chosen = np.array([BY_MODEL if settings.deconvolution == VASCULAR else BY_OSVD])
    chosen = chosen if fit.deconvolution is None else fit.deconvolution
    by_model = bool((chosen == BY_MODEL).any())
    if by_model:
        notes.append(
            "mtt, tmax: posterior means of the vascular model's mean transit time and of its delay after the AIF"
        )
    if (chosen == BY_OSVD).any():
        method = "oSVD" if settings.deconvolution == AUTO else settings.deconvolution
        notes.append(
            f"mtt, tmax by {method}: cbv / cbf, and the time of the residue function's maximum. Deconvolution flattens that function and "
            "spreads it over frames: cbf is too low, mtt and tmax are too long"
        )
    return notes, _MODEL if by_model else _RESIDUE


def _n_tail(p: Prepared) -> int:
    return min(N_TAIL, p.times_s.size)


def _median(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None


def _normal(
    p: Prepared,
    cbv: np.ndarray,
    done: np.ndarray,
    nawm: str | sitk.Image | None,
    brain: sitk.Image | None,
    lesion: sitk.Image | None,
) -> np.ndarray | None:
    """Normal-appearing white matter (z, y, x) as given or found, or None; the notes say which, and why there is none."""
    if isinstance(nawm, sitk.Image):
        found = given_nawm(nawm, p.series.grid, cbv, done)
    elif nawm == "auto" and brain is not None and lesion is not None:
        found = find_nawm(brain, lesion, p.series.grid, cbv, done)
    elif nawm == "auto":
        found = Reference(None, "no ncbv and ncbf: automatic normal white matter needs a brain mask and a lesion mask")
    else:
        return None
    p.notes.append(found.note)
    return found.mask


def _mean(p: Prepared, fit: DscFit, curves: np.ndarray, known: np.ndarray, in_lesion: np.ndarray | None) -> MeanCurve:
    """The mean of the curves in which the correction does most, before and after it."""
    top = np.flatnonzero(known if in_lesion is None or not (known & in_lesion).any() else known & in_lesion)
    corrected = fit.k1 is not None
    weight = np.abs(fit.corrected[top] - curves[top]).mean(axis=1) if corrected else curves[top].max(axis=1)
    top = strongest(top, weight)
    what = "the lesion's" if in_lesion is not None and in_lesion[top].all() else "all"
    after = fit.corrected[top].mean(axis=0) if corrected else np.full(p.times_s.size, np.nan)
    title = f"mean of the 5 % of {what} voxels that {'leak most' if corrected else 'change most'}"
    return MeanCurve(curves[top].mean(axis=0), after, title, "ΔR2* (1/s)", "leakage-corrected")


def _trust(
    p: Prepared,
    settings: DscSettings,
    fit: DscFit,
    curves: np.ndarray,
    in_lesion: np.ndarray | None,
    given: dict[str, Any],
) -> dict[str, Any]:
    """Windows, and how strong T1 effects are, for fit.json; what a reader must know of them goes into the notes."""
    times, known = p.times_s.astype(float).tolist(), np.isfinite(fit.cbv)
    windows = {"baseline": [times[0], times[p.n_baseline - 1]], "recovery": [times[-_n_tail(p)], times[-1]]}
    record: dict[str, Any] = {"windows_s": windows}
    inside, where = (known, "") if in_lesion is None else (known & in_lesion, "of the lesion ")
    found = t1_effect(curves, fit.corrected, p.n_baseline, _n_tail(p), settings.te_ms, inside)
    shine = fit.shine_through
    record["t1_effect"] = {**found, "voxels": int(inside.sum())}
    if shine is not None:
        record["t1_effect"] |= {"through_signal_equation": int(shine.sum()), **given}
        t10 = "the T1 map" if given["t10_s"] == "map" else f"T1 {settings.t10_s:g} s"
        scaled = " times the B1 map" if given["b1"] == "map" else ""
        p.notes.append(
            f"leakage that acts on T1 was fitted through the signal equation (flip angle {settings.flip_angle_deg:g} degrees{scaled}, TR "
            f"{settings.tr_ms:g} ms, {t10} before the bolus) in {int(shine.sum())} voxels"
        )
    p.notes.extend(t1_notes(found, int(inside.sum()), where, settings.leakage, shine is not None))
    return record
