"""The report's section on maps that a network refined: each parameter beside its uncertainty, as in S4's Figures 3 and 4."""

from .markup import escape, figure
from .parts import Section, focus, outlines
from .results import Results

_SLICES = 3  # of a map, so that its uncertainty stands beside it


def _refined(results: Results, draw: bool) -> str:
    if not results.refined:
        return ""
    share = results.step("synthesis").get("summary", {}).get("outside_share")
    text = ""
    if draw and results.images:
        from .pictures import maps_figure

        picture = maps_figure(
            results.images.get("t1c", next(iter(results.images.values()))),
            dict(results.refined),
            outlines(results, ("t2l", "cel")),
            results.masks["brain"],
            focus(results),
            results.spacing,
            count=_SLICES,
        )
        text = figure(
            picture,
            "Medians of the posterior and, beside each, the standard deviation in percent of the value. "
            "The fitted maps stand in the section above; both are in regions.csv.",
        )
    if share is not None:
        said = f"{100 * share:.1f} % of the voxels lie outside what the network was trained on; there the fitted values stand."
        text += f"<p>{escape(said)}</p>"
    return text


SYNTHESIS = Section(4, "Refined DCE maps with uncertainty", _refined)
