"""The report's sections on radiomic features, and on local and distant recurrence."""

from .markup import escape, figure, number, table
from .parts import Section
from .results import Results

_TITLES = {"local": "local recurrence", "distant": "distant recurrence"}


def _radiomics(results: Results, draw: bool) -> str:
    summary = results.step("radiomics").get("summary", {})
    if not summary:
        return ""
    names = {"CE": "enhancing lesion (CE)", "NE": "non-enhancing lesion (NE)"}
    rows = [(names[n], number(summary["volumes_cc"][n]), number(summary["grey_levels"][n])) for n in names]
    said = (
        f"<p>{summary['features']} features of CBV over that of white matter (<code>radiomics/features.csv</code>).</p>"
    )
    return table(("lesion", "volume (cc)", "grey levels"), rows) + said


def _patterns(results: Results, draw: bool) -> str:
    summary = results.step("patterns").get("summary", {})
    if not summary:
        return ""
    rows, drove, pictures = [], [], ""
    for name, title in _TITLES.items():
        made = summary[name]
        value, low, high = made["auc"]
        call = "called" if made["called"] else "not called"
        rows.append(
            (
                title,
                number(made["probability"], 2),
                f"{call} (from {number(made['threshold'], 2)} on)",
                f"{value:.2f}" if low is None else f"{value:.2f} ({low:.2f}–{high:.2f})",
                escape(made["trained_on"]),
            )
        )
        drove += [(title, f"<code>{escape(n)}</code>", f"{z:+.1f}", f"{v:+.2f}") for n, z, v in made["drove"]]
        picture = results.folder / "patterns" / name / "force.png"
        if draw and picture.exists():
            pictures += figure(
                picture.read_bytes(),
                f"{title.capitalize()}: what pushes this patient's log odds up (orange) and down (blue) from those of the mean patient.",
            )
    risk = summary["risk"]
    text = table(("outcome", "probability", "call", "AUC, held-out (95 %)", "trained on"), rows, (0, 2, 3, 4)) + (
        f"<p>Radiomic risk score {number(risk['score'])}: {risk['group']} risk of an early progression (the cut is {number(risk['cut'])}, "
        "the median of its simulated patients).</p>"
    )
    if drove:
        text += "<h3>What drove it</h3>" + table(
            ("outcome", "feature", "SD from the mean", "Shapley value (log odds)"), drove, (0, 1)
        )
    return text + pictures


RADIOMICS = Section(7, "Radiomic features of CBV", _radiomics)
PATTERNS = Section(7, "Local or distant recurrence", _patterns)
