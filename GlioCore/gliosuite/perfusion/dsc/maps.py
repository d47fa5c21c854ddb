"""DSC from a series to maps: ΔR2*, AIF, leakage correction, blood volume, flow, timing, normalisation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ...curves import (
    Bolus,
    check_times,
    enhancing_mean,
    find_bolus,
    mask_array,
    resample_time,
    search_mask,
    usable_voxels,
)
from ...errors import InputError
from ...images import Series
from ...steps import Progress, part, silent
from ..aif import Aif
from ..settings import CORRECTIONS, DscSettings
from .aif import choose_aif, dr2star
from .fit import DscFit, perfusion_maps
from .leakage import reference_voxels
from .nawm import Reference, find_nawm, given_nawm
from .protocol import protocol_notes, t1_effect, t1_notes
from .recovery import recovery
from .settings import check_settings, excitation

UNITS = {
    "cbv": "ml/100ml",
    "cbf": "ml/100ml/min",
    "mtt": "s",
    "tmax": "s",
    "ttp": "s",
    "k1": "1",
    "k2": "1/s",
    "kep": "1/min",
    "leakage_model": "1 bsw, 2 bidirectional, 3 residue",
    "psr": "%",
    "ph": "1/s",
    "ncbv": "ratio to normal white matter",
    "ncbf": "ratio to normal white matter",
}
N_TAIL = 10  # frames at the end that count as recovered (psr) and as the tail of the leakage reference


@dataclass(frozen=True)
class DscMaps:
    """Maps on the native grid of the series, and how they came about; as `dce.DceMaps`.

    `masks` holds ``leakage_reference`` and ``nawm`` where there are such, `record` what more fit.json says.
    """

    maps: dict[str, sitk.Image]
    mask: sitk.Image
    aif: Aif
    settings: DscSettings
    bolus: Bolus
    times_s: np.ndarray
    mean_curve: np.ndarray
    mean_fit: np.ndarray
    units: dict[str, str]
    medians: dict[str, float | None]
    notes: list[str]
    masks: dict[str, sitk.Image] = field(default_factory=dict)
    record: Mapping[str, object] = field(default_factory=dict)
    sd: dict[str, sitk.Image] = field(default_factory=dict)
    aif_unit: str = "ΔR2* (1/s)"
    curve_unit: str = "ΔR2* (1/s)"
    curve_title: str = ""
    fit_label: str = "leakage-corrected"


@dataclass(frozen=True)
class _Prepared:
    """A series from steady state on, at even times, with the bolus found."""

    series: Series
    times_s: np.ndarray
    bolus: Bolus
    region: np.ndarray
    inside: np.ndarray
    fitted: np.ndarray
    notes: list[str]

    @property
    def n_baseline(self) -> int:
        return self.bolus.arrival - self.bolus.steady

    @property
    def n_tail(self) -> int:
        return min(N_TAIL, self.times_s.size)


def _prepare(series: Series, times_s: np.ndarray, settings: DscSettings, mask: sitk.Image | None) -> _Prepared:
    check_settings(settings, series)
    times = check_times(times_s, series.n_times, series.name)
    notes: list[str] = []
    signal = settings.input == "signal"
    inside = mask_array(mask, series, signal)
    fitted = usable_voxels(series, inside, mask is not None, signal, settings.allow_invalid_voxels)
    region = search_mask(series, fitted, mask is not None) if signal else fitted
    bolus = _find_passing_bolus(series.curves(region), not signal, series.name)
    frames = series.frames[bolus.steady :]
    times = times[bolus.steady :]
    if bolus.steady:
        notes.append(f"the first {bolus.steady} frames, before steady state, were left out")
    gaps = np.diff(times)
    if np.ptp(gaps) > 0.02 * np.median(gaps):
        even = times[0] + np.median(gaps) * np.arange(int((times[-1] - times[0]) / np.median(gaps) + 1e-6) + 1)
        moved = resample_time(np.moveaxis(frames, 0, -1), times, even)
        frames, times = np.ascontiguousarray(np.moveaxis(moved, -1, 0), np.float32), even
        notes.append(
            f"the frame times are uneven ({gaps.min():.2f} to {gaps.max():.2f} s); curves were resampled to even ones"
        )
    steady = Series(frames, series.grid, series.name)
    n_baseline = bolus.arrival - bolus.steady
    notes.append(f"the bolus arrives at {times[n_baseline]:.1f} s; baseline of {n_baseline} frames")
    if n_baseline < 5:
        notes.append(f"the baseline has only {n_baseline} frames: ΔR2* is less certain")
    return _Prepared(steady, times, bolus, region, inside, fitted, notes)


def _find_passing_bolus(curves: np.ndarray, rising: bool, name: str) -> Bolus:
    """The bolus in the 5 % of curves that change most and come back.

    At edges, a head that moves changes the signal more than a bolus does, but for good. Where none comes back, since the series ends too
    early, it is sought in those that change most.
    """
    ends = max(2, curves.shape[1] // 8)
    sign = 1.0 if rising else -1.0
    top = sign * (curves.max(axis=1) if rising else curves.min(axis=1))
    passing = np.min([top - sign * np.median(part, axis=1) for part in (curves[:, :ends], curves[:, -ends:])], axis=0)
    some = np.argsort(-passing, kind="stable")[: max(1, round(0.05 * len(curves)))]
    try:
        return find_bolus(curves[some].mean(axis=0), rising, name)
    except InputError:
        return find_bolus(enhancing_mean(curves, rising), rising, name)


def dsc_aif(
    series: Series,
    times_s: np.ndarray,
    settings: DscSettings,
    aif: str | sitk.Image = "auto",
    mask: sitk.Image | None = None,
) -> Aif:
    """The AIF of a DSC series alone; see `dsc_maps`."""
    p = _prepare(series, times_s, settings, mask)
    return choose_aif(p.series, p.times_s, p.n_baseline, p.region, settings, aif)


def dsc_maps(
    series: Series,
    times_s: np.ndarray,
    settings: DscSettings,
    aif: str | Aif | sitk.Image = "auto",
    mask: sitk.Image | None = None,
    nawm: str | sitk.Image | None = None,
    brain: sitk.Image | None = None,
    lesion: sitk.Image | None = None,
    progress: Progress = silent,
    device: str = "auto",
) -> DscMaps:
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

    Raises
    ------
    InputError
        If the series, its times, a mask or the AIF cannot be used; the text says why.
    """
    progress(0.05, "finding the bolus")
    p = _prepare(series, times_s, settings, mask)
    progress(0.15, "arterial input function")
    chosen = choose_aif(p.series, p.times_s, p.n_baseline, p.region, settings, aif)
    p.notes.extend(chosen.notes)
    dt = float(np.median(np.diff(p.times_s)))
    p.notes.extend(protocol_notes(settings, dt, p.times_s.size, p.n_baseline))
    curves = dr2star(p.series.curves(p.fitted), settings, p.n_baseline)
    reference, in_lesion = None, None
    if lesion is not None:
        in_lesion = mask_array(lesion, p.series)[p.fitted]
    if in_lesion is not None and settings.leakage in ("bsw", "bidirectional", "auto"):
        reference = reference_voxels(curves, p.n_baseline, N_TAIL) & ~in_lesion
        reference = reference if reference.sum() >= 20 else None
    fit = perfusion_maps(
        curves,
        dt,
        chosen.concentration,
        settings.leakage,
        settings.deconvolution,
        reference,
        device,
        part(progress, 0.2, 0.9),
        excitation(settings),
    )
    progress(0.9, "maps")
    values = {"cbv": fit.cbv, "cbf": fit.cbf, "mtt": fit.mtt_s, "tmax": fit.tmax_s}
    values["ttp"] = np.where(
        np.isfinite(fit.cbv), dt * (np.argmax(np.nan_to_num(curves), axis=1) - p.n_baseline), np.nan
    )
    p.notes.append("ttp: from the arrival to the highest frame")
    for name in ("k1", "k2", "kep"):
        if getattr(fit, name) is not None:
            values[name] = getattr(fit, name)
    if fit.model is not None:
        values["leakage_model"] = np.where(fit.model > 0, fit.model, np.nan)
        share = np.bincount(fit.model, minlength=4)[1:] / max((fit.model > 0).sum(), 1)
        text = ", ".join(f"{n} {100 * v:.0f} %" for n, v in zip(CORRECTIONS, share))
        p.notes.append(f"leakage correction by corrected Akaike criterion: {text} of the voxels")
    heights, note = recovery(curves, p.times_s, p.n_baseline, p.bolus.peak - p.bolus.steady, settings.te_ms, p.n_tail)
    p.notes.append(note)
    values |= heights
    record = _trust(p, settings, fit, curves, in_lesion)
    return _collect(p, settings, chosen, fit, values, curves, record, nawm, brain, lesion, in_lesion)


def _trust(
    p: _Prepared, settings: DscSettings, fit: DscFit, curves: np.ndarray, in_lesion: np.ndarray | None
) -> dict[str, object]:
    """Windows, and how strong T1 effects are, for fit.json; what a reader must know of them goes into the notes."""
    times, known = p.times_s.astype(float).tolist(), np.isfinite(fit.cbv)
    windows = {"baseline": [times[0], times[p.n_baseline - 1]], "recovery": [times[-p.n_tail], times[-1]]}
    record: dict[str, object] = {"windows_s": windows}
    inside, where = (known, "") if in_lesion is None else (known & in_lesion, "of the lesion ")
    found = t1_effect(curves, fit.corrected, p.n_baseline, p.n_tail, settings.te_ms, inside)
    through = fit.shine_through is not None
    record["t1_effect"] = {**found, "voxels": int(inside.sum())}
    if through:
        record["t1_effect"]["through_signal_equation"] = int(fit.shine_through.sum())
        p.notes.append(
            f"leakage that acts on T1 went through the signal equation (flip angle {settings.flip_angle_deg:g} degrees, TR "
            f"{settings.tr_ms:g} ms, T1 {settings.t10_s:g} s before the bolus) in {int(fit.shine_through.sum())} voxels"
        )
    p.notes.extend(t1_notes(found, int(inside.sum()), where, settings.leakage, through))
    return record


def _collect(
    p: _Prepared,
    settings: DscSettings,
    aif: Aif,
    fit: DscFit,
    values: dict[str, np.ndarray],
    curves: np.ndarray,
    record: dict[str, object],
    nawm: str | sitk.Image | None,
    brain: sitk.Image | None,
    lesion: sitk.Image | None,
    in_lesion: np.ndarray | None,
) -> DscMaps:
    known = np.isfinite(fit.cbv)
    done = np.zeros_like(p.fitted)
    done[p.fitted] = known

    def whole(v: np.ndarray) -> np.ndarray:
        result = np.zeros(p.fitted.shape, np.float32)
        result[p.inside] = np.nan
        result[p.fitted] = np.where(known, v, np.nan)
        return result

    arrays = {name: whole(v) for name, v in values.items()}
    masks = {}
    if fit.reference is not None:
        where = np.zeros_like(p.fitted)
        where[p.fitted] = fit.reference
        masks["leakage_reference"] = p.series.grid.image(where)
        p.notes.append(f"leakage reference: {int(fit.reference.sum())} non-enhancing voxels (leakage_reference)")
    normal: Reference | None = None
    if isinstance(nawm, sitk.Image):
        normal = given_nawm(nawm, p.series.grid, arrays["cbv"], done)
    elif nawm == "auto" and brain is not None and lesion is not None:
        normal = find_nawm(brain, lesion, p.series.grid, arrays["cbv"], done)
    elif nawm == "auto":
        p.notes.append("no ncbv and ncbf: automatic normal white matter needs a brain mask and a lesion mask")
    if normal is not None:
        p.notes.append(normal.note)
        if normal.mask is not None:
            masks["nawm"] = p.series.grid.image(normal.mask)
            for name in ("cbv", "cbf"):
                level = float(np.nanmean(arrays[name][normal.mask]))
                arrays[f"n{name}"] = arrays[name] / level
                record[f"nawm_{name}"] = level
            record["nawm_cbv_sd"] = float(np.nanstd(arrays["cbv"][normal.mask]))
    if not known.all() or done.sum() < p.inside.sum():
        p.notes.append(
            f"{int(p.inside.sum() - done.sum())} of {int(p.inside.sum())} voxels of the mask could not be fitted and are NaN"
        )
    sd = {n: getattr(fit, f"{n}_sd") for n in ("k1", "k2")}
    sd = {n: p.series.grid.image(whole(v)) for n, v in sd.items() if v is not None}
    finite = {n: a[done][np.isfinite(a[done])] for n, a in arrays.items()}
    medians = {n: float(np.median(v)) if v.size else None for n, v in finite.items()}
    # The picture shows what the correction does where it does most.
    top = np.flatnonzero(known if in_lesion is None or not (known & in_lesion).any() else known & in_lesion)
    weight = curves[top].max(axis=1) if fit.k1 is None else np.abs(fit.corrected[top] - curves[top]).mean(axis=1)
    top = top[np.argsort(-weight, kind="stable")[: max(1, top.size // 20)]]
    after = fit.corrected[top].mean(axis=0) if fit.k1 is not None else np.full(p.times_s.size, np.nan)
    what = "the lesion's" if in_lesion is not None and in_lesion[top].all() else "all"
    title = f"mean of the 5 % of {what} voxels that {'change most' if fit.k1 is None else 'leak most'}"
    return DscMaps(
        {n: p.series.grid.image(a.astype(np.float32)) for n, a in arrays.items()},
        p.series.grid.image(done),
        aif,
        settings,
        p.bolus,
        p.times_s,
        curves[top].mean(axis=0),
        after,
        {n: UNITS[n] for n in arrays},
        medians,
        p.notes,
        masks,
        record,
        sd,
        curve_title=title,
    )


def write(
    result: DscMaps,
    out_dir: str | Path,
    format: str = "nii.gz",
    regions: Mapping[str, sitk.Image] | None = None,
) -> dict:
    """Write maps, masks, aif.csv, fit.json and qc.png, all or nothing; returns the record in fit.json.

    With `regions` (masks by name on the grid of the maps), regions.csv and regions_histogram.csv too.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    from ..output import write_maps

    return write_maps(result, out_dir, format, "dsc", regions)
