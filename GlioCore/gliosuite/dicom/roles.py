"""Which part a series plays in a glioma study, by its attributes; what its name says counts only where they are silent."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .frames import MAGNITUDE
from .geometry import REGISTRATIONS, RT_DOSE, RT_STRUCTURE_SET, SEGMENTATIONS, DicomSeries
from .headers import Header
from .likeness import SAME_ANGLE_DEG, linked, linked_rows
from .sort import join

MIN_DYNAMIC = 10  # chosen: fewer time points are phases of an examination, not a perfusion series
_MIN_SLICES = 3  # chosen: what has fewer in one orientation is a localizer
# Chosen: DCE is taken at 1 to 5 ms, DSC at 20 to 50 ms (gradient and spin echo, 1.5 and 3 T), so that all of them lie well to one side.
T2_STAR_TE_MS = 15.0
_MOST_BOLUS_FRAMES = 150  # chosen: a bolus is followed for some 2 min at 1 to 2 s; functional MRI is longer
# A structural image's weighting follows from TR, TE and TI. Chosen, between what protocols use at 1.5 and 3 T:
_LONG_TE_MS, _LONG_TR_MS = 50.0, 2000.0  # FLAIR, with TE 80 to 150 and TR 4000 to 11000
_FLUID_TI_MS, _FAT_TI_MS = 1400.0, 300.0  # fluid is nulled at 1600 to 2500, fat at 130 to 230, T1 weighted between
_T2_TE_MS, _T2_TR_MS = 60.0, 1500.0  # T2 spin echo, with TE 80 to 120 and TR 2500 to 8000
_T1_TE_MS, _T1_TR_MS = 40.0, 1200.0  # T1 spin echo, with TE 8 to 20 and TR 400 to 800
_GRADIENT_TE_MS = 12.0  # a gradient echo with a longer TE weights by T2* (susceptibility, 15 to 40)
_SPOILED_TR_MS = 50.0  # a T1 measurement's spoiled gradient echoes are taken at TR 3 to 20


@dataclass(frozen=True)
class Verdict:
    """A role (None: not used) and why, in one sentence; `strength` 2 by attributes, 1 partly by a weaker hint."""

    role: str | None
    why: str
    strength: int = 2


def object_role(header: Header) -> str | None:
    """The role of what is no image series: ``rtstruct dose reg seg``."""
    if header.sop_class == RT_STRUCTURE_SET:
        return "rtstruct"
    if header.sop_class == RT_DOSE:
        return "dose"
    if header.sop_class in REGISTRATIONS:
        return "reg"
    return "seg" if header.sop_class in SEGMENTATIONS else None


def judge_all(series: Sequence[DicomSeries]) -> list[tuple[DicomSeries, Verdict]]:
    """Judge the series of one visit together: some roles show only beside the other series.

    Flip angles of a T1 measurement and dynamic series that were stored one series per time point are joined; a contrast agent that
    every series claims, the ones before the injection too, says nothing; a T1-weighted image taken after the perfusion series is
    contrast-enhanced.
    """
    series = _join_frames(_join_flip_angles(list(series)))
    mr = [s for s in series if s.header.modality == "MR"]
    claims = len(mr) < 3 or not all(s.header.contrast for s in mr)
    verdicts = [judge(s, contrast_tells=claims) for s in series]
    directed = {
        s.header.series_uid for s, v in zip(series, verdicts, strict=True) if v.role == "dti" and _directions(s)
    }
    perfusion = [s.start_s for s, v in zip(series, verdicts, strict=True) if v.role in ("dce", "dsc") and s.start_s]
    result = []
    for s, v in zip(series, verdicts, strict=True):
        if v.role == "t1" and perfusion and s.start_s and s.start_s > min(perfusion) and _hint(s, "pre") is None:
            v = replace(v, role="t1c", why=v.why + "; taken after the perfusion series began, so with contrast agent")
        if v.role == "dti" and s.header.series_uid in directed and not _directions(s):
            v = Verdict(None, "means over the directions (trace-weighted) of images that are there one by one")
        result.append((s, v))
    return result


def _directions(series: DicomSeries) -> int:
    """How many gradient directions a series has."""
    return len({s.frame.b_vector for s in series.slices if s.frame.b_vector and any(s.frame.b_vector)})


# --------------------------------------------------------------------------------------------------------------- one series

_HINTS = {
    "post": r"post|gad|gd|km|ce|contrast|t1c|t1ce|t1gd|\+c|c\+|\+gd|dotarem|gadovist",
    "pre": r"pre|precontrast|nativ|native|no contrast|without|w o|ohne|plain|nc|unenhanced",
    "flair": r"flair|t2flair|tirm|dark.?fluid|darkfluid",
    "t1": r"t1\w*|mprage|mpr|bravo|spgr|tfe|vibe",
    "t2": r"t2\w*",
    "adc": r"adc|apparent",
    "fa": r"fa|fractional",
    "dwi": r"dwi|dti|diff\w*|ep2d.?diff\w*|hardi|trace\w*",
    "dsc": r"dsc|perf\w*|pwi|ep2d.?perf\w*|bolus",
    "vfa": r"vfa|flip ?angles?|fa ?\d+|flip ?\d+|despot\w*",
    "dce": r"dce|dyn\w*|perm\w*|twist\w*|ktrans",
    "inversion": r"(?<=mp2rage )(?:\w+ )*inv ?[12]|inv ?[12](?= (?:\w+ )*t1 mp2rage)",
    "t1_map": r"t1 ?map\w*",
    "quantity": r"(?:t[12]|t2 ?star|t2\*|r[12]|r2 ?star|b[01]|field|phase) ?map\w*|fieldmap|relaxometry",
    "other": r"asl|pcasl|pasl|bold|fmri|resting\w*|rsfmri|swi|tof|mra|angio|fieldmap|spectro\w*|mip|minip",
    "map": r"cbv|cbf|rcbv|rcbf|mtt|ttp|tmax|k2|ktrans|gbp|pbp|colou?r|sub|subtr\w*|mip|mpr.?range",
}
# The standard's image types have a term for metabolite maps, none for which: its name stands beside it.
_METABOLITES = {"CHO", "CRE", "NAA", "LAC", "LIP", "CNI", "CCRI", "CRNI"}
_PLANNING = (
    r"gamma.?knife|stereo\w*|image.?guid\w*|guidance|navi|navigation|neuronav\w*|brainlab|stealth|radiosurg\w*"
    r"|cyber.?knife|planning|gk"
)


def _hint(series: DicomSeries, kind: str) -> str | None:
    """The word in the series' description or protocol name that hints at `kind`, or None."""
    return _hinted(series.header.description, kind)


def _hinted(text: str, kind: str) -> str | None:
    match = re.search(rf"(?<![a-z0-9])(?:{_HINTS[kind]})(?![a-z0-9])", _words(text))
    return match[0].strip() if match else None


def judge_name(text: str) -> Verdict:
    """The role that a name alone hints at: of images whose attributes are not known.

    Examples
    --------
    >>> judge_name("sub-01 T1w MPRAGE post gad").role, judge_name("ax FLAIR").role, judge_name("ADC").role
    ('t1c', 'flair', None)
    >>> judge_name("T1_map pre").role
    't1_map'
    """
    if word := _hinted(text, "t1_map"):
        return Verdict("t1_map", f"its name says {word!r}", 1)
    for kind in ("other", "quantity", "map", "adc", "dwi"):
        if word := _hinted(text, kind):
            return Verdict(None, f"its name says {word!r}", 1)
    for role in ("dsc", "dce", "vfa", "flair", "t2", "t1"):
        if word := _hinted(text, role):
            after = _hinted(text, "post") if role == "t1" and not _hinted(text, "pre") else None
            return Verdict("t1c" if after else role, f"its name says {after or word!r}", 1)
    return Verdict(None, "its name tells no role", 1)


def _words(text: str) -> str:
    return re.sub(r"[_\-.,;:()\[\]*/]+", " ", text.lower())


def judge(series: DicomSeries, contrast_tells: bool = True) -> Verdict:
    """The role of one series by its own attributes.

    Parameters
    ----------
    contrast_tells
        False where all series of the visit claim a contrast agent, so that the attribute means nothing.
    """
    h = series.header
    if h.sop_class == RT_DOSE:
        return Verdict("dose", f"RT Dose, {series.n_slices} planes")
    if h.modality == "CT":
        if "LOCALIZER" in h.image_type or series.n_slices < _MIN_SLICES:
            return Verdict(None, f"CT localizer or single images ({series.n_slices})")
        return Verdict("ct", f"modality CT, {series.n_slices} slices")
    if h.modality != "MR":
        return Verdict(None, f"modality {h.modality or 'not given'} has no role")
    if h.colour:
        return Verdict(None, "a colour picture, not measured values")
    if "LOCALIZER" in h.image_type or (series.n_slices < _MIN_SLICES and series.n_times < MIN_DYNAMIC):
        count = f"{series.n_slices} slice{'s' if series.n_slices > 1 else ''} in this orientation"
        return Verdict(None, f"a localizer or too few slices ({count})")
    if derived := _derived(series):
        return derived
    if len(series.values("b_value")) > 1 or len({s.frame.b_vector for s in series.slices} - {None}) > 1:
        return _diffusion(series)
    if series.n_times > 1 and len(series.values("flip_angle_deg")) == series.n_times:
        return Verdict("vfa", f"one volume for each flip angle of {_list(series.values('flip_angle_deg'))} degrees")
    # Copies that were given numbers of their own are one image, of which the arrangement says that it is there twice.
    copies = series.n_times < MIN_DYNAMIC and len({s.frame for s in series.slices}) == series.n_slices
    if series.n_times > 1 and not copies:
        return _dynamic(series)
    return _structural(series, contrast_tells)


_COMPUTED = (
    *("CBV", "RCBV", "CBF", "RCBF", "MTT", "TTP", "PBP", "GBP", "PERFUSION"),
    *("SUB", "MIP", "MINIP", "PROJECTION", "MAX_IP", "MIN_IP"),
)


def _derived(series: DicomSeries) -> Verdict | None:
    """Maps and reconstructions, by ImageType; None for images as the scanner measured them."""
    kinds = set(series.header.image_type)
    if kinds & {"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY", "VELOCITY"} and not kinds & set(MAGNITUDE):
        return Verdict(None, "phase, real or imaginary images")
    if kinds & {"F", "FAT"}:
        return Verdict(None, "the fat image of a Dixon measurement")
    if kinds & {"ADC", "APPARENT DIFFUSION COEFFICIENT", "ADC_UNSPECIFIED"} or any(k.startswith("ADC") for k in kinds):
        return Verdict("adc", "ImageType names an ADC map")
    if kinds & {"FA", "FRACTIONAL ANISOTROPY"} or any(k.startswith("FRACT") for k in kinds):
        return Verdict("fa", "ImageType names a map of fractional anisotropy")
    if "DERIVED" in kinds and "METABOLITE_MAP" in kinds and len(names := sorted(kinds & _METABOLITES)) == 1:
        return Verdict(names[0].lower(), f"ImageType names a metabolite map ({names[0]})")
    if {"DERIVED", "B1"} <= kinds:
        return Verdict("b1", "ImageType names a map of the flip angle (B1)")
    if kinds & {"TRACEW", "TENSOR", "TENSOR_B0", "EADC", "EXP", "ISO"} and len(series.values("b_value")) < 2:
        return Verdict(None, "a diffusion image averaged over directions, with one b-value")
    if any(k.startswith(_COMPUTED) for k in kinds):
        return Verdict(None, f"computed from other images (ImageType {', '.join(sorted(kinds))})")
    if quantity := _quantity(series):
        return Verdict(None, quantity)
    if "DERIVED" in kinds:
        if word := _hint(series, "adc"):
            return Verdict("adc", f"derived images whose name says {word!r}", 1)
        if (word := _hint(series, "fa")) and _hint(series, "dwi"):
            return Verdict("fa", f"derived images whose name says {word!r}", 1)
        if word := _hint(series, "map"):
            return Verdict(None, f"derived images whose name says {word!r}")
    if (
        "SECONDARY" in kinds
        and series.header.tr_ms is None
        and series.header.te_ms is None
        and not series.header.sequence
    ):
        return Verdict(None, "a secondary image without acquisition attributes")
    return None


# Units of what is no signal: frequency, relaxation times and rates, angles, shares.
_UNITS = (
    "hz",
    "khz",
    "rad/s",
    "ms",
    "s",
    "1/s",
    "/s",
    "hz/s",
    "s-1",
    "rad",
    "deg",
    "ppm",
    "%",
    "percent",
    "t",
    "mt",
    "ut",
)


def _quantity(series: DicomSeries) -> str | None:
    """Why an image holds a physical quantity (a relaxation time, the field's deviation) and no signal; None where nothing says so."""
    h = series.header
    diffusion = bool(series.values("b_value"))
    named = [k for k in h.image_type if re.search(r"MAPS?$", k) or (re.fullmatch(r"B[01]", k) and not diffusion)]
    if named:
        return f"values of a map, no signal (ImageType {', '.join(named)})"
    if h.units in _UNITS:
        return f"values in {h.units}, no signal"
    # A measurement of T1 is named so too, but consists of several volumes.
    if not diffusion and series.n_times == 1 and (word := _hint(series, "quantity")):
        return f"its name says {word!r}, which is no weighted image"
    return None


def _diffusion(series: DicomSeries) -> Verdict:
    b_values = series.values("b_value")
    directions = _directions(series)
    where = f", {directions} gradient directions" if directions > 1 else ""
    return Verdict("dti", f"diffusion-weighted: b = {_list(b_values)} s/mm2{where}")


def _dynamic(series: DicomSeries) -> Verdict:
    h, n = series.header, series.n_times
    if word := _hint(series, "other"):
        return Verdict(None, f"{n} time points, but its name says {word!r}")
    if word := _hint(series, "dwi"):
        return Verdict(None, f"{n} volumes whose name says {word!r}, but no b-values are in the headers")
    if n < MIN_DYNAMIC:
        return Verdict(None, f"{n} time points; a perfusion series has at least {MIN_DYNAMIC}")
    agent = "with contrast agent" if h.contrast else "no contrast agent stated"
    facts = f"{n} time points, {_facts(h)}"
    if h.te_ms is None:
        for role in ("dsc", "dce"):
            if word := _hint(series, role):
                return Verdict(role, f"{facts}; its name says {word!r}", 1)
        return Verdict(None, f"{facts}; neither TE nor name tells DCE from DSC")
    if h.te_ms >= T2_STAR_TE_MS:
        if n > _MOST_BOLUS_FRAMES and not h.contrast:
            return Verdict(None, f"{facts}: T2*-weighted, {agent}, too many frames for a bolus (functional MRI?)")
        kind = "echo-planar" if h.echo_planar else "gradient-echo" if "GR" in h.sequence else "spin-echo"
        strong = bool(h.contrast) or _hint(series, "dsc") is not None
        return Verdict("dsc", f"{facts}: T2*-weighted {kind} dynamic, {agent}", 2 if strong else 1)
    if h.echo_planar:
        return Verdict(None, f"{facts}: echo-planar with a short TE is neither DCE nor DSC")
    strong = bool(h.contrast) or _hint(series, "dce") is not None
    return Verdict("dce", f"{facts}: T1-weighted dynamic, {agent}", 2 if strong else 1)


def _structural(series: DicomSeries, contrast_tells: bool) -> Verdict:
    h = series.header
    if h.angiography or (word := _hint(series, "other")):
        return Verdict(None, f"an angiography ({_facts(h)})" if h.angiography else f"its name says {word!r}")
    if len(series.values("b_value")) == 1 and (h.echo_planar or series.values("b_value") != [0.0]):
        return Verdict(
            None,
            f"diffusion-weighted with the one b-value {series.values('b_value')[0]:g} s/mm2; at least two are needed",
        )
    if (word := _hint(series, "inversion")) and _hint(series, "t1"):
        return Verdict(
            None, f"one inversion of an MP2RAGE (its name says {word!r}), from which the T1-weighted image is made"
        )
    weighting, why, strength = _weighting(series)
    if weighting and series.frame.intercept < 0:
        why, strength = f"{why}; its values may be negative, as those of a signal are not: check this", 1
    if weighting != "t1":
        return Verdict(weighting, why, strength)
    if h.contrast and contrast_tells:
        agent = h.contrast.get("agent")
        return Verdict("t1c", f"{why}, ContrastBolus attributes present" + (f" ({agent})" if agent else ""), strength)
    silent = (
        "no contrast agent stated"
        if not h.contrast
        else "all series of the visit state a contrast agent, which tells nothing"
    )
    if word := _hint(series, "pre"):
        return Verdict("t1", f"{why}; {silent}, its name says {word!r}", strength)
    if word := _hint(series, "post"):
        return Verdict("t1c", f"{why}; {silent}, but its name says {word!r}", 1)
    if match := re.search(rf"(?<![a-z0-9])(?:{_PLANNING})(?![a-z0-9])", _words(f"{h.purpose} {h.description}")):
        return Verdict(
            "t1c",
            f"{why}; {silent}, but it was taken for planning ({match[0]!r}), which is done with contrast agent: check this",
            1,
        )
    return Verdict("t1", f"{why}; {silent}", strength)


def _weighting(series: DicomSeries) -> tuple[str | None, str, int]:
    """T1, T2, FLAIR or none of them, by sequence, TR, TE, TI and flip angle."""
    h, facts = series.header, _facts(series.header)
    tr, te, ti = h.tr_ms, h.te_ms, h.ti_ms
    gradient = "GR" in h.sequence and "SE" not in h.sequence
    if te is None or tr is None:
        for role in ("flair", "t1", "t2"):
            if word := _hint(series, role):
                return role, f"its name says {word!r}; {'TR' if tr is None else 'TE'} is not in the headers", 1
        return None, f"{facts}: TR or TE missing, and the name does not tell the weighting", 2
    if h.inversion and ti is not None and ti >= _FLUID_TI_MS and te >= _LONG_TE_MS:
        return "flair", f"{facts}: inversion recovery that nulls fluid, with a long TE", 2
    if te >= _LONG_TE_MS and tr >= _LONG_TR_MS and (word := _hint(series, "flair")):
        return "flair", f"{facts}: long TE, and its name says {word!r} (no inversion time in the headers)", 1
    if h.echo_planar:
        return None, f"{facts}: a single echo-planar volume", 2
    if ti is not None and ti < _FAT_TI_MS and te >= 20:
        return None, f"{facts}: inversion recovery that nulls fat", 2
    if gradient:
        if te >= _GRADIENT_TE_MS:
            return None, f"{facts}: T2*-weighted gradient echo", 2
        if "SS" in h.variant and "SP" not in h.variant and (h.flip_angle_deg or 0) >= 30:
            return None, f"{facts}: balanced steady state, not T1-weighted", 2
        if ti is None and tr < _SPOILED_TR_MS and (h.flip_angle_deg or 90) < 8:
            return (
                None,
                f"{facts}: gradient echo with a small flip angle and no series of other flip angles beside it",
                2,
            )
        return "t1", f"{facts}: {'3-D ' if h.volumetric else ''}T1-weighted gradient echo", 2
    if te >= _T2_TE_MS and tr >= _T2_TR_MS:
        return "t2", f"{facts}: spin echo with long TR and TE", 2
    if te < _T1_TE_MS and (tr <= _T1_TR_MS or (ti is not None and _FAT_TI_MS <= ti < _FLUID_TI_MS)):
        return "t1", f"{facts}: T1-weighted spin echo", 2
    return None, f"{facts}: neither T1- nor T2-weighted (proton density?)", 2


def _facts(h: Header) -> str:
    """Sequence, TR, TE, TI and flip angle as far as they are known."""
    parts = ["/".join(sorted(h.sequence)) or "sequence not given"]
    for name, value, unit in (
        ("TR", h.tr_ms, "ms"),
        ("TE", h.te_ms, "ms"),
        ("TI", h.ti_ms, "ms"),
        ("flip angle", h.flip_angle_deg, "degrees"),
    ):
        if value is not None:
            parts.append(f"{name} {value:g} {unit}")
    return ", ".join(parts)


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{v:g}" for v in values)


# --------------------------------------------------------------------------------------------------------- several series


# Chosen, where series are parts of one measurement: half of what was rounded to before it was compared.
_SAME_MS, _SAME_START_MM = 0.05, 0.5


def _same_scan(series: Sequence[DicomSeries]) -> list[tuple]:
    """For each series what those of one measurement have in common."""
    starts = [min(x.frame.position for x in s.slices) for s in series]
    alike = zip(
        linked([s.header.tr_ms for s in series], _SAME_MS),
        linked([s.header.te_ms for s in series], _SAME_MS),
        linked_rows(starts, _SAME_START_MM),
        strict=True,
    )
    return [
        (
            s.header.study_uid,
            s.header.sequence,
            s.frame.rows,
            s.frame.columns,
            s.n_slices,
            s.frame.image_type,
            bool(s.header.contrast),
            *kind,
        )
        for s, kind in zip(series, alike, strict=True)
    ]


def _is_volume(s: DicomSeries) -> bool:
    return s.header.modality == "MR" and s.n_times == 1 and s.n_slices >= _MIN_SLICES


def _join_flip_angles(series: list[DicomSeries]) -> list[DicomSeries]:
    """Join spoiled gradient-echo series that differ in nothing but the flip angle: a T1 measurement."""
    groups: dict[tuple, list[DicomSeries]] = {}
    alike = [
        s
        for s in series
        if _is_volume(s)
        and "GR" in s.header.sequence
        and s.header.flip_angle_deg is not None
        and s.header.ti_ms is None
        and (s.header.tr_ms or 99) < _SPOILED_TR_MS
        and (s.header.te_ms or 99) < _GRADIENT_TE_MS
    ]
    for s, scan in zip(alike, _same_scan(alike), strict=True):
        groups.setdefault(scan, []).append(s)
    for members in groups.values():
        angles = {m.header.flip_angle_deg: m for m in members}
        if len(angles) >= 2 and len(angles) == len(members):
            series = _replaced(series, sorted(members, key=lambda m: m.header.flip_angle_deg or 0))
    return series


def _join_frames(series: list[DicomSeries]) -> list[DicomSeries]:
    """Join series that are one time point each of a dynamic: at least `MIN_DYNAMIC` alike, taken one after the other."""
    groups: dict[tuple, list[DicomSeries]] = {}
    single = [s for s in series if _is_volume(s) and s.start_s is not None]
    angles = linked([s.header.flip_angle_deg for s in single], SAME_ANGLE_DEG)
    for s, scan, angle in zip(single, _same_scan(single), angles, strict=True):
        groups.setdefault((*scan, angle), []).append(s)
    for members in groups.values():
        if len(members) >= MIN_DYNAMIC and len({m.start_s for m in members}) == len(members):
            series = _replaced(series, sorted(members, key=lambda m: m.start_s or 0))
    return series


def _replaced(series: list[DicomSeries], members: list[DicomSeries]) -> list[DicomSeries]:
    """The list with `members` joined at the place of the first."""
    at = min(series.index(m) for m in members)
    rest = [s for s in series if s not in members]
    return [*rest[:at], join(members), *rest[at:]]
