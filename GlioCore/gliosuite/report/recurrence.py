"""The report's section on where the tumour is likely to recur: the probability beside how far the members of the model differ."""

from .markup import escape
from .parts import Section, beside_their_spread
from .results import Results


def _recurrence(results: Results, draw: bool) -> str:
    summary = results.step("recurrence").get("summary", {})
    if not summary:
        return ""
    text = ""
    if draw and results.images and results.recurrence:
        text = beside_their_spread(
            results,
            results.recurrence,
            ("t2l", "cel", "progression_cel"),
            "Probability that tissue belongs to the lesion at progression, from 2 % on (in the lesion of today it is 1 by definition), and "
            "beside it the standard deviation among the members of the model: how much it hangs on the patients that were trained on, not "
            "how far it may be wrong.",
        )
    kinds, channels = (", ".join(summary[key]) for key in ("kinds", "channels"))
    said = f"Model: {summary['model']}, trained on {summary['trained_on']}. It looked at {kinds} ({channels}). "
    return f"{text}<p>{escape(said + _level(summary['threshold']))}</p>"


def _level(threshold: float) -> str:
    return (
        f"CTV_MODEL takes in what reaches {threshold:.3f}, where the model's held-out patients were covered best (PCC), unless a threshold "
        "or a volume is given."
    )


RECURRENCE = Section(8, "Where it is likely to recur", _recurrence)
