"""A patient's blood: what contrast agent does in arteries, in the tissue that they feed, and in the sagittal sinus."""

from dataclasses import dataclass

import numpy as np

from ..perfusion.kinetics import convolve, parker_form
from ..perfusion.signal import HEMATOCRIT

STEP_S = 0.1


@dataclass(frozen=True)
class Blood:
    """A patient's blood and circulation.

    Parameters
    ----------
    hematocrit
        Fraction; the more cells, the less plasma that the dose is diluted in, and the less agent in a volume of blood.
    dose
        Scale of the curve: dose over distribution volume, relative to the population.
    late_s
        Arrival later than a scan's usual one.
    width
        Of first pass and recirculation relative to the population; their areas stay, so a narrow bolus is a high one.
    recirculation, tail, tail_rate
        Area of the second pass, height of what follows, and its decay, relative to the population.
    dispersion_s, feeding_s, venous_s
        Exponential dispersion up to the arteries seen in scans, from there to the tissue, and from the arteries to the sinus.
    """

    hematocrit: float = HEMATOCRIT
    dose: float = 1.0
    late_s: float = 0.0
    width: float = 1.0
    recirculation: float = 1.0
    tail: float = 1.0
    tail_rate: float = 1.0
    dispersion_s: float = 1.0
    feeding_s: float = 0.7
    venous_s: float = 4.5

    def arterial(self, times_s: np.ndarray, arrival_s: float) -> np.ndarray:
        """Concentration in arterial blood, mM: Parker's form, dispersed."""
        grid = np.arange(0.0, float(np.max(times_s)) + STEP_S, STEP_S)
        scale = self.dose * (1 - self.hematocrit) / (1 - HEMATOCRIT)
        curve = parker_form(
            grid,
            arrival_s + self.late_s,
            areas=(0.809, 0.330 * self.recirculation),
            # A wide bolus peaks later: its front stays where it was.
            centres_min=(0.17046 * self.width, 0.365 * self.width),
            widths_min=(0.0563 * self.width, 0.132 * self.width),
            tail=1.050 * self.tail,
            tail_rate=0.1685 * self.tail_rate,
        )
        return np.interp(times_s, grid, disperse(grid, scale * curve, self.dispersion_s))

    def feeding(self, times_s: np.ndarray, arrival_s: float, dispersed: bool = True) -> np.ndarray:
        """Concentration in the blood that reaches tissue, mM; without `dispersed` it is that of the arteries."""
        grid = np.arange(0.0, float(np.max(times_s)) + STEP_S, STEP_S)
        curve = self.arterial(grid, arrival_s)
        return np.interp(times_s, grid, disperse(grid, curve, self.feeding_s) if dispersed else curve)

    def venous(self, times_s: np.ndarray, arrival_s: float) -> np.ndarray:
        """Concentration in the sagittal sinus, mM: later, and dispersed by the passage through tissue."""
        grid = np.arange(0.0, float(np.max(times_s)) + STEP_S, STEP_S)
        late = disperse(grid, self.arterial(grid, arrival_s), self.venous_s)
        return np.interp(np.asarray(times_s) - 2.0, grid, late, left=0.0)


def disperse(times_s: np.ndarray, curve: np.ndarray, tau_s: float) -> np.ndarray:
    """Convolve a curve with an exponential of area 1 and time constant `tau_s`."""
    return convolve(times_s, curve, 60.0 / tau_s)[0] * (60.0 / tau_s)


def draw_blood(rng: np.random.Generator) -> Blood:
    """Draw a patient's blood around the population curve of Parker et al. 2006; all ranges are chosen."""
    return Blood(
        hematocrit=round(float(rng.uniform(0.36, 0.47)), 3),
        dose=float(np.clip(rng.lognormal(0, 0.15), 0.7, 1.4)),
        late_s=float(np.clip(rng.normal(0, 2.0), -4.0, 6.0)),
        width=float(np.clip(rng.lognormal(0, 0.15), 0.7, 1.5)),
        recirculation=float(np.clip(rng.lognormal(0, 0.25), 0.5, 1.8)),
        tail=float(np.clip(rng.lognormal(0, 0.10), 0.75, 1.3)),
        tail_rate=float(np.clip(rng.lognormal(0, 0.25), 0.5, 1.8)),
        dispersion_s=float(rng.uniform(0.6, 2.0)),
        feeding_s=float(rng.uniform(0.3, 1.2)),
        venous_s=float(rng.uniform(3.5, 5.5)),
    )
