"""Settings of the models of recurrence patterns. Loads no numeric library: the command line is built from it."""

from dataclasses import dataclass

from ...settings import check, setting

KINDS = ("mlp", "svm", "forest", "logistic")
TITLES = {"mlp": "multilayer perceptron", "svm": "SVM", "forest": "random forest", "logistic": "logistic regression"}
RECURRENT, ALL = "recurrent", "all"
RECURRENCE = (
    "recurrence_local",
    "recurrence_distant",
)  # columns that say how a patient recurred, as the case folder has them
FEATURES = ("CE_*", "NE_*")  # names of `gliosuite radiomics`
SHIPPED = {"local": RECURRENCE[0], "distant": RECURRENCE[1]}  # models that travel with the library, and what they tell


@dataclass(frozen=True)
class PatternSettings:
    """How a model is trained and judged.

    Attributes
    ----------
    kind
        The classifier.
    patients
        ``"recurrent"`` or ``"all"``.
    recurrence
        Columns that tell recurrent patients: either is 1.
    select
        Features that recursive elimination leaves.
    folds, seed
        Of the cross-validation; the seed is that of the split, the oversampling and the weights too.
    steps
        Of the perceptron's training.
    positive
        The cell that means the outcome; None: it is told from words.
    """

    kind: str = setting(
        "mlp",
        "the classifier; the others are cross-validated beside it. mlp: 5 hidden layers",
        title="the classifier",
        choices=KINDS,
    )
    patients: str = setting(
        RECURRENT,
        "recurrent: patients who recurred, told how; all: also those who did not, who count as neither local nor distant",
        title="the patients",
        choices=(RECURRENT, ALL),
    )
    recurrence: tuple[str, ...] = RECURRENCE
    select: int = setting(
        32, "features that recursive elimination by a linear SVM leaves", low=1, needed="1 at least is needed"
    )
    folds: int = setting(5, "folds of the cross-validation", low=2, high=20, needed="2 to 20 are needed")
    seed: int = setting(1, "seed of folds, split, oversampling and weights", low=0, needed="0 or more is needed")
    steps: int = setting(200, "steps of the perceptron's training", low=1, needed="1 at least is needed")
    positive: str | None = setting(
        None,
        "the cell of the outcome's column that means yes (default: told from words such as 1, yes)",
        metavar="TEXT",
    )

    def __post_init__(self) -> None:
        check(self, "kind", "patients", "select", "folds", "seed", "steps")
