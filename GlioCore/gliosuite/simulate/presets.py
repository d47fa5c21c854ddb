"""Kinds of cohorts, each with a card: what it is after, what is planted in it and how strongly, and its twin without the effect."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import InputError
from .biology import Tumours
from .draws import LogNormal, Shares, Uniform
from .outcomes import AFTER, PROGRESSION, People

TWIN = "-twin"
YEAR_DAYS = 365  # S0 and S1 call recurrence by then


@dataclass(frozen=True)
class Preset:
    """One kind of cohort.

    Parameters
    ----------
    about
        What it is, in one sentence.
    source
        Whose numbers it follows.
    tumours, people
        Distributions.
    preoperative
        Whether the baseline scan is the one before surgery; before radiotherapy otherwise.
    recurrence
        ``"reaction-diffusion"``, ``"random-field"`` (the second generator), ``"unrelated"`` (the second generator, blind to everything but
        the lesion's shape), ``"foci"`` (where planted) or ``"same tissue"`` (the second visit shows the first again).
    within_days
        Where patients are sorted by recurrence before this day; followed until progression otherwise.
    protocols
        ``"default"`` or ``"shifted"`` (`acquisition.PROTOCOLS`).
    plant
        Which of `planted`'s effects, or none.
    strength
        How strong it is; all 0 in the twin.
    effect
        The same in words.
    """

    about: str
    source: str
    tumours: Tumours = Tumours()
    people: People = People()
    preoperative: bool = False
    recurrence: str = "reaction-diffusion"
    within_days: int | None = None
    protocols: str = "default"
    plant: str = ""
    strength: Mapping[str, float] = field(default_factory=dict)
    effect: str = "none planted"


# Before surgery T2L is larger than S3's after it: median 60 cc (chosen).
_BEFORE = Tumours(t2l_cc=LogNormal(60.0, 0.6, 8.0, 220.0))
_S2_EXTENT = Shares((("GTR", 57.3), ("STR", 31.5), ("biopsy", 11.2)))
_ARMS = People(
    treatments=Shares((("radiotherapy", 44), ("radiotherapy+bevacizumab", 27), ("radiotherapy+enzastaurin", 30))),
    progression=replace(
        PROGRESSION, effects=(*PROGRESSION.effects, ("bevacizumab", float(np.log(0.7))), ("enzastaurin", 0.0))
    ),
    after=replace(
        AFTER, effects=(*AFTER.effects, ("bevacizumab", float(np.log(0.51))), ("enzastaurin", float(np.log(0.8))))
    ),
)
_HABITATS = People(
    progression=replace(PROGRESSION, effects=(*PROGRESSION.effects, ("infiltrated", 1.0), ("cellular", 1.0))),
    methylated=0.337,
)

_PRESETS: dict[str, Preset] = {
    "default": Preset("Glioblastoma before radiotherapy and at progression.", "S3's volumes, resections and times"),
    "compact": Preset(
        "Narrow fronts, moderate oedema.",
        "S3; one of the two digital cohorts that bars of recurrence models were measured on",
        Tumours(cel_cc=LogNormal(11.0, 0.5, 3.0, 26.0), t2l_cc=LogNormal(37.0, 0.63, 5.0, 150.0)),
    ),
    "diffuse": Preset(
        "Wide fronts along fibres, large T2 lesions, little enhancement.",
        "as compact; the other one",
        Tumours(
            width_mm=Uniform(2.0, 5.5),
            cel_cc=LogNormal(6.0, 0.5, 1.5, 16.0),
            t2l_cc=LogNormal(86.0, 0.51, 15.0, 220.0),
            anisotropy=4.0,
            distant=0.25,
        ),
    ),
    "random-field": Preset(
        "As default, but recurrence comes from the second generator, which shares no equation with growth.",
        "own",
        recurrence="random-field",
        effect="a random field raises the odds of recurrence and shows as lower ADC, higher choline and CBV",
        strength={"adc": -0.12, "cho": 0.25, "cbv": 0.20},
    ),
    "null": Preset(
        "As default, but recurrence depends on nothing but the distance from the lesion.",
        "own",
        recurrence="unrelated",
    ),
    "shifted": Preset(
        "As default, on another scanner: other TR, frames, voxels, more noise.", "own", protocols="shifted"
    ),
    "visit-pairs": Preset(
        "Two visits a few days apart: the same tissue, another position, bolus and noise.",
        "own",
        _BEFORE,
        preoperative=True,
        recurrence="same tissue",
    ),
    "idh-grade": Preset(
        "Gliomas of WHO grade 2-4 before surgery, with IDH and 1p/19q.",
        "S4 (Lyoo 2025), Table 2 and AUROC",
        _BEFORE,
        People(age=(55.0, 15.0), male=0.60),
        preoperative=True,
        plant="grade",
        strength={"ktrans": 1.41, "vp": 1.00, "ve": 1.29, "grade": 0.3},
        effect="log ktrans, vp, ve of CEL lower in IDH-mutant by 1.41, 1.00, 1.29 between-patient SDs; in grade 2 by 0.3 more",
    ),
    "ve-foci": Preset(
        "Gross total resection; local recurrence within a year comes from foci in the T2 lesion.",
        "S0 (Yoon 2024)",
        replace(_BEFORE, extent=Shares((("GTR", 1),))),
        People(male=0.51, methylated=0.55),
        preoperative=True,
        recurrence="foci",
        within_days=YEAR_DAYS,
        plant="ve-foci",
        strength={"ve": 1.5, "ktrans": 0.5, "t1": 0.3},
        effect="ve raised by 150 % and T1 by 30 % in the foci (S0 gives no number), ktrans lowered by 50 %: in T1c they hardly stand out",
    ),
    "texture": Preset(
        "Local and distant recurrence, before surgery.",
        "S1 (Shim 2021)",
        replace(_BEFORE, distant=0.0),
        People(age=(60.2, 13.2), male=0.60, methylated=0.49),
        preoperative=True,
        within_days=YEAR_DAYS,
        plant="texture",
        strength={"texture": 1.0},
        effect="log-SD of CBV .6 against .2 in NEL with local, .5 against .15 in CEL with distant recurrence",
    ),
    "habitats": Preset(
        "Perfusion patterns of the lesion, whose volumes drive survival, before surgery.",
        "S2 (Yun 2023)",
        replace(_BEFORE, extent=_S2_EXTENT),
        _HABITATS,
        preoperative=True,
        plant="habitats",
        strength={"infiltrated": float(np.log(1.88)), "cellular": float(np.log(2.18))},
        effect="hazard ratio of progression 1.88 per 10 cc of infiltrated oedema, 2.18 per 10 cc of cellular NEL; EGFR none",
    ),
    "arms": Preset(
        "Standard, bevacizumab-like and enzastaurin-like treatment.",
        "S3 (Tran 2025), Table 1",
        people=_ARMS,
        plant="arms",
        strength={"arms": 1.0},
        effect="kind of progression by arm (sums: CEL 7, T2L 50, both 44); bevacizumab-like: hazard of progression x .7, death x .51",
    ),
}
PRESETS = tuple(_PRESETS) + tuple(name + TWIN for name, p in _PRESETS.items() if p.strength)


def preset(name: str) -> Preset:
    """A preset by name; ``NAME-twin`` is NAME without its effect.

    Raises
    ------
    InputError
        If it is not known.
    """
    if name not in PRESETS:
        raise InputError(f"preset {name!r} is not known; choose from {', '.join(PRESETS)}")
    found = _PRESETS[name.removesuffix(TWIN)]
    if not name.endswith(TWIN):
        return found
    return replace(
        found, strength=dict.fromkeys(found.strength, 0.0), effect=f"none: the twin of {name.removesuffix(TWIN)}"
    )


def card(name: str) -> dict[str, Any]:
    """What a preset is, as ``cohort.json`` and the docs show it: its sentence, source, effect, and every distribution."""
    p = preset(name)
    tumours = {k: str(v) if not isinstance(v, tuple) else {n: str(d) for n, d in v} for k, v in vars(p.tumours).items()}
    people = {k: str(v) if not isinstance(v, (int, float)) else v for k, v in vars(p.people).items()}
    twin = name + TWIN if name + TWIN in PRESETS else None
    return {
        "preset": name,
        "about": p.about,
        "source": p.source,
        "effect": p.effect,
        "strength": dict(p.strength),
        "twin": twin,
        "baseline": "before surgery" if p.preoperative else "before radiotherapy",
        "recurrence": p.recurrence,
        "protocols": p.protocols,
        "tumours": tumours,
        "people": people,
        "note": "Simulated patients; research use only, no clinical claim.",
    }
