"""What one tumour is like and what is done about it: stated distributions, and the draw of one patient from them.

Volumes and extents of resection follow Tran et al. 2025 (npj Digit Med, 10.1038/s41746-025-01861-2; S3): T2L with CEL before
radiotherapy 34.4 +- 30.5 cc, median 26.4, range 1.2-153.6. A log-normal with that median and log-SD .727 has that mean. Front speed and
width span the glioblastomas of Harpold HLP et al., J Neuropathol Exp Neurol 2007;66:1 and Swanson KR et al., Cell Prolif 2000;33:317.
What says "chosen" was set by judgement, not measured.
"""

from dataclasses import dataclass

from .draws import LogNormal, Shares, Uniform
from .phantom import stream

ROOM = 0.8  # at most this share of T2L (with CEL) is core; the rest is oedema and infiltration (chosen)


@dataclass(frozen=True)
class Tumours:
    """Distributions that a preset's tumours are drawn from.

    Parameters
    ----------
    front_mm_day, width_mm
        Speed ``v = 2 sqrt(D rho)`` of the front in white matter and its width ``L = sqrt(D / rho)``.
    cel_density
        Cell density from which tissue enhances (chosen).
    dead_share
        Share of the core (CEL and necrosis) that is necrotic (chosen).
    cel_cc
        CEL before surgery (S3: 3-40 cc), less where the T2L drawn leaves no room.
    t2l_cc
        T2L with CEL at the baseline scan.
    anisotropy
        D along fibres over D across them; 1 is isotropic.
    multifocal
        Probability of a second focus (chosen).
    mass_effect
        Factor on the displacement of tissue around the tumour (chosen).
    extent, removed
        Extent of resection and, by extent, the share of CEL that is taken out.
    called_cc
        CEL with necrosis at which progression is called (chosen), or 1.25 times what was left, if that is more (after RANO's 25 %).
    distant
        Probability that the recurrence seeds the ventricles' wall or the meninges.
    log10_kill
        Radiotherapy's cell kill in powers of ten inside the planned volume.
    """

    front_mm_day: Uniform = Uniform(0.06, 0.16)
    width_mm: Uniform = Uniform(1.2, 4.0)
    cel_density: Uniform = Uniform(0.55, 0.75)
    dead_share: Uniform = Uniform(0.0, 0.5)
    cel_cc: LogNormal = LogNormal(13.0, 0.6, 3.0, 40.0)
    t2l_cc: LogNormal = LogNormal(26.4, 0.727, 1.2, 153.6)
    anisotropy: float = 1.0
    multifocal: float = 0.10
    mass_effect: Uniform = Uniform(0.5, 1.5)
    extent: Shares = Shares((("GTR", 35.0), ("STR", 55.0), ("biopsy", 10.0)))
    removed: tuple[tuple[str, Uniform], ...] = (("GTR", Uniform(0.95, 0.98)), ("STR", Uniform(0.3, 0.85)))
    called_cc: LogNormal = LogNormal(9.0, 0.6, 2.0, 35.0)
    distant: float = 0.12
    log10_kill: Uniform = Uniform(0.7, 2.0)


@dataclass(frozen=True)
class Biology:
    """One tumour and its surgery; see `Tumours`. `room_cc` is the upper end that `cel_cc` was drawn below; where the T2L could not hold
    what surgery left, `removed` is more than `removed_drawn`.
    """

    front_mm_day: float
    width_mm: float
    cel_density: float
    dead_share: float
    cel_cc: float
    room_cc: float
    t2l_cc: float
    anisotropy: float
    multifocal: bool
    mass_effect: float
    extent: str
    removed: float
    removed_drawn: float
    called_cc: float
    distant: bool
    log10_kill: float

    @property
    def diffusion(self) -> float:
        """D in white matter, mm2/day."""
        return self.front_mm_day * self.width_mm / 2

    @property
    def rate(self) -> float:
        """Proliferation rho, 1/day."""
        return self.front_mm_day / (2 * self.width_mm)

    @property
    def core_cc(self) -> float:
        """CEL with necrosis before surgery."""
        return self.cel_cc / (1 - self.dead_share)


def draw_biology(seed: int, tumours: Tumours, preoperative: bool = False) -> Biology:
    """Draw a patient's tumour; where the baseline scan is `preoperative`, all of the core counts towards the baseline's T2L."""
    rng = stream(seed, "biology")
    t2l_cc = tumours.t2l_cc.draw(rng)
    extent = tumours.extent.draw(rng)
    drawn = removed = dict(tumours.removed)[extent].draw(rng) if extent != "biopsy" else 0.0
    dead = tumours.dead_share.draw(rng)
    left = 1.0 if preoperative else 1 - removed
    room = max(min(ROOM * t2l_cc * (1 - dead) / left, tumours.cel_cc.high), 1.05 * tumours.cel_cc.low)
    cel_cc = tumours.cel_cc.draw(rng, high=room)
    if left * cel_cc / (1 - dead) > ROOM * t2l_cc:  # a T2L of a few cc: what it cannot hold is taken out
        removed = max(removed, 1 - ROOM * t2l_cc * (1 - dead) / cel_cc)
    return Biology(
        front_mm_day=tumours.front_mm_day.draw(rng),
        width_mm=tumours.width_mm.draw(rng),
        cel_density=tumours.cel_density.draw(rng),
        dead_share=dead,
        cel_cc=cel_cc,
        room_cc=room,
        t2l_cc=t2l_cc,
        anisotropy=tumours.anisotropy,
        multifocal=bool(rng.random() < tumours.multifocal),
        mass_effect=tumours.mass_effect.draw(rng),
        extent=extent,
        removed=removed,
        removed_drawn=drawn,
        called_cc=tumours.called_cc.draw(rng),
        distant=bool(rng.random() < tumours.distant),
        log10_kill=tumours.log10_kill.draw(rng),
    )
