"""Clinical facts and survival times, from stated laws.

Times to progression and from there to death follow proportional hazards (`draws.Hazard`). Covariates are centred, so that a median is
that of a typical patient: ``age`` (decades from 58 years), ``unmethylated`` (1 or 0, less its share), ``residual`` (subtotal resection or
biopsy, less its share), ``proliferation`` (log of rho less its mean, over .45, its SD in preset default), and what a preset plants.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .biology import Biology, Tumours
from .draws import Hazard, Shares, Uniform
from .phantom import stream

# Progression: median 7.0 months (S3). Methylated MGMT .36 (S1: .25-.54), so unmethylated 2.8; residual tumour 1.5, proliferation 1.3
# and the shape are chosen.
PROGRESSION = Hazard(
    213.0,
    1.3,
    30.0,
    (
        ("age", 0.0),
        ("unmethylated", -float(np.log(0.36))),
        ("residual", float(np.log(1.5))),
        ("proliferation", float(np.log(1.3))),
    ),
)
# Death after progression: the median makes that of survival S3's 17.6 months. Age 1.3 per decade, unmethylated 1.3 are chosen;
# residual 1.5 keeps the whole near S2's 2.1-2.4 for OS.
AFTER = Hazard(
    270.0,
    1.2,
    0.0,
    (("age", float(np.log(1.3))), ("unmethylated", float(np.log(1.3))), ("residual", float(np.log(1.5)))),
)
FOLLOWED_DAYS = Uniform(500.0, 2200.0)  # from the baseline scan to the end of the study (chosen)


@dataclass(frozen=True)
class People:
    """Who a preset's patients are.

    Parameters
    ----------
    age
        Mean and SD in years, cut to 18-90.
    male, methylated
        Shares.
    kps
        Shares of the Karnofsky performance status.
    treatments
        Shares of the ``treatment`` key.
    progression, after
        Hazards of progression, and of death after it.
    """

    age: tuple[float, float] = (57.7, 13.4)  # S0
    male: float = 0.58
    methylated: float = 0.42
    kps: Shares = Shares((("70", 15), ("80", 30), ("90", 40), ("100", 15)))
    treatments: Shares = Shares((("radiotherapy", 1),))
    progression: Hazard = PROGRESSION
    after: Hazard = AFTER


@dataclass(frozen=True)
class Outcome:
    """Clinical keys of ``case.json``; covariates of the hazards; times without censoring."""

    clinical: dict[str, Any]
    covariates: dict[str, float]
    after_days: float = field(default=0.0)


def draw_person(seed: int, people: People, biology: Biology, tumours: Tumours) -> Outcome:
    """Draw age, sex, KPS, MGMT and treatment, and the covariates that follow from them and from the tumour."""
    rng = stream(seed, "clinical")
    age = people.age[0] + people.age[1] * rng.normal()
    while not 18 <= age <= 90:
        age = people.age[0] + people.age[1] * rng.normal()
    methylated = bool(rng.random() < people.methylated)
    clinical: dict[str, Any] = {
        "age": int(age),
        "sex": "M" if rng.random() < people.male else "F",
        "kps": int(people.kps.draw(rng)),
        "grade": 4,
        "pathology": "glioblastoma",
        "idh": "wildtype",
        "mgmt": "methylated" if methylated else "unmethylated",
        "resection": biology.extent,
        "treatment": people.treatments.draw(rng),
        "rt_dose_gy": 60.0,
    }
    weights = dict(tumours.extent.weights)
    partly = 1 - weights.get("GTR", 0.0) / sum(weights.values())
    middle = tumours.front_mm_day.mean_log - tumours.width_mm.mean_log - np.log(2)
    covariates = {
        "age": (int(age) - 58) / 10,
        "unmethylated": float(not methylated) - (1 - people.methylated),
        "residual": float(biology.extent != "GTR") - partly,
        "proliferation": float((np.log(biology.rate) - middle) / 0.45),
    }
    return Outcome(clinical, covariates)


def draw_times(
    seed: int,
    people: People,
    person: Outcome,
    planted: Mapping[str, float],
    within_days: int | None = None,
    recurred: bool = True,
) -> Outcome:
    """Draw progression and death.

    Parameters
    ----------
    planted
        Covariates that join the patient's own.
    within_days
        Where patients are sorted by recurrence before this day (S0, S1): who recurs does so before it, by the same law given that; who does
        not is followed until then, and progresses later.
    recurred
        Whether the patient recurs; without `within_days` everybody does.

    Returns
    -------
    Outcome
        Progression is seen unless the patient has none `within_days`; death is censored at the end of the study.
    """
    rng = stream(seed, "outcome")
    x = person.covariates | dict(planted)
    progressed = people.progression.draw(rng, x)
    while within_days is not None and (progressed <= within_days) != recurred:
        progressed = people.progression.draw(rng, x)
    after = people.after.draw(rng, x)
    end = max(FOLLOWED_DAYS.draw(rng), progressed)
    died = progressed + after
    seen = within_days is None or recurred
    times = {
        "pfs_days": max(round(progressed), 1) if seen else within_days,
        "pfs_event": int(seen),
        "os_days": max(round(min(died, end)), 1),
        "os_event": int(died <= end),
    }
    return Outcome(person.clinical | times, x, after)
