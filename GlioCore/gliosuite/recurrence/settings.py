"""Settings of the recurrence models. Loads no numeric library: the command line is built from it."""

from collections.abc import Sequence
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


LOSSES = ("pcc", "pcc+bce", "dice", "tversky", "dice+bce", "bce")
# Patients without recurrence have no target, from which the others learn nothing: whatever is predicted there, they are 1.
LOSSES_LOCAL = tuple(n for n in LOSSES if n.endswith("bce"))
LOSS_LOCAL = "bce"  # by default
BETA = 0.98  # of Tversky's index by which Tran 2025 chose models
PROGRESSION, LOCAL = "progression", "local"  # what a network is to find
ALL = "all"
# The two sets of images that Yoon 2024 compares.
SETS = {"conventional": ("t1c", "flair"), "combined": ("t1c", "flair", "ve")}
BASE_CUDA = 48  # features of the first stage that Tran 2025 found best


def named(channels: str, known: Sequence[str]) -> tuple[str, ...]:
    """The images of one of `SETS`, or of a list of names of `known`, comma-separated, in its order.

    Raises
    ------
    InputError
        If one is not known, or is named twice.
    """
    names = SETS.get(channels) or tuple(n.strip() for n in channels.split(",") if n.strip())
    unknown = [n for n in names if n not in known]
    if unknown or not names or len(set(names)) < len(names):
        flag = option("--channels")
        found = f"{', '.join(unknown)} in {flag} is not known" if unknown else f"{flag} needs each image once"
        raise InputError(f"{found}; choose from {', '.join((*SETS, *known))}")
    return names


@dataclass(frozen=True)
class NetworkTraining(Training):
    """How the network is trained.

    Parameters
    ----------
    target
        ``progression``: the lesion now and at progression; ``local``: see `inputs.Inputs.local`.
    channels
        ``all`` that the network knows, of which all but T1c and FLAIR may be missing; or some (`named`), all of which are needed then.
    base
        Features of the first stage, twice as many in each that follows.
    epochs
        Times that each patient is seen, at most.
    learning_rate
        Highest rate of the optimiser (Ranger).
    batch
        Patients of a step; the loss is taken for each.
    loss
        Of `LOSSES`; ``pcc`` is 1 less the coverage coefficient of Tran 2025 (eq. 1). For ``local`` one of `LOSSES_LOCAL`.
    beta
        Weight of voxels that are missed in Tversky's index, with the loss ``tversky``; voxels found wrongly weigh 1 less it.
    patience
        Epochs without a better validation after which a member's training ends.
    """

    target: str = setting(
        PROGRESSION,
        "what is to be found: progression, the lesion now and at progression; or local, tumour that enhances later inside the lesion that "
        "does not now, learned from patients without recurrence too (Yoon 2024)",
        choices=(PROGRESSION, LOCAL),
    )
    channels: str = setting(
        ALL,
        "all, conventional (T1c and FLAIR), combined (with ve), or images by name, comma-separated, each of which a patient must "
        "have; of all only T1c and FLAIR",
        metavar="LIST",
    )
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
    beta: float = setting(
        BETA,
        "with --loss tversky, the weight of voxels that are missed; voxels found wrongly weigh 1 less it",
        low=0,
        low_open=True,
        high=1,
        needed="more than 0 and at most 1 is needed",
    )
    patience: int = setting(
        10, "epochs without a better validation after which a member is done", low=1, needed="1 at least is needed"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base % 4:
            raise InputError(f"base is {self.base}; a multiple of 4 is needed ({option('--base')})")
        if self.beta != BETA and self.loss != "tversky":
            raise InputError(
                f"{option('--beta')} is for loss tversky, and the loss is {self.loss} ({option('--loss')})"
            )
        if self.target == LOCAL and self.loss not in LOSSES_LOCAL:
            raise InputError(
                f"loss {self.loss} learns nothing from patients without recurrence; {', '.join(LOSSES_LOCAL)} does ({option('--loss')})"
            )
        self.images()

    def images(self) -> tuple[str, ...] | None:
        """The images that are needed by name, T1c and FLAIR first; None where all are looked at that there are.

        Raises
        ------
        InputError
            If one is not known to the network, or T1c or FLAIR is missing.
        """
        if self.channels == ALL:
            return None
        from .inputs import REQUIRED, SEEN

        names = named(self.channels, SEEN)
        if not set(REQUIRED) <= set(names):
            raise InputError(
                f"{option('--channels')} is {self.channels}; T1c and FLAIR ({', '.join(REQUIRED)}) are needed"
            )
        return tuple(n for n in SEEN if n in names)


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
