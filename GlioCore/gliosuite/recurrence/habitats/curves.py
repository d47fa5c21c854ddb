"""DSC curves of a lesion in one form: aligned on the arrival of the bolus, 60 points, scaled by white matter; and their parameters.

The points lie 1 s apart, 10 of them before the arrival, so that the windows that Yun et al. print (points 3-9 and 30-50 of 60) hold for
any series.

References
----------
Yun J et al., AJNR Am J Neuroradiol 2023, 10.3174/ajnr.A7853.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ...curves import Bolus, resample_time
from ...errors import InputError
from ...files import atomic
from ...images import Grid

POINTS, BEFORE, STEP_S = 60, 10, 1.0  # points of a curve, those before the arrival, and s between them
_BASELINE, _RECOVERED = slice(2, 9), slice(29, 50)  # points 3-9 and 30-50 (Yun 2023)
_ONSET = 0.05  # share of the strongest drop at which the drop begins (read from Yun 2023: drop over speed is 4.5 to 5.7 frames)
_RISE = (0.25, 0.75)  # of a bolus' rise, through which the line to its foot is laid; chosen
REGIONS = ("cel", "nel")


@dataclass(frozen=True)
class Parameters:
    """What Yun et al. measure of curves, (n,) each, in units of white matter's mean.

    Attributes
    ----------
    baseline, drop
        Signal before the bolus, and what it falls by.
    speed
        Drop over the time from its onset to the lowest point, 1/s.
    psr
        Percentage of the drop that is recovered, as a share.
    """

    baseline: np.ndarray
    drop: np.ndarray
    speed: np.ndarray
    psr: np.ndarray


@dataclass(frozen=True)
class LesionCurves:
    """The curves of one patient's lesion.

    Attributes
    ----------
    curves
        (n, 60) float32, scaled by the mean of white matter's curve.
    cel
        (n,): whether a voxel is of CEL; the others are of NEL.
    voxels, grid
        Flat index (n,) of each in the arrays of the series' grid.
    references
        Mean curves (60,) of reference tissues by name (`references.TISSUES`), scaled likewise.
    tr_s
        Between frames of the series.
    adc
        (n,) mm2/s, NaN where it is not known.
    notes
        What a reader must know.
    """

    curves: np.ndarray
    cel: np.ndarray
    voxels: np.ndarray
    grid: Grid
    references: Mapping[str, np.ndarray]
    tr_s: float
    adc: np.ndarray
    notes: Sequence[str] = field(default_factory=tuple)

    def of(self, region: str) -> np.ndarray:
        """Which voxels (n,) are of ``"cel"`` or ``"nel"``."""
        return self.cel if region == "cel" else ~self.cel

    @property
    def mark(self) -> str:
        """By which the same curves are known again: the start of a hash of what `write` keeps of them."""
        return sha256(self.curves.astype(np.float16).tobytes()).hexdigest()[:12]

    def write(self, path: Path) -> None:
        """Write all as one ``.npz``; curves in half precision."""
        more: dict[str, Any] = {
            name: np.asarray(getattr(self.grid, name)) for name in ("size", "spacing", "origin", "direction")
        }
        more |= {f"reference_{name}": curve.astype(np.float32) for name, curve in self.references.items()}
        with atomic(path) as file, file.open("wb") as stream:
            np.savez_compressed(
                stream,
                curves=self.curves.astype(np.float16),
                cel=self.cel,
                voxels=self.voxels.astype(np.int32),
                tr_s=self.tr_s,
                adc=self.adc.astype(np.float32),
                notes=np.asarray(list(self.notes), str),
                **more,
            )

    @classmethod
    def read(cls, path: Path) -> "LesionCurves":
        """Read what `write` wrote.

        Raises
        ------
        InputError
            If it is no such file.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                found: dict[str, Any] = {name: held[name] for name in held.files}
            grid = Grid(*(tuple(found[name].tolist()) for name in ("size", "spacing", "origin", "direction")))
            references = {n.removeprefix("reference_"): v for n, v in found.items() if n.startswith("reference_")}
            curves, adc = found["curves"].astype(np.float32), found["adc"]
            notes = tuple(str(n) for n in found["notes"])
            return cls(curves, found["cel"], found["voxels"], grid, references, float(found["tr_s"]), adc, notes)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} holds no curves of a lesion ({error})") from None


def arrival_time(signal: np.ndarray, times_s: np.ndarray, bolus: Bolus) -> float:
    """When a bolus arrives in a mean curve (t,), in s: where the line through the middle half of its rise meets the baseline.

    Between frames, so that series of other frame times are aligned alike.
    """
    baseline = float(signal[bolus.steady : bolus.arrival].mean())
    change = -np.log(np.maximum(signal, 1e-6 * baseline) / baseline)
    peak = bolus.arrival + int(np.argmax(change[bolus.arrival :]))
    rise = change[max(bolus.arrival - 1, bolus.steady) : peak + 1]
    times = times_s[max(bolus.arrival - 1, bolus.steady) : peak + 1]
    low, high = (_crossing(rise, times, share * float(rise[-1])) for share in _RISE)
    foot = low - _RISE[0] * (high - low) / (_RISE[1] - _RISE[0])
    return float(np.clip(foot, times_s[bolus.arrival - 1], times_s[bolus.arrival] + (times_s[1] - times_s[0])))


def _crossing(values: np.ndarray, at: np.ndarray, level: float) -> float:
    """Where values (m,) that end above a level first reach it for good."""
    i = int(np.flatnonzero(values < level)[-1]) if (values < level).any() else 0
    if i + 1 == values.size or values[i + 1] == values[i]:
        return float(at[i])
    return float(at[i] + (level - values[i]) / (values[i + 1] - values[i]) * (at[i + 1] - at[i]))


def aligned(signal: np.ndarray, times_s: np.ndarray, arrival_s: float) -> np.ndarray:
    """Curves (n, t) as (n, 60) float32: linear between frames, held where the series begins later or ends earlier."""
    wanted = arrival_s + STEP_S * (np.arange(POINTS) - BEFORE)
    return resample_time(signal, np.asarray(times_s, np.float64), wanted).astype(np.float32)


def parameters(curves: np.ndarray) -> Parameters:
    """Parameters of aligned curves (n, 60); `Parameters.speed` is NaN where nothing drops."""
    x = np.atleast_2d(np.asarray(curves, np.float64))
    baseline = np.median(x[:, _BASELINE], axis=1)
    first = x[:, BEFORE - 1 : _RECOVERED.stop]
    at = first.argmin(axis=1)
    drop = baseline - first.min(axis=1)
    seconds = np.array([_fall_s(b - row[: i + 1], d) for b, row, i, d in zip(baseline, first, at, drop)])
    with np.errstate(divide="ignore", invalid="ignore"):
        psr = np.where(drop > 0, (x[:, _RECOVERED].mean(axis=1) - first.min(axis=1)) / drop, np.nan)
        return Parameters(baseline, drop, drop / seconds, psr)


def _fall_s(fallen: np.ndarray, drop: float) -> float:
    """Time from the onset of a fall (m,) to its end."""
    if not drop > 0:
        return float("nan")
    onset = _crossing(fallen, STEP_S * np.arange(fallen.size), _ONSET * drop)
    return max(STEP_S * (fallen.size - 1) - onset, STEP_S)
