"""Settings of the recurrence models. Loads no numeric library: the command line is built from it."""

from dataclasses import dataclass

from ..errors import InputError, option
from ..settings import check, setting

VOXELWISE, NETWORK = "voxelwise", "network"  # the kinds of recurrence model


@dataclass(frozen=True)
class Training:
    """What both kinds of training need.

    Parameters
    ----------
    seed
        Of folds, of which channels are hidden, and of all else that is drawn.
    patients, first_patient
        Simulated patients to train on, where no cases are given, and the seed of the first.
    folds
        Members of the ensemble: each is trained on all patients but its fold, which calibrates and judges it.
    grid_mm
        Voxels that are looked at and predicted, in mm.
    """

    seed: int = setting(
        1, "seed of folds, hidden channels and all else that is drawn", low=0, needed="0 or more is needed"
    )
    patients: int = setting(
        100, "simulated patients, where no cases are given", low=10, needed="10 at least are needed"
    )
    first_patient: int = setting(1600000, "seed of the first of them", low=0, needed="0 or more is needed")
    folds: int = setting(5, "folds, and members of the ensemble", low=2, high=20, needed="2 to 20 are needed")
    grid_mm: float = setting(
        3.0,
        "voxels that are looked at and predicted, in mm; finer ones take longer",
        low=1,
        high=4,
        needed="1 to 4 mm is needed",
    )

    def __post_init__(self) -> None:
        check(self, *self.__dataclass_fields__)


@dataclass(frozen=True)
class VoxelwiseTraining(Training):
    """How the trees are grown.

    Parameters
    ----------
    rounds, leaves, rate
        Trees of a member, leaves of each, and the share of a tree that is added.
    least
        Voxels of a leaf.
    """

    # Chosen on simulated patients 1690010-1690051: 31 leaves and a rate of .08 fitted noise.
    rounds: int = setting(150, "trees of each member", low=1, needed="1 at least is needed")
    leaves: int = setting(15, "leaves of each tree", low=2, needed="2 at least are needed")
    rate: float = setting(
        0.05,
        "share of each tree that is added",
        low=0,
        low_open=True,
        high=1,
        needed="more than 0 and at most 1 is needed",
    )
    least: int = setting(200, "voxels of a leaf", low=1, needed="1 at least is needed")


LOSSES = ("pcc", "pcc+bce", "dice", "tversky")
BASE_CUDA = 48  # features of the first stage that Tran 2025 found best


@dataclass(frozen=True)
class NetworkTraining(Training):
    """How the network is trained.

    Parameters
    ----------
    base
        Features of the first stage, twice as many in each that follows.
    epochs
        Times that each patient is seen, at most.
    learning_rate
        Highest rate of the optimiser (Ranger).
    batch
        Patients of a step; the loss is taken for each.
    loss
        Of `LOSSES`; ``pcc`` is 1 less the coverage coefficient of Tran 2025 (eq. 1).
    patience
        Epochs without a better validation after which a member's training ends.
    """

    base: int = setting(
        16,
        f"features of the first stage, a multiple of 4; with --device cuda {BASE_CUDA} where not given",
        low=4,
        high=128,
        needed="4 to 128 are needed",
    )
    epochs: int = setting(25, "times that each patient is seen, at most", low=1, needed="1 at least is needed")
    learning_rate: float = setting(
        2e-3, "highest learning rate", low=0, low_open=True, high=1, needed="more than 0 and at most 1 is needed"
    )
    batch: int = setting(1, "patients of a step", low=1, high=64, needed="1 to 64 are needed")
    loss: str = setting("pcc", "what is made small", choices=LOSSES)
    patience: int = setting(
        10, "epochs without a better validation after which a member is done", low=1, needed="1 at least is needed"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base % 4:
            raise InputError(f"base is {self.base}; a multiple of 4 is needed ({option('--base')})")


@dataclass(frozen=True)
class RadiomicsSettings:
    """How radiomic features are measured.

    Parameters
    ----------
    scale
        What the map is multiplied with first: grey levels have a fixed width in its unit.
    bin_width
        Of a grey level, in units of the scaled map.
    grid_mm
        Cubic voxels.
    """

    scale: float = setting(
        100.0,
        "what the map is multiplied with first, so that the width of grey levels suits its unit: 100 for CBV over that of white matter, 1 "
        "for maps that scanners export as percent",
        low=0,
        low_open=True,
        needed="more than 0 is needed",
    )
    bin_width: float = setting(
        5.0, "width of a grey level of the scaled map", low=0, low_open=True, needed="more than 0 is needed"
    )
    grid_mm: float = setting(
        1.0, "cubic voxels on which it is measured", metavar="MM", low=0.2, high=5, needed="0.2 to 5 are needed"
    )

    def __post_init__(self) -> None:
        check(self, *self.__dataclass_fields__)
