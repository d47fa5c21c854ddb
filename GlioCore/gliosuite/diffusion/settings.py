"""Settings of ADC and FA maps. Loads no numeric library: the command line is built from them."""

from dataclasses import dataclass

from ..settings import setting

FITS = ("weighted", "ordinary")


@dataclass(frozen=True)
class DtiSettings:
    """How ADC and FA are fitted.

    Attributes
    ----------
    fit
        Least squares on the logarithm of the signal, weighted by the squared signal that a first fit predicts, or ordinary.
    b_max
        In s/mm2. Volumes with a larger b-value are left out where the others are enough: beyond, the logarithm of the signal no longer
        falls in a straight line (kurtosis), and ADC would be too low.
    """

    fit: str = setting(
        "weighted",
        "least squares on the logarithm of the signal: weighted by the squared signal that a first fit predicts, or ordinary",
        title="the fit",
        choices=FITS,
    )
    b_max: float = setting(
        1500.0,
        "leave out volumes with a larger b-value in s/mm2, where the others are enough: the signal no longer falls exponentially there",
        title="the largest b-value to be used",
        metavar="B",
        unit="s/mm2",
        low=50,
        needed="one of at least 50 s/mm2 is needed, e.g. {default:g}",
    )
