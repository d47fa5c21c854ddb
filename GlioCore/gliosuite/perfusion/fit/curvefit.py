"""Kinetic fit (DCE) by variable projection: a global search over rates and delays, then a bounded polish to the optimum.

For every voxel the search takes the best node of a grid of kep (and delay), the linear parameters being solved for exactly; it is one
matrix product per block of voxels. A bounded Levenberg-Marquardt iteration in the same subspace then goes to the optimum. Nothing is
random and nothing depends on a start value. The search without a delay is float32, the polish float64.

Where numba is installed and curves are many, compiled kernels (`compiled`) go the same way voxel by voxel: to the same sum of squares
within 1e-6, but for a few curves in a thousand that have several minima.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ...errors import InputError, option
from ...steps import Progress, part, silent
from .. import kinetics
from ..noise import SignalNoise
from ..settings import MODELS
from .bases import Bases, build_bases
from .blocks import Bounds, FitSettings, fit_blocks
from .models import KINETIC

AUTO = ("tofts", "patlak", "etm")  # what `auto` chooses from, in the order of the labels 1, 2, 3
# Chosen: beyond what tissue and vessels have, delays from a little before the AIF's artery. A kep above 5 /min (12 s or less outside
# vessels) is plasma that arrives late or dispersed and passes for a fast compartment: in simulated patients normal brain had it, no tumour.
DEFAULT_BOUNDS = {
    "ktrans": (0.0, 5.0),
    "ve": (1e-4, 1.0),
    "vp": (0.0, 1.0),
    "kep": (1e-3, 5.0),
    "fp": (0.0, 500.0),
    "ps": (0.0, 5.0),
    "delay": (-5.0, 12.0),
}
_PLAUSIBLE = 0.05  # Akaike weight of a model that a 95 % interval cannot leave out
_BLOCK = 8192  # voxels predicted at a time: bounds the memory


@dataclass(frozen=True)
class CurveFit:
    """What `fit_curves` found. Arrays are float32 (n,); None where the model lacks the parameter.

    Attributes
    ----------
    model
        The model asked for.
    values
        The parameters in float64, as `predict` uses them.
    sd
        Standard deviations by name, from the curvature at the optimum and the residual; infinite where the data do not tell a parameter.
    sse
        Sum of squared residuals in mM^2.
    misfit
        Where the residuals show that the model does not fit (bool); see `uncertainty.misfit_limit`.
    chosen
        With ``model="auto"``: 1, 2, 3 for tofts, patlak, etm; None otherwise.
    unclamped
        ktrans (or ps) and vp (n,) where they may be below 0, for statistics; None where they were not asked for.
    """

    model: str
    times_s: np.ndarray
    aif_plasma: np.ndarray
    aif_times_s: np.ndarray
    values: dict[str, np.ndarray]
    sd: dict[str, np.ndarray]
    sse: np.ndarray
    misfit: np.ndarray
    chosen: np.ndarray | None = None
    n_parameters: int = 0
    unclamped: dict[str, np.ndarray] | None = None

    def _get(self, name: str) -> np.ndarray | None:
        return self.values[name].astype(np.float32) if name in self.values else None

    @property
    def ktrans(self) -> np.ndarray | None:
        """Transfer constant, 1/min; for the exchange models fp ps / (fp + ps)."""
        return self._get("ktrans")

    @property
    def ve(self) -> np.ndarray | None:
        """Extravascular extracellular fraction, ktrans / kep; not clipped (see `ve_valid`)."""
        return self._get("ve")

    @property
    def vp(self) -> np.ndarray | None:
        """Plasma fraction."""
        return self._get("vp")

    @property
    def kep(self) -> np.ndarray | None:
        """Rate constant, 1/min."""
        return self._get("kep")

    @property
    def fp(self) -> np.ndarray | None:
        """Plasma flow, ml/100ml/min."""
        return self._get("fp")

    @property
    def ps(self) -> np.ndarray | None:
        """Permeability surface product, 1/min."""
        return self._get("ps")

    @property
    def delay_s(self) -> np.ndarray | None:
        """Arrival after the AIF, s; None where it was not fitted."""
        return self._get("delay")

    @property
    def ve_valid(self) -> np.ndarray | None:
        """Where ve lies in 0-1."""
        return None if "ve" not in self.values else (self.values["ve"] >= 0) & (self.values["ve"] <= 1)

    def rows(self, index: np.ndarray) -> "CurveFit":
        """The fit of some voxels only."""
        return replace(
            self,
            values={name: v[index] for name, v in self.values.items()},
            sd={name: v[index] for name, v in self.sd.items()},
            sse=self.sse[index],
            misfit=self.misfit[index],
            chosen=None if self.chosen is None else self.chosen[index],
        )

    def predict(self, times_s: ArrayLike | None = None) -> np.ndarray:
        """The fitted curves (n, t) in mM, from the forward models themselves; float64."""
        times = self.times_s if times_s is None else np.asarray(times_s, np.float64)
        result = np.full((self.sse.size, times.size), np.nan)
        known = np.isfinite(self.sse)
        for i in range(0, self.sse.size, _BLOCK):
            rows = np.flatnonzero(known[i : i + _BLOCK]) + i
            if self.chosen is None:
                result[rows] = self._forward(self.model, rows, times)
                continue
            for label, model in enumerate(AUTO, 1):
                some = rows[self.chosen[rows] == label]
                result[some] = self._forward(model, some, times)
        return result

    def _forward(self, model: str, rows: np.ndarray, times: np.ndarray) -> np.ndarray:
        function, names = _FORWARD[model]
        values = {n: self.values[n][rows] for n in names}
        delay = self.values["delay"][rows] if "delay" in self.values else 0.0
        # Without this the exact convolution would be asked for at shifted times where none are needed.
        nodes = None if times is self.aif_times_s else self.aif_times_s
        return function(times, self.aif_plasma, **values, delay_s=delay, aif_times_s=nodes)


_FORWARD: dict[str, tuple[Callable[..., np.ndarray], tuple[str, ...]]] = {
    "tofts": (kinetics.tofts, ("ktrans", "ve")),
    "etm": (kinetics.extended_tofts, ("ktrans", "ve", "vp")),
    "patlak": (kinetics.patlak, ("ps", "vp")),
    "2cxm": (kinetics.two_cxm, ("fp", "ps", "ve", "vp")),
    "2cum": (kinetics.two_cum, ("fp", "ps", "vp")),
}


def fit_curves(
    curves_mM: ArrayLike,
    times_s: ArrayLike,
    aif_plasma_mM: ArrayLike,
    model: str = "etm",
    delay: bool = False,
    aif_times_s: ArrayLike | None = None,
    bounds: Bounds | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    unclamped: bool = False,
    noise: SignalNoise | None = None,
) -> CurveFit:
    """Fit a kinetic model to concentration curves by nonlinear least squares (variable projection).

    The sum of squares ``sum_t (C(t) - model(t))^2`` is lowest within the bounds; the models and their equations are those of `kinetics`
    (``tofts``, ``extended_tofts``, ``patlak``, ``two_cxm``, ``two_cum``). Standard deviations are those of Gauss and Newton,
    ``sqrt(diag((J^T J)^-1) sse / (t - p))``, widened by the profile likelihood where kep is not determined; with `noise`, those of
    noise that is neither even nor independent (`uncertainty.with_signal_noise`). Those of ve and kep are infinite where ktrans may be 0,
    or kep at its bound, that of a delay at an end of its range.

    Parameters
    ----------
    curves_mM
        Tissue concentration (n, t) in mM; rows with a value that is not finite come back as NaN.
    times_s
        (t,) in s, rising.
    aif_plasma_mM
        Plasma concentration (m,) in mM.
    model
        ``"tofts"``, ``"etm"`` (extended Tofts), ``"patlak"``, ``"2cxm"``, ``"2cum"``, or ``"auto"``: tofts, patlak or etm per voxel,
        whichever has the lowest corrected Akaike criterion.
    delay
        Whether to fit each voxel's arrival after the AIF.
    aif_times_s
        Times (m,) of the AIF; `times_s` where None.
    bounds
        Lowest and highest value by parameter, in place of `DEFAULT_BOUNDS` (ktrans, kep, ps 1/min; ve, vp; fp ml/100ml/min; delay s).
    device
        ``"auto"``, ``"cpu"``, or ``"cuda"`` (torch).
    progress
        Called between blocks of voxels.
    unclamped
        Whether to fit curves whose ktrans, ps or vp ended at 0 again without that bound, for `CurveFit.unclamped`: means over a region
        of little enhancement are biased upwards where noise cannot make a value negative. For tofts, etm and patlak.
    noise
        How the curves follow from signal, so that standard deviations include the error of the signal before contrast, which all frames
        share, and noise that grows with concentration; None where noise is even and independent.

    Returns
    -------
    CurveFit

    Raises
    ------
    InputError
        If the model is not known, bounds are none (`check_bounds`), or times, AIF and curves do not belong together.

    References
    ----------
    Golub GH, Pereyra V, SIAM J Numer Anal 1973;10:413 (variable projection).

    Examples
    --------
    >>> import numpy as np
    >>> from gliosuite.perfusion.kinetics import extended_tofts, parker_aif
    >>> times_s = np.arange(0.0, 300.0, 5.0)
    >>> aif_plasma_mM = parker_aif(times_s, delay_s=25.0) / (1 - 0.42)
    >>> curves_mM = extended_tofts(times_s, aif_plasma_mM, ktrans=[0.1, 0.2], ve=0.3, vp=0.05)
    >>> fit = fit_curves(curves_mM, times_s, aif_plasma_mM, model="etm")
    >>> fit.ktrans.round(3), fit.vp.round(3)
    (array([0.1, 0.2], dtype=float32), array([0.05, 0.05], dtype=float32))
    """
    progress = progress or silent
    times = np.asarray(times_s, np.float64)
    aif = np.asarray(aif_plasma_mM, np.float64)
    nodes = times if aif_times_s is None else np.asarray(aif_times_s, np.float64)
    curves = np.asarray(curves_mM)
    curves = curves.reshape(-1, curves.shape[-1])
    _check(curves, times, aif, nodes, model)
    if unclamped and model not in ("tofts", "etm", "patlak"):
        raise InputError(f"unclamped estimates are for tofts, etm and patlak, not for {model}")
    check_bounds(bounds or {})
    limits: dict[str, tuple[float, float]] = {**DEFAULT_BOUNDS}
    limits |= {name: (float(low), float(high)) for name, (low, high) in (bounds or {}).items()}
    data, settings = _Input(curves, times, aif, nodes), FitSettings(model, delay, limits, device, noise)
    if model == "auto":
        return _choose(data, settings, progress)
    fit = _fit(data, settings, progress)
    return replace(fit, unclamped=_unclamped(data, settings, fit)) if unclamped else fit


def check_bounds(bounds: Bounds, model: str | None = None, delay: bool = True) -> None:
    """Refuse bounds that are no range, or of what there is not.

    Parameters
    ----------
    model, delay
        Of the fit, where bounds that would have no effect on it are to be refused too.

    Raises
    ------
    InputError
        With the first such bounds.
    """
    names: Iterable[str] = DEFAULT_BOUNDS
    of = "a kinetic model"
    if model is not None:
        models = AUTO if model == "auto" else (model,)
        parts = {n.removeprefix("log_") for m in models for n in KINETIC[m].names} | ({"delay"} if delay else set())
        names, of = [n for n in DEFAULT_BOUNDS if n in parts], f"the model {model}"
    for name, (low, high) in bounds.items():
        if name not in names:
            raise InputError(
                f"bounds of {name} have no effect: {of} has bounds of {', '.join(names)} ({option('--bounds')})"
            )
        # A delay may be fixed; the other parameters are sought in a range.
        if (
            not low <= high < np.inf
            or low == -np.inf
            or (low == high and name != "delay")
            or (name == "kep" and low <= 0)
        ):
            above = ", both above 0," if name == "kep" else ""
            raise InputError(
                f"the bounds of {name} are {low:g} and {high:g}; a lowest and a higher value{above} are needed ({option('--bounds')})"
            )


def _check(curves: np.ndarray, times: np.ndarray, aif: np.ndarray, nodes: np.ndarray, model: str) -> None:
    if model not in MODELS:
        raise InputError(f"kinetic model {model!r} is not known; choose from {', '.join(MODELS)}")
    if curves.shape[1] != times.size:
        raise InputError(f"curves of {curves.shape[1]} time points and {times.size} times; as many times are needed")
    if aif.shape != nodes.shape or not np.isfinite(aif).all():
        raise InputError(
            f"an AIF of {aif.size} samples ({int((~np.isfinite(aif)).sum())} not finite) at {nodes.size} times; "
            "one finite sample per time is needed"
        )
    if (np.diff(times) <= 0).any() or (np.diff(nodes) <= 0).any():
        raise InputError("times that do not rise; each must be later than the one before")
    if not (aif > 0).any():
        raise InputError("the AIF is nowhere above 0 mM; an arterial curve with a bolus is needed")
    if times.size < 6:
        raise InputError(f"curves of {times.size} time points; at least 6 are needed to fit a kinetic model")
    # Nearly always the first one is, and there is no need to look at them all.
    if not (len(curves) and np.isfinite(curves[0]).all()) and not np.isfinite(curves).all(axis=1).any():
        raise InputError(f"none of {len(curves)} curves is finite in all frames; there is nothing to fit")


# -------------------------------------------------------------------------------------------------------------- the fit


@dataclass(frozen=True)
class _Input:
    """Curves (n, t), their times (t,), and the AIF with its times (m,)."""

    curves: np.ndarray
    times_s: np.ndarray
    aif: np.ndarray
    aif_times_s: np.ndarray


def _bases(data: _Input, settings: FitSettings, model: str) -> Bases:
    """Tables of the convolved AIF for a model."""
    delays = settings.bounds["delay"] if settings.delay else None
    return build_bases(data.times_s, data.aif, data.aif_times_s, KINETIC[model].rates(settings.bounds), delays)


def _fit(data: _Input, settings: FitSettings, progress: Progress, bases: Bases | None = None) -> CurveFit:
    """Fit one model; `bases` are its tables where they are there already."""
    model = KINETIC[settings.model]
    bases = bases or _bases(data, settings, settings.model)
    fitted = fit_blocks(data.curves, bases, settings, progress)
    return CurveFit(
        settings.model,
        data.times_s,
        data.aif,
        data.aif_times_s,
        fitted.values,
        fitted.sd,
        fitted.sse.astype(np.float32),
        fitted.misfit,
        None,
        len(model.names) + settings.delay,
    )


def _unclamped(data: _Input, settings: FitSettings, fit: CurveFit) -> dict[str, np.ndarray]:
    """The weights of a fit (ktrans, ps, vp); of curves where one ended at its lower bound, from a fit without that bound."""
    weights: list[str] = [n for n in ("ktrans", "ps", "vp") if n in KINETIC[settings.model].names]
    bounds = settings.bounds
    free = {n: fit.values[n].copy() for n in weights}
    held = np.flatnonzero(np.any([fit.values[n] <= bounds[n][0] for n in weights], axis=0))
    if held.size:
        signed = {**bounds, **{n: (-bounds[n][1], bounds[n][1]) for n in weights}}
        # Only the values are wanted.
        again = _fit(replace(data, curves=data.curves[held]), replace(settings, bounds=signed, noise=None), silent)
        for n in weights:
            free[n][held] = again.values[n]
    return free


def _choose(data: _Input, settings: FitSettings, progress: Progress) -> CurveFit:
    """Fit each model of `AUTO` and take, per voxel, the one with the lowest corrected Akaike criterion; its SDs include the choice.

    References
    ----------
    Hurvich CM, Tsai CL, Biometrika 1989;76:297.
    """
    fits = []
    bases = _bases(data, settings, "etm")  # the rates of all three are those of the bounds of kep
    for i, name in enumerate(AUTO):
        share = part(progress, i / len(AUTO), (i + 1) / len(AUTO))
        fits.append(_fit(data, replace(settings, model=name), share, bases))
    count = data.times_s.size
    criterion = np.array([_criterion(fit, count) for fit in fits])
    known = np.isfinite(fits[0].sse)
    best = np.argmin(np.nan_to_num(criterion, nan=np.inf), axis=0)
    chosen = np.where(known, best, 0)
    pick = lambda arrays: np.choose(chosen, arrays)
    nothing = np.full(data.curves.shape[0], np.nan)
    # Tofts has no plasma space (vp 0), Patlak no way back (kep 0, ve undefined); ps is Patlak's name of ktrans.
    absent = {"vp": np.where(known, 0.0, np.nan), "kep": np.where(known, 0.0, np.nan), "ve": nothing}
    weight = np.exp(-0.5 * (criterion - pick(criterion)))
    plausible = weight > _PLAUSIBLE * weight.sum(axis=0)
    values, sd = {}, {}
    for name in ("ktrans", "ve", "vp", "kep", *(["delay"] if settings.delay else [])):
        found = [f.values.get(name, absent.get(name, nothing)) for f in fits]
        spread = [f.sd[name].astype(np.float64) if name in f.sd else 0.0 * v for f, v in zip(fits, found)]
        values[name] = pick(found)
        sd[name] = _sd_over_models(plausible, np.array(found), np.array(spread), values[name]).astype(np.float32)
    values["ps"] = values["ktrans"]
    return CurveFit(
        "auto",
        data.times_s,
        data.aif,
        data.aif_times_s,
        values,
        sd,
        pick([f.sse for f in fits]),
        pick([f.misfit for f in fits]),
        (chosen + 1).astype(np.uint8) * known,
    )


def _criterion(fit: CurveFit, count: int) -> np.ndarray:
    """Corrected Akaike criterion (n,) of a fit to `count` frames."""
    k = fit.n_parameters + 1
    correction = 2 * k + 2 * k * (k + 1) / max(count - k - 1, 1)
    return count * np.log(np.maximum(fit.sse.astype(np.float64), 1e-30) / count) + correction


def _sd_over_models(plausible: np.ndarray, values: np.ndarray, sd: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """SD (n,) of the chosen model's value that includes the choice: the widest of the plausible models (m, n), about that value.

    Each has its own SD and its distance from the chosen value. The mean of these variances over Akaike weights (Burnham KP, Anderson DR,
    Sociol Methods Res 2004;33:261) is too small where models differ, since a simple one that is preferred is biased: simulated 95 %
    intervals of ktrans 0.02/min then covered 81 to 87 %. Infinite where a plausible model lacks the parameter (NaN).
    """
    lacks = (plausible & np.isnan(values)).any(axis=0)
    widest = np.where(plausible, sd**2 + (values - chosen) ** 2, 0.0).max(axis=0)
    return np.where(np.isnan(chosen), np.nan, np.where(lacks, np.inf, np.sqrt(widest)))
