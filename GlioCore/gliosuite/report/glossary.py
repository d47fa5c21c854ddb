"""The report's abbreviations, in full."""

from ..resources import look
from .markup import escape
from .results import DCE_MAPS, DSC_MAPS, Results

_TERMS = {
    "t1c": ("T1c", "T1-weighted image after contrast agent"),
    "cel": ("CEL", "contrast-enhancing lesion"),
    "t2l": ("T2L", "lesion on T2 or FLAIR, enhancing part included"),
    "nel": ("NEL", "non-enhancing lesion: T2L without CEL, necrosis and cavity"),
    "dce": ("DCE", "dynamic contrast-enhanced imaging, T1-weighted"),
    "dsc": ("DSC", "dynamic susceptibility contrast imaging, T2*-weighted"),
    "aif": ("AIF", "arterial input function: contrast agent in the artery over time"),
    "rt": ("GTV and CTV", "gross tumour volume, and clinical target volume: the GTV with its margin, inside the brain"),
    "compared": ("Dice", "overlap of two volumes: 0 none, 1 the same"),
    "hd95": ("HD95", "95th percentile of the distances between two surfaces"),
}


def glossary(results: Results) -> str:
    """One paragraph with the abbreviations that the page uses."""
    steps = {s["step"] for s in results.run.get("steps", []) if s.get("status") in ("done", "kept")}
    there = steps | set(results.images) | set(results.masks)
    there |= {"aif"} if steps & {"dce", "dsc"} else set()
    there |= {"compared", "hd95"} if "rt" in steps else set()
    terms = [words for key, words in _TERMS.items() if key in there]
    terms += [(look(n).title, look(n).name) for n in (*DCE_MAPS, *DSC_MAPS) if n in results.maps and look(n).name]
    if not terms:
        return ""
    said = "; ".join(f"<b>{escape(short)}</b> {escape(full)}" for short, full in terms)
    return f'<p class="soft small">{said}.</p>'
