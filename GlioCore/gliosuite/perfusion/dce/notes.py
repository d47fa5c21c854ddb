"""What a reader of DCE maps must know: of the series, of the AIF, and of the fit."""

import numpy as np
from scipy.special import stdtrit

from ...errors import option
from ..aif import Aif, is_clipped, peak_width
from ..fit import AUTO, FALSE_ALARMS, CurveFit
from ..prepared import Prepared
from ..settings import HEMATOCRIT, DceSettings
from ..signal import FLOOR_SNR, near_floor
from .dispersion import has_plasma, usual_delay

DRIFT = 0.03  # of the signal from the first frame to the last; chosen, it moves ve of tumour by a tenth
_WORTH_SAYING = 0.001  # of the curves; chosen: fewer lie in air and at rims
_CERTAIN = 0.99  # of the interval that a drift must lie outside 0 in
_LEAST_BASELINE = 4  # frames that show a slope beside their own scatter; chosen
# Samples at the top of an AIF that are as good as one: two by so little, s apart, or three by so much where few lie above half height.
# Chosen: neither a peak nor noise makes such.
_SAME, _COARSE_S = 1e-5, 1.0
_NEARLY, _FEW = 0.01, 4
# Of what leaks beyond doubt; and the share without plasma that is said. Chosen: of simulated patients' leaking voxels
# 2 to 30 % have none, of phantoms without vessels 85 % and more.
_LEAKING_SD, _MOSTLY = 3.0, 0.5
# Of the brain's median vp: blood volumes of 2 to 4 % are usual, of which .6 is plasma. Chosen, as more than twice outside.
_USUAL_VP = (0.006, 0.045)
_BRAIN_CC = 500.0  # of fitted voxels that are mostly normal brain; chosen, a lesion's own vp may be anything
_EARLY_S = 0.5  # of most tissue before its artery; chosen, what frames tell of an arrival is surer than that


def series_notes(p: Prepared, settings: DceSettings, t10_s: float | np.ndarray, sigma: float) -> list[str]:
    """Sentences on a signal's noise floor (SD `sigma`), its drift, and a T1 that was not measured; none of concentrations."""
    if settings.input == "concentration":
        return []
    result = []
    low = near_floor(p.fitted_curves(), p.n_baseline, sigma)
    if float(low.mean()) >= _WORTH_SAYING:
        result.append(
            f"the noise floor of the magnitude (SD {sigma:.3g}) was subtracted from {100 * float(low.mean()):.1f} % of the curves, whose "
            f"signal before contrast is below {FLOOR_SNR:g} times the noise ({option('--no-noise-floor')} leaves it)"
        )
    drift = signal_drift(p.raw[:, : p.n_baseline], p.times_s)
    if abs(drift) >= DRIFT:
        result.append(
            f"the signal drifts: before contrast it {'rises' if drift > 0 else 'falls'} at a rate of {100 * abs(drift):.0f} % over "
            "the scan, which kinetic maps take for contrast agent; ve and low ktrans are wrong by more than that"
        )
    if isinstance(t10_s, float):
        result.append(
            f"T1 before contrast was assumed to be {t10_s:g} s everywhere, not measured: where it is 20 % longer, ktrans, ve and vp "
            f"are about 20 % too high ({option('--t10')} takes a map)"
        )
    return result


def signal_drift(baseline: np.ndarray, times_s: np.ndarray) -> float:
    """Change of the signal over all times (t,), as a share of it, that its baseline (n, b) shows; 0 where that is within its error.

    The slope of the median over the curves, each over its mean: noise of single curves does not count, only what moves most of them. The
    last frame is left out, in which the first vessels may have agent already.
    """
    baseline = baseline[:, :-1]
    count = baseline.shape[1]
    if count < _LEAST_BASELINE:
        return 0.0
    level = baseline.mean(axis=1, dtype=np.float64)
    median = np.median(baseline[level > 0] / level[level > 0, None], axis=0)
    centred = times_s[:count] - times_s[:count].mean()
    size = float(centred @ centred)
    slope = float(centred @ median) / size
    rest = median - median.mean() - slope * centred
    error = float(np.sqrt(rest @ rest / (count - 2) / size))
    certain = abs(slope) > stdtrit(count - 2, 0.5 + 0.5 * _CERTAIN) * error
    return slope * float(times_s[-1] - times_s[0]) if certain else 0.0


def aif_notes(aif: Aif, hematocrit: float) -> list[str]:
    """Sentences on a haematocrit that was taken as usual, and on an AIF whose top is cut off."""
    result = []
    if aif.method in ("auto", "mask") and hematocrit == HEMATOCRIT:
        result.append(
            f"the haematocrit was taken to be {hematocrit:g}, a usual one: where the patient's is .05 higher, ktrans, ve and vp are "
            f"9 % too high, and 8 % too low where it is .05 lower ({option('--hematocrit')})"
        )
    times, values = aif.times_s, aif.concentration
    if aif.measured is not None and aif.measured_times_s is not None:
        times, values = aif.measured_times_s, aif.measured
    if has_plateau(values, times):
        result.append(
            "the AIF has a plateau in place of a peak, as if it were clipped (signal beyond its highest value): vp is then too high"
        )
    return result


def has_plateau(values: np.ndarray, times_s: np.ndarray) -> bool:
    """Whether an AIF (t,) is about as wide at its top as below; of few samples, whether the highest are as good as one value."""
    seen = np.isfinite(values)
    top, times = values[seen], times_s[seen]
    frame, best = float(np.median(np.diff(times))), int(np.argmax(top))

    def run(share: float) -> int:
        """How many samples next to each other lie at most this share below the highest."""
        low = np.flatnonzero(top < (1.0 - share) * top[best])
        return int(low[low > best].min(initial=top.size) - low[low < best].max(initial=-1)) - 1

    same = frame >= _COARSE_S and run(_SAME) >= 2
    nearly = peak_width(top, times, 0.5) < _FEW * frame and run(_NEARLY) >= 3
    return bool(same or nearly or is_clipped(top, times))


def unusual_vp(vp: np.ndarray, voxel_cc: float) -> float | None:
    """The median of a head's vp (n,) where no brain has such a one, so that its AIF must be wrong; else, or of less than a brain, None."""
    known = vp[np.isfinite(vp)]
    if known.size * voxel_cc < _BRAIN_CC:
        return None
    median = float(np.median(known))
    return median if median < _USUAL_VP[0] or median > _USUAL_VP[1] else None


def fit_notes(fit: CurveFit, known: np.ndarray, sd_ve: np.ndarray | None, voxel_cc: float) -> list[str]:
    """Sentences on a fit, of its voxels of `voxel_cc` that are `known` (n,); `sd_ve` (n,) is not finite where ve is unknown."""
    if not known.any():
        return []
    result = [
        f"the model does not fit in {100 * float(fit.misfit[known].mean()):.1f} % of the voxels (neighbouring residuals are "
        f"correlated; {100 * FALSE_ALARMS:.0f} % is expected by chance)"
    ]
    if fit.ve_valid is not None and sd_ve is not None:
        result.append(
            f"ve lies outside 0-1 in {100 * float(np.mean(~fit.ve_valid[known])):.1f} % of the fitted voxels; in "
            f"{100 * float(np.mean(~np.isfinite(sd_ve[known]))):.1f} % the curves do not determine it, so its SD is undefined and "
            "pictures leave it out"
        )
    if fit.model == "etm" and "delay" in fit.values:
        # Without plasma, vp A and a delay of vp / ktrans are one to first order: A = (dC/dt + kep C) / ktrans.
        leaking = known & (fit.values["ktrans"] > _LEAKING_SD * fit.sd["ktrans"])
        bare = float(np.mean(~has_plasma(fit)[leaking])) if leaking.any() else 0.0
        if bare > _MOSTLY:
            result.append(
                f"in {100 * bare:.0f} % of the voxels that leak, vp is within its noise: a little plasma that is not there passes for a "
                f"later arrival, and ktrans is then too low, most where kep is high; {option('--model')} auto or tofts does without vp"
            )
    if "vp" in fit.values and (median := unusual_vp(fit.values["vp"][known], voxel_cc)) is not None:
        much, little = ("high", "low") if median > _USUAL_VP[1] else ("low", "high")
        result.append(
            f"the median vp is {100 * median:.1f} %, where a brain has about 2: the AIF is probably too {little}, and ktrans, ve and vp "
            f"are then too {much} by as much"
        )
    if "delay" in fit.values and "vp" in fit.values and (early := usual_delay(fit, known)) <= -_EARLY_S:
        result.append(
            f"in most voxels the bolus arrives before it does in the AIF ({-early:.1f} s, median): the AIF is late, as a vein's is, and "
            f"ktrans and vp are wrong; choose another ({option('--aif')})"
        )
    if fit.chosen is not None:
        counts = np.bincount(fit.chosen[known], minlength=len(AUTO) + 1)[1:]
        share = ", ".join(f"{m} {100 * c / known.sum():.0f} %" for m, c in zip(AUTO, counts))
        result.append(f"model by corrected Akaike criterion: {share}")
    return result
