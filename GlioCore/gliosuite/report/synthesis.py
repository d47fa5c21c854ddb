"""The report's section on maps that a network refined: each parameter beside its uncertainty, as in S4's Figures 3 and 4."""

from .markup import escape
from .parts import Section, beside_their_spread
from .results import Results


def _refined(results: Results, draw: bool) -> str:
    if not results.refined:
        return ""
    share = results.step("synthesis").get("summary", {}).get("outside_share")
    text = ""
    if draw and results.images:
        text = beside_their_spread(
            results,
            results.refined,
            ("t2l", "cel"),
            "Medians of the posterior and, beside each, the standard deviation in percent of the value. "
            "The fitted maps stand in the section above; both are in regions.csv.",
        )
    if share is not None:
        said = f"{100 * share:.1f} % of the voxels lie outside what the network was trained on; there the fitted values stand."
        text += f"<p>{escape(said)}</p>"
    return text


SYNTHESIS = Section(4, "Refined DCE maps with uncertainty", _refined)
