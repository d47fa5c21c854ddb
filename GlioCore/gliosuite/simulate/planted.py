"""Effects that a preset plants: what a paper found, put into the truth with a stated size, so that a method can be asked to find it.

Each function draws one patient; with a strength of 0 the same things are drawn and nothing depends on them (the preset's twin).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from .draws import Shares, Uniform
from .growth import Region
from .lesion import Lesion, without_specks
from .phantom import stream
from .properties import BETWEEN
from .treatment import distance_to

# S4, Table 2: all 329 patients.
PATHOLOGIES = Shares((("glioblastoma", 247), ("astrocytoma", 50), ("oligodendroglioma", 32)))
# S1: local recurrence only, distant only, both, none.
PATTERNS = Shares((("local", 49), ("distant", 32), ("both", 44), ("none", 67)))
FOCI_CC = Uniform(0.3, 2.0)
# S3: 7 progressed by CEL, 50 by T2L, 44 by both; how these fall on the arms is chosen so that the sums are S3's.
KINDS = {
    "radiotherapy": Shares((("CEL", 6), ("T2L", 11), ("both", 27))),
    "radiotherapy+bevacizumab": Shares((("CEL", 0), ("T2L", 20), ("both", 7))),
    "radiotherapy+enzastaurin": Shares((("CEL", 1), ("T2L", 19), ("both", 10))),
}
KINDS_POOLED = Shares((("CEL", 7), ("T2L", 50), ("both", 44)))
# S2's patterns: label, where, factors on CBV, on the DSC signal before the bolus, and on ADC (after the order of S2's values).
HABITATS = {
    "cel high angiogenic 1": (1, 1.5, 1.0, 1.0),
    "cel high angiogenic 2": (2, 1.1, 1.0, 1.0),
    "cel cellular": (3, 0.6, 0.75, 0.75),
    "cel perinecrotic": (4, 0.6, 1.6, 1.6),
    "nel high angiogenic": (5, 3.0, 1.0, 0.95),
    "nel cellular": (6, 1.3, 0.75, 0.7),
    "nel infiltrated oedema": (7, 1.2, 1.3, 1.0),
    "nel vasogenic oedema": (8, 0.8, 1.8, 1.25),
}


@dataclass(frozen=True)
class Planted:
    """What is planted in one patient.

    Parameters
    ----------
    clinical, covariates
        Clinical keys; covariates of the hazards.
    scale
        Factors on a tissue's parameters, by class and name (`properties.draw_physiology`).
    fields
        ``log_<parameter>`` on the region's fine grid.
    maps, facts
        Truth maps of the fine grid, e.g. labels of habitats, and numbers.
    foci
        Where the recurrence will be (fine grid), or None.
    local, distant
        How the tumour recurs; neither: not at all.
    kind
        What grows at progression: ``CEL``, ``T2L`` or ``both``.
    """

    clinical: Mapping[str, Any] = field(default_factory=dict)
    covariates: Mapping[str, float] = field(default_factory=dict)
    scale: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    fields: Mapping[str, np.ndarray] = field(default_factory=dict)
    maps: Mapping[str, np.ndarray] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    foci: np.ndarray | None = None
    local: bool = True
    distant: bool = False
    kind: str = "both"


def plant_grade(seed: int, strength: Mapping[str, float]) -> Planted:
    """WHO grade, IDH and 1p/19q as in S4's Table 2; IDH-mutant tumours have lower ktrans, vp and ve.

    `strength`: by parameter, the distance between the groups in between-patient SDs of its logarithm. S4's AUROC on maps of the Tofts
    model (.84, .76, .82 for ktrans, vp, ve) are distances ``sqrt(2) probit(AUROC)`` of 1.41, 1.00 and 1.29. Grade 2 lies ``grade``
    SDs lower still.
    """
    rng = stream(seed, "grade")
    pathology = PATHOLOGIES.draw(rng)
    mutant = pathology != "glioblastoma"
    # S4: 26 of grade 2, 67 of grade 3, 236 of grade 4; all of grade 2 among the 82 mutants, the 11 left of grade 3 glioblastomas.
    grade = (2 if rng.random() < 26 / 82 else 3) if mutant else (3 if rng.random() < 11 / 247 else 4)
    age = np.clip(rng.normal(45, 13) if mutant else rng.normal(58, 15), 18, 90)
    lower = {
        name: float(np.exp(-BETWEEN[name] * (strength[name] * mutant + strength["grade"] * (grade == 2))))
        for name in ("ktrans", "vp", "ve")
    }
    clinical = {
        "age": int(age),
        "grade": grade,
        "pathology": pathology,
        "idh": "mutant" if mutant else "wildtype",
        "codeletion_1p19q": "codeleted" if pathology == "oligodendroglioma" else "intact",
    }
    return Planted(clinical, {"age": (int(age) - 58) / 10}, scale={"cel": lower})


def plant_ve_foci(part: Region, lesion: Lesion, seed: int, strength: Mapping[str, float]) -> Planted:
    """Local recurrence in 77 of 179 (S0), within a year, at foci in the non-enhancing T2 lesion near the core that carry raised ve.

    `strength`: relative rises of ``ve`` and, since there is more water, ``t1``; and by what share ``ktrans`` is lower, so that five minutes
    after the injection foci are as bright in T1c as what surrounds them. In every patient oedema leaks more than elsewhere, since ve cannot
    be measured where ktrans is small.
    """
    rng = stream(seed, "foci")
    leaky = {"oedema": {"ktrans": 15.0, "ve": 0.6}}
    recurs = bool(rng.random() < 77 / 179)
    wanted = FOCI_CC.draw(rng)
    if not recurs:
        return Planted(scale=leaky, local=False)
    free = lesion.t2l & ~lesion.core & part.fine_allowed
    near = distance_to(part, lesion.core)
    score = np.where(free, part.field(rng, 10.0, True) - np.abs(near - 6.0) / 6.0, -np.inf)
    n = int(min(max(wanted / part.fine.voxel_cc, 4), free.sum()))
    foci = free & (score >= np.partition(score[free], -n)[-n]) if n else free
    foci = without_specks(foci, part.fine, 0.25)
    soft = ndimage.gaussian_filter(foci.astype(np.float32), 0.7 / part.fine.spacing[0])
    return Planted(
        scale=leaky,
        fields={
            "log_ve": np.float32(np.log1p(strength["ve"])) * soft,
            "log_ktrans": np.float32(np.log1p(-strength["ktrans"])) * soft,
            "log_t1": np.float32(np.log1p(strength["t1"])) * soft,
        },
        maps={"recurrence_focus": foci},
        foci=foci,
    )


def plant_texture(part: Region, lesion: Lesion, seed: int, strength: Mapping[str, float]) -> Planted:
    """Local and distant recurrence as often as in S1, told by the texture of CBV.

    A patient's non-enhancing lesion has smooth CBV spots (10 mm) of log-SD .6, or .2; the enhancing one fine grain (4 mm) of log-SD .5,
    or .15. With a `strength` ``texture`` of 1 the first are the patients with local and with distant recurrence; with 0 as many others.
    """
    rng = stream(seed, "pattern")
    pattern, other = PATTERNS.draw(rng), PATTERNS.draw(rng)
    shown = pattern if rng.random() < strength["texture"] else other
    spots = part.field(rng, 10.0, True) * np.float32(0.6 if shown in ("local", "both") else 0.2)
    grain = part.field(rng, 4.0, True) * np.float32(0.5 if shown in ("distant", "both") else 0.15)
    nel = lesion.t2l & ~lesion.core
    return Planted(
        fields={"log_cbv": np.where(nel, spots, 0) + np.where(lesion.cel, grain, 0)},
        local=pattern in ("local", "both"),
        distant=pattern in ("distant", "both"),
    )


def plant_habitats(part: Region, lesion: Lesion, seed: int, strength: Mapping[str, float]) -> Planted:
    """S2's perfusion patterns: four parts of CEL, four of NEL, with their CBV, signal and ADC; two of their volumes drive survival.

    `strength`: log hazard ratio per 10 cc (10,000 voxels of 1 mm, S2's unit) of ``nel infiltrated oedema`` (S2: 1.88) and of ``nel
    cellular`` (S2: 2.18), centred at 8 and 5 cc. EGFR (S2: 46 %) changes nothing.
    """
    rng = stream(seed, "habitats")
    names = list(HABITATS)
    labels = np.zeros(part.fine.shape, np.uint8)
    dead, core = distance_to(part, lesion.necrosis), distance_to(part, lesion.core)
    fields = [part.field(rng, 9.0, True) for _ in range(2)]
    nel = lesion.t2l & ~lesion.core
    _share_out(labels, lesion.cel, (4, -dead / 3 + fields[0]), fields[1], (3, 1, 2), rng.dirichlet([2.0] * 4))
    _share_out(labels, nel, (8, core / 4 + fields[0]), fields[1], (6, 7, 5), rng.dirichlet([2.0] * 4))
    factors = np.array([(1.0, 1.0, 1.0)] + [HABITATS[n][1:] for n in names], np.float32)
    maps = {p: np.log(factors[:, i])[labels] for i, p in enumerate(("log_cbv", "log_s0", "log_adc"))}
    cc = {n: part.cc(labels == HABITATS[n][0]) for n in names}
    egfr = "amplified" if rng.random() < 0.461 else "not amplified"
    driving = {
        "infiltrated": strength["infiltrated"] * (cc["nel infiltrated oedema"] - 8.0) / 10,
        "cellular": strength["cellular"] * (cc["nel cellular"] - 5.0) / 10,
    }
    return Planted({"egfr": egfr}, driving, fields=maps, maps={"habitats": labels}, facts={"habitat_cc": cc})


def _share_out(
    labels: np.ndarray,
    where: np.ndarray,
    first: tuple[int, np.ndarray],
    field: np.ndarray,
    others: tuple[int, ...],
    shares: np.ndarray,
) -> None:
    """Label `where`: the first share by its own score, the rest by the order of a field."""
    n = int(where.sum())
    if n == 0:
        return
    rank = np.argsort(-first[1][where], kind="stable")
    found = np.zeros(n, np.uint8)
    taken = round(shares[0] * n)
    found[rank[:taken]] = first[0]
    rest = rank[taken:][np.argsort(field[where][rank[taken:]], kind="stable")]
    cuts = np.cumsum(shares[1:] / shares[1:].sum())[:-1] * len(rest)
    for label, piece in zip(others, np.split(rest, np.round(cuts).astype(int))):
        found[piece] = label
    labels[where] = found


def plant_arms(seed: int, treatment: str, strength: Mapping[str, float]) -> Planted:
    """Three treatments that change what grows at progression and how long patients live (S3's Table 1).

    `strength`: ``arms`` of 1 or 0; the hazard ratios are the preset's.
    """
    rng = stream(seed, "arm")
    own, pooled = KINDS[treatment].draw(rng), KINDS_POOLED.draw(rng)
    on = float(strength["arms"])
    covariates = {
        "bevacizumab": on * (treatment == "radiotherapy+bevacizumab"),
        "enzastaurin": on * (treatment == "radiotherapy+enzastaurin"),
    }
    return Planted(covariates=covariates, kind=own if on else pooled)
