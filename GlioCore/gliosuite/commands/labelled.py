"""Patients that `lyoo2025` is trained on: simulated ones, whose truth is known, and a user's own, whose labels are fitted maps."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, option

if TYPE_CHECKING:
    from ..perfusion.synthesis.lyoo2025.cases import Labelled

# Seeds of the patients that the first seed trains on, and how far on those of the next lie. Chosen: away from all that tests and
# benches make, development's from 1 250 000 on among them.
_FIRST, _APART = 1_200_000, 1_000_000
# What differs from one scan to the next; chosen: white matter's signal over the noise, and when the contrast agent comes, s.
_SNR, _ARRIVAL_S = (15.0, 35.0), (20.0, 45.0)
_GRID_MM = 1.875  # as the DCE series' voxels are wide
_LESION = ("cel", "necrosis", "oedema")


def simulated(seed: int, i: int) -> "Labelled":
    """The i-th simulated patient to train `lyoo2025` on; its motion is left out, as it is corrected before the networks are used."""
    import numpy as np

    from ..images import Grid, array
    from ..perfusion.synthesis.lyoo2025.cases import NAMES, Labelled
    from ..simulate.acquisition import CLASSES, Effects
    from ..simulate.cohort import simulate_case
    from ..simulate.protocols import DEFAULT, changed

    own = _FIRST + _APART * (seed - 1) + i
    rng = np.random.default_rng(own)
    protocols = changed(DEFAULT, (f"dce.snr={rng.uniform(*_SNR):.2f}", f"dce.arrival_s={rng.uniform(*_ARRIVAL_S):.2f}"))
    made = simulate_case(
        own, grid_mm=_GRID_MM, scans=("dce",), effects=Effects.without(("motion",)), protocols=protocols
    )
    tissue = made.truth["dce_tissue"]
    lesion = np.isin(array(tissue), [CLASSES.index(name) + 1 for name in _LESION])
    maps = {name: made.truth[f"dce_{name}"] for name in NAMES}
    times = made.case.acquisition("dce")["times_s"]
    return Labelled(made.case.series("dce"), times, maps, Grid.of(tissue).image(lesion))


def folders(parent: str) -> list[Path]:
    """The case folders with a DCE series in a folder, by name.

    Raises
    ------
    InputError
        If there is none.
    """
    from ..case import Case

    found = [p.parent for p in sorted(Path(parent).glob("*/case.json"))]
    found = [p for p in found if "dce" in Case.load(p).images]
    if not found:
        raise InputError(
            f"{parent} ({option('--cases')}) holds no case folder with a DCE series; folders with a case.json are needed, as "
            "`gliosuite import` makes them"
        )
    return found


def fitted(folder: Path) -> "Labelled":
    """A user's case: its motion corrected, fitted by extended Tofts with the AIF found in the series, its tumour where it has masks of it.

    T1 before contrast is ``t10_s`` of case.json, as `gliosuite dce` has it otherwise. Where the curve does not determine ve it is 0.
    """
    import numpy as np

    from ..case import Case
    from ..images import boolean
    from ..perfusion.synthesis.lyoo2025.cases import NAMES, Labelled
    from .heads import Measured

    case = Case.load(folder)
    measured = Measured.of(case, t1=False, b1=False, t10_s=None)
    maps, grid = measured.fit().maps, measured.series.grid
    lesion = np.zeros(grid.shape, bool)
    for role in ("cel", "necrosis", "t2l"):
        if role in case.masks:
            lesion |= boolean(case.mask(role, grid))
    return Labelled(measured.series, measured.times_s, {name: maps[name] for name in NAMES}, grid.image(lesion))
