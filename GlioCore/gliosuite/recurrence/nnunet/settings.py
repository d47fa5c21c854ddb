"""Settings of ``--kind nnunet``. Loads no numeric library: the command line is built from it."""

from dataclasses import dataclass

from ...errors import InputError, option
from ...settings import check, setting
from ..settings import named

NNUNET = "nnunet"  # the kind of recurrence model
FOLDS = 5  # of nnU-Net


@dataclass(frozen=True)
class NnunetTraining:
    """How nnU-Net is planned and trained; what it settles itself is left to it.

    Parameters
    ----------
    channels
        ``conventional`` (T1c, FLAIR), ``combined`` (with ve), or images by name, comma-separated.
    fold
        Which of five folds are trained, comma-separated, or ``all``: one network on all patients.
    trainer, planner
        Of nnunetv2, by name.
    nnunet_epochs, iterations
        Of training and steps of each; 0: what the trainer says (1000 and 250).
    memory_gb
        Memory of the graphics card that the plan is made for; patch and network grow with it.
    grid_mm
        Cubic voxels.
    seed
        Of the folds.
    """

    channels: str = setting(
        "conventional",
        "conventional (T1c and FLAIR), combined (with ve), or images by name, comma-separated",
        metavar="LIST",
    )
    fold: str = setting("0,1,2,3,4", "which of five folds are trained, comma-separated, or all", metavar="LIST")
    trainer: str = setting("nnUNetTrainer", "nnunetv2's trainer")
    planner: str = setting("ExperimentPlanner", "nnunetv2's planner")
    nnunet_epochs: int = setting(
        0, "epochs of a fold; 0: as many as the trainer says, 1000", low=0, needed="0 or more is needed"
    )
    iterations: int = setting(
        0, "training steps of an epoch; 0: as many as the trainer says, 250", low=0, needed="0 or more is needed"
    )
    memory_gb: float = setting(
        8.0, "memory that the plan is made for", unit="GB", low=0.1, high=200, needed="0.1 to 200 are needed"
    )
    grid_mm: float = setting(1.0, "cubic voxels", unit="mm", low=0.5, high=4, needed="0.5 to 4 mm is needed")
    seed: int = setting(1, "seed of the folds", low=0, needed="0 or more is needed")

    def __post_init__(self) -> None:
        check(self, *self.__dataclass_fields__)
        self.images()
        self.folds()

    def images(self) -> tuple[str, ...]:
        """The images by name, in the order in which the network takes them.

        Raises
        ------
        InputError
            If one is not known, or is named twice.
        """
        from ..inputs import CHANNELS

        return named(self.channels, tuple(CHANNELS))

    def folds(self) -> tuple[str, ...]:
        """``("all",)``, or the numbers of the folds.

        Raises
        ------
        InputError
            If it is neither.
        """
        names = tuple(dict.fromkeys(n.strip() for n in self.fold.split(",") if n.strip()))
        if names != ("all",) and (not names or any(n not in map(str, range(FOLDS)) for n in names)):
            raise InputError(f"{option('--fold')} is {self.fold!r}; all, or numbers from 0 to {FOLDS - 1} are needed")
        return names
