"""Target volumes held against a progression, each other, and a dose."""

from .agreement import PAIR_TITLES, Share, agreement_table, difference_map
from .dose import DOSE_TITLES, Dvh, dvh, read_dose
from .progression import TITLES, compare_ctv, comparison_table, progression_coverage

__all__ = [
    "DOSE_TITLES",
    "PAIR_TITLES",
    "TITLES",
    "Dvh",
    "Share",
    "agreement_table",
    "compare_ctv",
    "comparison_table",
    "difference_map",
    "dvh",
    "progression_coverage",
    "read_dose",
]
