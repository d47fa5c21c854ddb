"""DSC curves to numbers: leakage correction, blood volume, flow and timing, without images."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ...compute import Device, choose_device
from ...curves import find_bolus
from ...errors import InputError
from ...settings import settings_of
from ...steps import Progress, silent
from ..settings import DscSettings
from .flow.choice import aif_noise, flow
from .leakage.corrections import Leakage, akaike, correct_bidirectional, correct_bsw, correct_residue, reference_voxels
from .leakage.excitation import Excitation
from .leakage.shinethrough import correct_shine_through
from .leakage.vascular import closest, vessels

_EARLY_S = 5.0  # by how much tissue may be earlier than the AIF; chosen: beyond any delay between arteries of a head


@dataclass(frozen=True)
class DscFit:
    """What `perfusion_maps` found; arrays float32 (n,), NaN where a curve is not finite.

    Attributes
    ----------
    cbv
        ml/100ml: 100 times the area of the leakage-corrected curve over that of the AIF as it passes through the voxel (`perfusion_maps`),
        unscaled by kappa.
    cbv_uncorrected
        The same without leakage correction.
    cbf
        ml/100ml/min.
    mtt_s, tmax_s
        s; cbv / cbf, and the time of the residue function's maximum (with the vascular model: its delay).
    k1, k2, k1_sd, k2_sd
        Of the leakage fit (1, 1/s); None with ``leakage="none"``.
    kep
        1/min; with ``bidirectional`` and ``residue``, and where ``auto`` chose one of them.
    model
        With ``auto``: the correction of each voxel, 1 bsw, 2 bidirectional, 3 residue, 0 undefined.
    reference
        Voxels (n,) that served as the non-enhancing reference, or None.
    corrected
        ΔR2* (n, t) with the leakage taken out.
    shine_through
        With ``residue`` or ``auto`` and `Excitation`: voxels (n,) whose leakage went through the signal equation; else None.
    cbv_sd, cbf_sd, mtt_sd
        Standard deviations with ``deconvolution="vascular"`` or ``"auto"``, in the unit of the map; NaN where oSVD was chosen.
    deconvolution
        With ``"auto"``: how each voxel was deconvolved, 1 vascular model, 2 oSVD, 0 undefined.
    said
        What a reader must know of the deconvolution.
    """

    cbv: np.ndarray
    cbv_uncorrected: np.ndarray
    cbf: np.ndarray
    mtt_s: np.ndarray
    tmax_s: np.ndarray
    corrected: np.ndarray
    k1: np.ndarray | None = None
    k2: np.ndarray | None = None
    k1_sd: np.ndarray | None = None
    k2_sd: np.ndarray | None = None
    kep: np.ndarray | None = None
    model: np.ndarray | None = None
    reference: np.ndarray | None = None
    shine_through: np.ndarray | None = None
    cbv_sd: np.ndarray | None = None
    cbf_sd: np.ndarray | None = None
    mtt_sd: np.ndarray | None = None
    deconvolution: np.ndarray | None = None
    said: tuple[str, ...] = ()


def perfusion_maps(
    dr2star: ArrayLike,
    dt_s: float,
    aif_dr2star: ArrayLike,
    leakage: str = "residue",
    deconvolution: str = "osvd",
    reference: np.ndarray | None = None,
    device: str = "auto",
    progress: Progress = silent,
    scan: Excitation | None = None,
) -> DscFit:
    """Blood volume, flow and timing from ΔR2* curves.

    The tissue's curve is the flow times the AIF convolved with the residue function R, ``C(t) = CBF int_0^t Ca(u) R(t - u) du``, R(0) = 1;
    CBF is the highest value of ``CBF R``, Tmax its time, ``CBV = int C / int Ca`` (ml/100ml, without hematocrit and density factors), and
    ``MTT = CBV / CBF``.

    The AIF counts as 0 before its arrival: noise there would pass for agent. Blood volume is the area of the corrected curve over that of
    the AIF as it passes through vessels with the voxel's transit time and delay (`vascular`): agent that recirculates is still on its way
    through the tissue when the series ends, so the plain ratio of areas is too low by up to several percent, and more so where the
    transit is slow.
    Both areas start 5 s before the AIF's arrival, since earlier frames hold nothing but noise, and go on to the last frame.

    Parameters
    ----------
    dr2star
        (n, t) 1/s, baseline near 0.
    dt_s
        Frame interval in s.
    aif_dr2star
        (t,) 1/s.
    leakage
        ``"none"``, ``"bsw"``, ``"bidirectional"`` or ``"residue"`` (see `leakage`), or ``"auto"``: of the three, the one with the lowest
        corrected Akaike criterion in each voxel.
    deconvolution
        ``"osvd"``, ``"csvd"``, ``"ssvd"`` or ``"tikhonov"`` (see `deconvolution`), ``"vascular"`` (see `posterior`; blood volume is then
        the model's, and Tmax its delay), or ``"auto"``: the vascular model where it can be learned, and oSVD elsewhere (see `flow`).
    reference
        Boolean (n,), non-enhancing voxels whose mean curve serves ``bsw`` and ``bidirectional``. Where None, perfused voxels whose last
        ten frames lie within one standard deviation of their baseline (`corrections.reference_voxels`).
    device
        ``"auto"`` or ``"cpu"`` (numpy), or ``"cuda"`` (torch).
    scan
        How the series was excited. With it, ``residue`` and ``auto`` fit leakage through the signal equation where it acts on T1
        (`shinethrough`); without it, the T1 effect of
        leaked agent is taken to be proportional to its amount.

    Raises
    ------
    InputError
        If a method is not known, curves and AIF do not belong together, or there is no such device.

    References
    ----------
    Østergaard L et al., Magn Reson Med 1996;36:715. Wu O et al., Magn Reson Med 2003;50:164 (``osvd``).

    Examples
    --------
    >>> import numpy as np
    >>> from gliosuite.perfusion.kinetics import convolve_sampled
    >>> times_s = 1.5 * np.arange(60)
    >>> aif = np.clip(times_s - 20, 0, None) ** 3 * np.exp(-(times_s - 20) / 1.6)
    >>> mtt_s = np.array([[4.0], [8.0]])
    >>> tissue = convolve_sampled(aif, 0.04 / mtt_s * np.exp(-times_s / mtt_s), step=1.5)  # 4 ml/100ml
    >>> maps = perfusion_maps(tissue, 1.5, aif, leakage="none")
    >>> maps.cbv.round(1), maps.mtt_s.round(1)  # MTT is too long by what regularisation takes from the flow
    (array([4., 4.], dtype=float32), array([5.3, 8.8], dtype=float32))
    """
    curves = np.asarray(dr2star)
    curves = curves.reshape(-1, curves.shape[-1])
    aif = np.array(aif_dr2star, np.float64)
    known = settings_of(DscSettings)
    known["leakage"].check(leakage)
    known["deconvolution"].check(deconvolution)
    if aif.shape != curves.shape[1:] or not np.isfinite(aif).all() or aif.sum() <= 0:
        raise InputError(
            f"an AIF of {aif.size} samples with an area of {aif.sum():.3g} for curves of {curves.shape[1]} time points; as many "
            "finite samples with an area above 0 are needed"
        )
    where = choose_device(device)
    progress(0.0, "leakage")
    arrival = _arrival(aif)
    foot = _foot(aif, arrival)
    noise = aif_noise(aif[:foot], float(aif.max()))
    aif[:foot] = 0.0
    window = slice(max(arrival - int(np.ceil(_EARLY_S / dt_s)), 0), None)
    chosen = None
    if leakage in ("bsw", "bidirectional", "auto"):
        chosen = reference_voxels(curves, max(arrival, 1)) if reference is None else np.asarray(reference, bool)
        chosen = chosen & np.isfinite(curves).all(axis=1)
        if not chosen.any():
            raise InputError("the leakage reference has no voxel with a finite curve; non-enhancing brain is needed")
    fits, shine = _fits(curves, dt_s, aif, leakage, chosen, where, scan)
    progress(0.3, "blood volume")
    corrected, model = (curves, None) if not fits else _best(fits, curves.shape[1])
    area = _passing_area(corrected, dt_s, aif, window, where)
    with np.errstate(divide="ignore", invalid="ignore"):
        cbv = 100.0 * corrected[:, window].sum(axis=1, dtype=np.float64) / area
        before = 100.0 * curves[:, window].sum(axis=1, dtype=np.float64) / area
    progress(0.5, "deconvolution")
    moving = flow(corrected, dt_s, aif, noise, cbv, deconvolution, where)
    found = {k: _chosen(fits, k, model) for k in ("k1", "k2", "k1_sd", "k2_sd", "kep")} if fits else {}
    single = lambda a: np.asarray(a, np.float32)
    more = {k: single(v) for k, v in found.items() if v is not None}
    progress(1.0, "deconvolution")
    spread = {k: getattr(moving, k) for k in ("cbv_sd", "cbf_sd", "mtt_sd")}
    more |= {k: single(v) for k, v in spread.items() if v is not None}
    return DscFit(
        single(moving.cbv),
        single(before),
        single(moving.cbf),
        single(moving.mtt_s),
        single(moving.tmax_s),
        corrected,
        reference=chosen,
        model=model,
        shine_through=shine,
        deconvolution=moving.chosen,
        said=moving.said,
        **more,
    )


def _arrival(aif: np.ndarray) -> int:
    """First frame with agent in the AIF."""
    try:
        return find_bolus(aif, True).arrival
    except InputError:
        return int(np.argmax(aif > 0.1 * aif.max()))


def _foot(aif: np.ndarray, arrival: int) -> int:
    """Where the AIF leaves 0: `arrival`, or up to three frames before it that are above two standard deviations of those before them."""
    noise = aif[: max(arrival - 3, 0)].std() if arrival > 5 else 0.0
    start = arrival
    while start > max(arrival - 3, 0) and aif[start - 1] > 2.0 * noise:
        start -= 1
    return start


def _fits(
    curves: np.ndarray,
    dt_s: float,
    aif: np.ndarray,
    leakage: str,
    chosen: np.ndarray | None,
    device: Device,
    scan: Excitation | None,
) -> tuple[list[Leakage], np.ndarray | None]:
    """The fits that are wanted, and where the last of them went through the signal equation."""
    fits, shine, mean_area = [], None, 0.0
    if chosen is not None:
        mean = curves[chosen].mean(axis=0, dtype=np.float64)
        mean_area = mean.sum()
        if leakage in ("bsw", "auto"):
            fits.append(correct_bsw(curves, dt_s, mean, device))
        if leakage in ("bidirectional", "auto"):
            fits.append(correct_bidirectional(curves, dt_s, mean, device))
    if leakage in ("residue", "auto"):
        table = vessels(aif, dt_s, True)
        fits.append(correct_residue(curves, dt_s, aif, device, table))
        if scan is not None:
            fits[-1], shine = correct_shine_through(curves, dt_s, aif, fits[-1], table, scan, device)
    if leakage == "auto":
        # One map of K1 needs one unit: the reference curve, whose vascular part is smaller than the AIF by the ratio of areas.
        unit = float(aif.sum() / mean_area)
        fits[-1] = replace(fits[-1], k1=unit * fits[-1].k1, k1_sd=unit * fits[-1].k1_sd)
    return fits, shine


def _best(fits: list[Leakage], count: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The corrected curves, and with several fits the number (from 1) of the one that is chosen for each."""
    if len(fits) == 1:
        return fits[0].corrected, None
    criteria = np.stack([akaike(fit, count) for fit in fits])
    known = np.isfinite(criteria).all(axis=0)
    model = np.where(known, np.argmin(np.where(known, criteria, 0.0), axis=0) + 1, 0).astype(np.uint8)
    corrected = fits[0].corrected
    for number, fit in enumerate(fits[1:], 2):
        corrected[model == number] = fit.corrected[model == number]
    return corrected, model


def _chosen(fits: list[Leakage], name: str, model: np.ndarray | None) -> np.ndarray | None:
    values = [getattr(fit, name) for fit in fits]
    if model is None:
        return values[0]
    undefined = np.full(model.size, np.nan)
    return np.choose(model, [undefined, *(undefined if v is None else v for v in values)])


def _passing_area(curves: np.ndarray, dt_s: float, aif: np.ndarray, window: slice, device: Device) -> np.ndarray:
    """Sum (n,) over the window of the AIF as it passes through vessels of each curve's transit time and delay."""
    table = vessels(aif, dt_s, False)
    areas = table.vessel.reshape(-1, aif.size)[:, window].sum(axis=1)
    return areas[closest(curves, table, device)]
