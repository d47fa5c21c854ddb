"""One patient's tumour from its first cells to progression: growth, surgery, radiotherapy, recurrence, dates."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import growth, lesion, planted, scatter, treatment
from .biology import Biology
from .growth import Region
from .lesion import Lesion
from .outcomes import Outcome, draw_person, draw_times
from .phantom import Head
from .planted import Planted
from .presets import Preset

SEEN_CC = 0.52  # what counts as tumour beyond a distance: a ball of 10 mm, the least that RANO measures
PATTERNS_OF_S3 = {"within T2L": 0.07, "to 2 cm": 0.65, "beyond 2 cm": 0.29}


@dataclass(frozen=True)
class Course:
    """One patient's tumour at both visits.

    Parameters
    ----------
    baseline, followup
        The lesion at both visits, both in the anatomy of the baseline scan.
    treated
        The lesion after surgery, which radiotherapy is planned on; `baseline` itself unless that is before surgery.
    planted
        What the preset plants.
    clinical
        Clinical keys of ``case.json``.
    facts
        What only a simulation knows: the tumour's biology, volumes, days, covariates.
    """

    baseline: Lesion
    followup: Lesion
    treated: Lesion
    planted: Planted
    clinical: dict[str, Any]
    facts: dict[str, Any]


def follow(head: Head, part: Region, biology: Biology, preset: Preset, seed: int) -> Course:
    """Grow a tumour, treat it, and let it come back as the preset says."""
    medium = growth.tumour_medium(part, biology, head.seed_mm, seed)
    coarse, fine = (lesion.unevenness(part, seed, finer) for finer in (False, True))
    start = growth.first_cells(part, head.seed_mm, seed, biology.multifocal)

    grown, age = growth.grow(
        start, medium, part.coarse.spacing[0], lambda u: lesion.core_cc(u, biology, coarse), biology.core_cc
    )
    density = part.refine(grown)
    inside = lesion.core(density, biology, fine)
    dead = lesion.necrosis(inside, biology.dead_share, fine)
    cavity = treatment.resect(part, inside, inside & ~dead, biology.removed, seed)
    after_cc = biology.t2l_cc * (0.5 if preset.preoperative else 1.0)  # oedema shrinks after surgery (chosen)
    treated = lesion.see(part, np.where(cavity, 0, density), inside, dead, cavity, after_cc, seed)
    baseline = treated
    if preset.preoperative:
        baseline = lesion.see(part, density, inside, dead, np.zeros_like(cavity), biology.t2l_cc, seed)

    person = draw_person(seed, preset.people, biology, preset.tumours)
    plants = _plant(part, baseline, preset, person, seed)
    if preset.recurrence == "random-field":
        plants = _show_hidden(part, plants, preset, seed)
    bed = Bed(part, biology, treated, fine, seed)
    days = 0.0
    if preset.recurrence == "same tissue":
        followup = baseline
    elif preset.recurrence == "foci":
        followup = _from_foci(bed, plants, density)
    elif preset.recurrence == "reaction-diffusion":
        distant = plants.distant or biology.distant
        relapse = treatment.regrow(part, biology, seed, grown, medium, treated, (coarse, fine), plants.local, distant)
        days, followup = relapse.simulated_days, _regrown(bed, relapse, plants.kind)
    else:
        followup = _scattered(bed, plants.maps.get("hidden"))

    recurred = bool((followup.core & ~treated.core).any() or plants.kind == "T2L")
    extent = how_far(part, baseline, followup)
    clinical = person.clinical | dict(plants.clinical)
    facts: dict[str, Any] = {}
    if preset.recurrence != "same tissue":
        times = draw_times(seed, preset.people, person, plants.covariates, preset.within_days, recurred)
        seeded = plants.distant or biology.distant
        clinical = (
            times.clinical | dict(plants.clinical) | _pattern(part, treated, followup, recurred, plants.local, seeded)
        )
        facts = {
            "covariates": times.covariates,
            "death_days_after_progression": times.after_days,
            "regrowth_days_at_own_rates": days,
            "regrowth_rate_factor": days / clinical["pfs_days"],
            "progression_kind": plants.kind if recurred else "none",
            **extent,
        }
    clinical["max_diameter_mm"] = _diameter(part, baseline)
    facts |= {
        "biology": biology,
        "diffusion_mm2_day": biology.diffusion,
        "rate_per_day": biology.rate,
        "seed_mm": head.seed_mm,
        "days_before_surgery": age,
        "grown_cel_cc": part.cc(inside & ~dead),
        "removed_share": float((cavity & inside & ~dead).sum() / max((inside & ~dead).sum(), 1)),
        **plants.facts,
        **{f"baseline_{k}": v for k, v in lesion.volumes(baseline, part).items()},
        **{f"followup_{k}": v for k, v in lesion.volumes(followup, part).items()},
    }
    return Course(baseline, followup, treated, plants, clinical, facts)


@dataclass(frozen=True)
class Bed:
    """What a recurrence arises in: the region, the tumour, the lesion after surgery."""

    part: Region
    biology: Biology
    treated: Lesion
    fine: lesion.Unevenness
    seed: int


def _plant(part: Region, baseline: Lesion, preset: Preset, person: Outcome, seed: int) -> Planted:
    if preset.plant == "grade":
        return planted.plant_grade(seed, preset.strength)
    if preset.plant == "ve-foci":
        return planted.plant_ve_foci(part, baseline, seed, preset.strength)
    if preset.plant == "texture":
        return planted.plant_texture(part, baseline, seed, preset.strength)
    if preset.plant == "habitats":
        return planted.plant_habitats(part, baseline, seed, preset.strength)
    if preset.plant == "arms":
        return planted.plant_arms(seed, person.clinical["treatment"], preset.strength)
    return Planted()


def _show_hidden(part: Region, plants: Planted, preset: Preset, seed: int) -> Planted:
    """The second generator's field joins what scans show."""
    hidden = scatter.hidden_field(part, seed)
    shown = {f"log_{name}": np.float32(b) * hidden for name, b in preset.strength.items()}
    return replace(plants, fields={**plants.fields, **shown}, maps={**plants.maps, "hidden": hidden})


def _regrown(bed: Bed, relapse: treatment.Relapse, kind: str) -> Lesion:
    """The lesion at progression; `kind` says whether enhancement, the T2 lesion or both have grown."""
    part, treated = bed.part, bed.treated
    then = relapse.inside | treated.necrosis
    dead = lesion.necrosis(then, bed.biology.dead_share, bed.fine) | treated.necrosis
    held = part.cc(treated.t2l | then)
    more = 0.0 if kind == "CEL" else max(0.15 * part.cc(treated.t2l), 0.6 * part.cc(then))
    found = lesion.see(part, relapse.density, then, dead, treated.cavity, held + more, bed.seed, treated.t2l)
    if kind != "T2L":
        return found
    # Enhancement is suppressed: what would enhance is bright on FLAIR only.
    dense = np.maximum(found.oedema, 0.9 * found.core)
    nothing = np.zeros_like(then)
    return Lesion(nothing, nothing, found.cavity, found.t2l, dense.astype(np.float32), found.density)


def _from_foci(bed: Bed, plants: Planted, density: np.ndarray) -> Lesion:
    """Foci grown by 4 mm into enhancing tumour; without foci, the treated lesion with what surgery left no longer enhancing."""
    part, treated = bed.part, bed.treated
    nothing = np.zeros_like(treated.cavity)
    quiet = np.where(treated.cavity, 0, density)
    total = part.cc(treated.t2l)
    if plants.foci is None:
        return lesion.see(part, quiet, nothing, nothing, treated.cavity, total, bed.seed, treated.t2l)
    near = treatment.distance_to(part, plants.foci) <= 4.0
    inside = near & part.fine_allowed & ~treated.cavity
    total += part.cc(inside)
    return lesion.see(part, quiet, inside, nothing, treated.cavity, total, bed.seed, treated.t2l)


def _scattered(bed: Bed, hidden: np.ndarray | None) -> Lesion:
    """The second generator's recurrence as a lesion."""
    part, treated = bed.part, bed.treated
    core_cc = max(bed.biology.called_cc, 1.25 * part.cc(treated.core))
    t2l_cc = max(1.15 * part.cc(treated.t2l), 1.6 * core_cc)
    found = scatter.scatter(part, treated, core_cc, t2l_cc, bed.seed, hidden)
    dead = lesion.necrosis(found.inside, bed.biology.dead_share, bed.fine)
    swollen = (0.7 * (found.t2l & ~found.inside)).astype(np.float32)
    soft = lesion.shown(part, swollen, found.t2l, treated.cavity)
    cells = (0.8 * (found.inside & ~dead)).astype(np.float32)
    return Lesion(found.inside & ~dead, dead, treated.cavity, found.t2l, soft, cells)


def how_far(part: Region, baseline: Lesion, followup: Lesion) -> dict[str, Any]:
    """Where progression lies from the baseline's T2L (with CEL): S3's three classes, and its volume beyond 2 cm.

    Something counts as beyond a distance where at least `SEEN_CC` of CEL or T2L lies there.
    """
    away = treatment.distance_to(part, baseline.t2l)
    new = (followup.t2l | followup.cel) & ~baseline.t2l & ~baseline.cavity
    outside, beyond = part.cc(new & (away > 0)), part.cc(new & (away > treatment.PLANNED_MM))
    where = "beyond 2 cm" if beyond >= SEEN_CC else "to 2 cm" if outside >= SEEN_CC else "within T2L"
    furthest = float(away[new].max()) if new.any() else 0.0
    return {"extent": where, "beyond_2cm_cc": beyond, "furthest_mm": furthest}


def _pattern(
    part: Region, treated: Lesion, followup: Lesion, recurred: bool, local: bool, distant: bool
) -> dict[str, int]:
    """Local regrowth around the treated lesion, and seeds beyond radiotherapy's margin; a seed that grows into it is not local."""
    away = treatment.distance_to(part, treated.t2l | treated.cavity)
    new = followup.t2l & ~treated.t2l if not followup.core.any() else followup.core & ~treated.core
    near, far = part.cc(new & (away <= treatment.PLANNED_MM)), part.cc(new & (away > treatment.PLANNED_MM))
    return {
        "recurrence_local": int(recurred and local and near >= SEEN_CC),
        "recurrence_distant": int(recurred and distant and far >= SEEN_CC),
    }


def _diameter(part: Region, found: Lesion) -> float:
    where = np.argwhere(found.core)
    return round(float(np.ptp(where, axis=0).max() * part.fine.spacing[0]), 1) if len(where) else 0.0
