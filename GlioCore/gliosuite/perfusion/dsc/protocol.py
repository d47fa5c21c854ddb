"""What can be said of a DSC series before its maps are trusted: the protocol beside the recommendations, and T1 effects beyond correction.

None of it blocks; all of it goes into the notes and fit.json.

References
----------
Boxerman JL et al., Neuro Oncol 2020;22:1262 (flip angle, preload, echo time). Welker K et al., AJNR 2015;36:E41 (frames).
"""

import numpy as np

from ...errors import option
from ..settings import DscSettings

# Boxerman 2020.
ECHO_MS = (20.0, 50.0)  # 20-35 at 3 T, 40-50 at 1.5 T
LOW_FLIP_DEG = 35.0  # up to here no preload is asked for (30 degrees)
HIGH_FLIP_DEG = 70.0  # 60 is recommended; chosen: what rounding and other vendors' steps make of it
# Welker 2015.
FRAME_S = 1.5
N_FRAMES = 120
N_BASELINE = 30
_RISE = 0.05  # of the baseline; chosen: a signal that ends higher shows T1, and drift alone does not reach it


def protocol_notes(settings: DscSettings, dt_s: float, n_frames: int, n_baseline: int) -> list[str]:
    """A sentence for each point in which a protocol differs from the recommendations; nothing is said of what is not known.

    Parameters
    ----------
    dt_s, n_frames, n_baseline
        Frame interval in s, frames from steady state on, and how many of them come before the bolus.
    """
    notes = []
    flip, te = settings.flip_angle_deg, settings.te_ms
    if flip is not None and flip > HIGH_FLIP_DEG:
        notes.append(f"flip angle {flip:g} degrees; 60 with a preload or 30 without are recommended (Boxerman 2020)")
    elif flip is not None and flip > LOW_FLIP_DEG:
        notes.append(
            f"flip angle {flip:g} degrees needs a full-dose preload (Boxerman 2020), which the series cannot show; without one "
            "30 degrees are recommended"
        )
    if te is not None and not ECHO_MS[0] <= te <= ECHO_MS[1]:
        notes.append(f"echo time {te:g} ms; 20-35 ms at 3 T and 40-50 ms at 1.5 T are recommended (Boxerman 2020)")
    if dt_s > FRAME_S + 0.01:
        notes.append(f"a frame every {dt_s:.3g} s; {FRAME_S:g} s or less is recommended (Welker 2015)")
    few = [
        f"{found} {what} ({least} recommended)"
        for found, what, least in ((n_frames, "frames", N_FRAMES), (n_baseline, "of them baseline", N_BASELINE))
        if found < least
    ]
    if few:
        notes.append(", ".join(few) + ": short for the recommendations (Welker 2015)")
    return notes


def t1_effect(
    curves: np.ndarray, corrected: np.ndarray, n_baseline: int, n_tail: int, te_ms: float | None, known: np.ndarray
) -> dict[str, int]:
    """Voxels in which leaked agent acts on T1 more than a correction by ΔR2* can be trusted with.

    Parameters
    ----------
    curves, corrected
        ΔR2* (n, t) in 1/s, as measured and without leakage.
    te_ms
        Echo time; where it is not known the first count is 0.
    known
        Voxels (n,) that count.

    Returns
    -------
    dict
        ``signal_above_baseline``: the signal of the last frames is more than 5 % and three standard errors above the baseline;
        ``leakage_exceeds_bolus``: of those with that effect, or without echo time of all, what was taken for leakage is larger than the
        bolus that is left.
    """
    noise = curves[:, :n_baseline].std(axis=1, ddof=1) if n_baseline > 1 else np.zeros(len(curves))
    tail = curves[:, -n_tail:].mean(axis=1)
    rise = np.expm1(-tail * (te_ms or 0.0) / 1000.0)
    above = known & (rise > _RISE) & (-tail > 3.0 * noise / np.sqrt(n_tail))
    larger = np.abs(corrected - curves).max(axis=1) > corrected.max(axis=1)
    return {
        "signal_above_baseline": int(above.sum()),
        "leakage_exceeds_bolus": int((larger & (above if te_ms else known)).sum()),
    }


def t1_notes(found: dict[str, int], n_voxels: int, where: str, leakage: str, through_equation: bool) -> list[str]:
    """What `t1_effect` means for the maps; nothing where it is rare (20 voxels and 1 %)."""
    above, larger = found["signal_above_baseline"], found["leakage_exceeds_bolus"]
    if above < max(20, 0.01 * n_voxels):
        return []
    text = f"strong T1 effect of leaked agent: in {above} of {n_voxels} voxels {where}the signal ends more than 5 % above its baseline"
    if larger:
        text += f", and in {larger} of them the correction is larger than the bolus"
    if leakage == "none":
        text += "; cbv there is too low without leakage correction"
    elif through_equation:
        text += "; cbv there went through the signal equation and may still be too low"
    else:
        more = "" if leakage in ("residue", "auto") else f"{option('--leakage')} residue and "
        text += f"; cbv there is probably too low, since this correction is linear: use {more}"
        text += f"{option('--flip-angle')} with {option('--tr-ms')}, or a preload"
    return [text]
