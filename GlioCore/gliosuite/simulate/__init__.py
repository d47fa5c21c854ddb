"""Digital glioma patients with known truth: anatomy, tumour, treatment, recurrence and scans, all from one seed.

They test the rest of the library; they prove no clinical benefit.
"""

from typing import Any

__all__ = ["Effects", "SimulatedCase", "simulate_case", "write_cohort", "write_dicom_series"]

_WHERE = {
    "Effects": "acquisition",
    "SimulatedCase": "patient",
    "simulate_case": "cohort",
    "write_cohort": "cohort",
    "write_dicom_series": "scans.dicomseries",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for, so that ``import gliosuite.simulate`` loads no numpy."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_WHERE[name]}", __name__), name)
