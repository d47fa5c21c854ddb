"""Settings of what is learned from follow-up. Loads no numeric library: the command line is built from it."""

from dataclasses import dataclass

from ...settings import check, setting

_WITHIN = "only voxels so near the T2 lesion, 0 in it, are looked at"


@dataclass(frozen=True)
class ClassSettings:
    """Which voxels are sorted into classes.

    Parameters
    ----------
    within_mm
        How far from the T2 lesion.
    """

    within_mm: float = setting(
        40.0, _WITHIN, metavar="MM", low=0, low_open=True, high=200, needed="more than 0 and at most 200 is needed"
    )

    def __post_init__(self) -> None:
        check(self, "within_mm")


@dataclass(frozen=True)
class ForestSettings:
    """How random forests are grown and judged.

    Parameters
    ----------
    seed
        Of folds, drawn voxels and trees.
    folds
        Parts of the patients, each of which is judged by a forest that was grown without it.
    trees
        Of a forest.
    voxels
        Of a patient, at most, of each class, that a forest is grown on.
    within_mm
        How far from the T2 lesion voxels are looked at.
    """

    seed: int = setting(1, "seed of folds, drawn voxels and trees", low=0, needed="0 or more is needed")
    folds: int = setting(5, "folds of the patients", low=2, high=20, needed="2 to 20 are needed")
    trees: int = setting(100, "trees of each forest", low=10, needed="10 at least are needed")
    voxels: int = setting(
        200, "voxels of each patient and class that a forest is grown on", low=20, needed="20 at least are needed"
    )
    within_mm: float = setting(
        40.0, _WITHIN, metavar="MM", low=0, low_open=True, high=200, needed="more than 0 and at most 200 is needed"
    )

    def __post_init__(self) -> None:
        check(self, *self.__dataclass_fields__)
