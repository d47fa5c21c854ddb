"""Settings of the habitats' model. Loads no numeric library: the command line is built from it."""

from dataclasses import dataclass

from ...settings import check, setting


@dataclass(frozen=True)
class HabitatTraining:
    """How curves are learnt and clustered.

    Parameters
    ----------
    seed
        Of weights, batches and starts.
    patients, first_patient
        Simulated patients to train on, where no cases are given, and the seed of the first.
    clusters
        Patterns of CEL, and as many of NEL; 0: as many as the silhouette says, 2 to 10 of each.
    steps, batch, rate, dropout
        Of the autoencoder.
    """

    seed: int = setting(1, "seed of weights, batches and starts", low=0, needed="0 or more is needed")
    patients: int = setting(100, "simulated patients, where no cases are given", low=2, needed="2 at least are needed")
    first_patient: int = setting(1800000, "seed of the first of them", low=0, needed="0 or more is needed")
    clusters: int = setting(
        4,
        "patterns of CEL, and as many of NEL; 0: of each as many as the silhouette says, 2 to 10",
        low=0,
        high=10,
        needed="0 to 10 is needed",
    )
    # Yun et al. print a rate of 1e-8, with which nothing is learnt, and a batch of 100,000, with which a step takes seconds.
    steps: int = setting(600, "steps of the autoencoder's optimiser", low=1, needed="1 at least is needed")
    batch: int = setting(512, "curves of a step", low=2, needed="2 at least are needed")
    rate: float = setting(3e-3, "highest learning rate", low=0, low_open=True, needed="more than 0 is needed")
    dropout: float = setting(
        0.7,
        "share of connections that are dropped in training",
        low=0,
        high=1,
        high_open=True,
        needed="0 to below 1 is needed",
    )

    def __post_init__(self) -> None:
        check(self, *self.__dataclass_fields__)


@dataclass(frozen=True)
class HabitatCohort:
    """How a cohort's habitats are held against its outcomes.

    Parameters
    ----------
    folds, seed
        Of the cross-validation; the seed is also that of draws.
    """

    folds: int = setting(10, "folds of the cross-validation", low=2, needed="2 at least are needed")
    seed: int = setting(1, "seed of folds and draws", low=0, needed="0 or more is needed")

    def __post_init__(self) -> None:
        check(self, *self.__dataclass_fields__)
