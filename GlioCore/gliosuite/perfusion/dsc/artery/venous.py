"""A DSC AIF scaled to a venous output function."""

from dataclasses import replace

import numpy as np

from ....errors import InputError
from ...aif import Aif, find_sinus, first_pass, is_clipped
from ...aif.arteries import first_moment
from ...aif.sinus import LATER_S
from ...prepared import Prepared
from ...settings import DscSettings
from .choice import dr2star, search_arteries
from .concentration import blood_concentration, blood_dr2star


def before_a_vein(aif: Aif, p: Prepared, settings: DscSettings) -> tuple[Aif, np.ndarray | None]:
    """A picked AIF, with a note where it comes later than the arteries found automatically, as a vein does; and then their ΔR2*."""
    curves = dr2star(p.raw, settings, p.n_baseline)
    try:
        index, _ = search_arteries(p, settings, curves)
    except InputError:
        return aif, None  # none is found, so that nothing speaks against the pick
    first = curves[index].mean(axis=0).astype(np.float64)
    own, of_first = (first_moment(c, p.times_s, p.n_baseline) for c in (aif.concentration, first))
    later = own - of_first
    if later < LATER_S[0]:
        return aif, None
    said = (
        f"the AIF's voxels show the bolus {later:.1f} s after the arteries that are found automatically, as a vein does: tmax and what "
        "hangs on it come out too small"
    )
    return replace(aif, notes=(*aif.notes, said)), first


def to_vof(aif: Aif, p: Prepared, settings: DscSettings, relation: str, first: np.ndarray | None = None) -> Aif:
    """Scale an AIF to the area of a sinus' first pass: what a small artery lacks is what its voxels share with tissue.

    Areas are those of concentrations: ΔR2* of a vein follows the same `relation` (`blood_concentration`) as that of an artery, and
    its lower, wider bolus has less of the quadratic part. A sinus is later than an artery: than `first` (ΔR2*, (t,)) where the AIF is
    itself a vein's (`before_a_vein`).
    """
    series, times_s, n_baseline = p.series, p.times_s, p.n_baseline
    curves = dr2star(p.raw, settings, n_baseline)
    earlier = aif.concentration if first is None else first
    found = find_sinus(curves, p.region, series.grid.spacing, times_s, n_baseline, earlier)
    if found is None or found.why_not:
        why = found.why_not if found else "no large vein was found"
        return replace(aif, notes=(*aif.notes, f"the AIF is not scaled to a venous output function: {why}"))
    vein = dr2star(series.curves(found.voxels), settings, n_baseline).mean(axis=0).astype(np.float64)
    if is_clipped(vein, times_s):
        why = "the vein has a plateau instead of a peak, so its signal is probably clipped"
        return replace(aif, notes=(*aif.notes, f"the AIF is not scaled to a venous output function: {why}"))
    window = first_pass(times_s, n_baseline)
    artery = blood_concentration(aif.concentration, relation)
    factor = float(blood_concentration(vein, relation)[window].sum() / artery[window].sum())
    numbers = {f"sinus_{k}": v for k, v in found.quality.items()} | {"sinus_factor": factor}
    return replace(
        aif,
        concentration=blood_dr2star(factor * artery, relation),
        how=f"{aif.how}; concentration times {factor:.2f} for the area of a venous sinus ({int(found.voxels.sum())} voxels)",
        quality={**aif.quality, **numbers},
        sinus=found.voxels,
    )
