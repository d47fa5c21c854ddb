"""Structural scans: tissue to signal, and what a scanner adds (position, slice thickness, bias field, Rician noise).

Signals are those of the textbook equations; relaxation times are typical of 3 T (Wansapura JP et al., J Magn Reson Imaging 1999;9:531;
Stanisz GJ et al., Magn Reson Med 2005;54:507), those of oedema, tumour and fluid chosen to look like glioma on clinical images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..images import Grid, array
from .phantom import positions, random_field

CLASSES = (
    "gm",
    "wm",
    "csf",
    "bone",
    "marrow",
    "fat",
    "muscle",
    "artery",
    "vein",
    "cel",
    "necrosis",
    "oedema",
    "cavity",
    "dura",
)
BRAIN = ("gm", "wm", "cel", "necrosis", "oedema")  # where fields log_<parameter> act


@dataclass(frozen=True)
class Effects:
    """What makes scans differ from the tissue; each can be switched off alone.

    Parameters
    ----------
    noise
        Rician noise at the protocol's SNR.
    bias
        Receive field that varies smoothly by some 20 %.
    offset
        The patient moves by a few mm between scans.
    motion
        The patient drifts during the dynamic series (up to about 0.5 mm and 0.5 degrees) and sometimes moves at once.
    leakage
        Contrast agent outside vessels acts on DSC (T1 and T2*).
    partial_volume
        Voxels of dynamic series mix tissues; without, each is what most of it is.
    delay
        Blood arrives later in tissue than in arteries.
    texture
        Tissue properties vary within a tissue.
    skull
        The head has skull, scalp and neck; without, scans are as after brain extraction.
    b1
        Flip angles of VFA, DCE and DSC are those asked for times the field ``b1``.
    inflow
        Arterial blood enters the slab of VFA and DCE with full magnetisation.
    saturation
        Much contrast agent in blood: T2* decay in DCE, more than linear ΔR2* and the noise floor in DSC.
    dispersion
        The bolus is wider in tissue than in the arteries.
    """

    noise: bool = True
    bias: bool = True
    offset: bool = True
    motion: bool = True
    leakage: bool = True
    partial_volume: bool = True
    delay: bool = True
    texture: bool = True
    skull: bool = True
    b1: bool = True
    inflow: bool = True
    saturation: bool = True
    dispersion: bool = True

    @classmethod
    def without(cls, names: Sequence[str]) -> "Effects":
        """Everything on but what is named.

        Raises
        ------
        InputError
            If an effect is not known.
        """
        known = cls.__dataclass_fields__
        if unknown := [n for n in names if n not in known]:
            raise InputError(f"effect {unknown[0]!r} is not known; choose from {', '.join(known)}")
        return cls(**dict.fromkeys(names, False))

    @classmethod
    def none(cls, **on: bool) -> "Effects":
        """Everything off but what is named."""
        return cls(**(dict.fromkeys(cls.__dataclass_fields__, False) | on))


@dataclass(frozen=True)
class Tissue:
    """Relaxation times in s (T2 as a turbo spin echo sees it), proton density relative to fluid, T2* in s."""

    t1: float
    t2: float
    pd: float
    t2star: float


TISSUE = {
    "gm": Tissue(1.45, 0.095, 0.82, 0.055),
    "wm": Tissue(0.90, 0.075, 0.70, 0.050),
    "csf": Tissue(4.00, 0.900, 1.00, 0.200),
    "bone": Tissue(0.60, 0.010, 0.06, 0.003),
    "marrow": Tissue(0.45, 0.060, 0.45, 0.012),
    "fat": Tissue(0.38, 0.070, 0.85, 0.012),  # as with common fat saturation in part: T1 a little long, T2* short
    "muscle": Tissue(1.30, 0.045, 0.75, 0.028),
    "artery": Tissue(1.65, 0.060, 0.80, 0.050),
    "vein": Tissue(1.60, 0.060, 0.80, 0.035),
    "cel": Tissue(1.50, 0.120, 0.86, 0.070),
    "necrosis": Tissue(2.60, 0.320, 0.93, 0.120),
    "oedema": Tissue(1.65, 0.175, 0.88, 0.090),
    "cavity": Tissue(3.60, 0.700, 0.99, 0.180),
    "dura": Tissue(0.90, 0.025, 0.60, 0.020),
}


@dataclass(frozen=True)
class Protocol:
    """A structural scan.

    Parameters
    ----------
    kind
        ``"mprage"`` (inversion recovery gradient echo), ``"spin"`` (turbo spin echo) or ``"flair"``.
    spacing_mm
        Voxel size (x, y, z); slices are axial.
    snr
        White matter's signal over the noise's SD.
    """

    kind: str
    tr_ms: float
    te_ms: float
    ti_ms: float
    flip_angle_deg: float
    spacing_mm: tuple[float, float, float]
    snr: float

    @property
    def acquisition(self) -> dict[str, float]:
        """The keys of ``case.json``."""
        known = {"tr_ms": self.tr_ms, "te_ms": self.te_ms, "ti_ms": self.ti_ms, "flip_angle_deg": self.flip_angle_deg}
        return {k: v for k, v in known.items() if v > 0}

    def signal(self, t1: np.ndarray | float, tissue: Tissue) -> np.ndarray | float:
        """Signal of a tissue whose T1 (s) may differ from the table's, e.g. with contrast agent."""
        tr, te, ti = self.tr_ms / 1000, self.te_ms / 1000, self.ti_ms / 1000
        if self.kind == "spin":
            return tissue.pd * (1 - np.exp(-tr / t1)) * np.exp(-te / tissue.t2)
        inverted = np.abs(1 - 2 * np.exp(-ti / t1) + np.exp(-tr / t1))
        return tissue.pd * inverted * np.exp(-te / (tissue.t2 if self.kind == "flair" else tissue.t2star))


PROTOCOLS = {
    "t1": Protocol("mprage", 2000, 3.0, 900, 9, (1.0, 1.0, 1.0), 30),
    "t1c": Protocol("mprage", 2000, 3.0, 900, 9, (1.0, 1.0, 1.0), 30),
    "t2": Protocol("spin", 5000, 95, 0, 90, (0.9, 0.9, 3.0), 45),
    "flair": Protocol("flair", 9000, 115, 2400, 90, (0.9, 0.9, 4.0), 32),
}
# What tumour cells at density 1 do to the signal (linear below): infiltrated oedema is a little darker on T2 and FLAIR than mere
# oedema, infiltrated brain a little brighter, and darker on T1; chosen.
_INFILTRATED = {"oedema": (0.10, -0.30), "wm": (-0.15, 0.50), "gm": (-0.08, 0.30)}  # (T1 weighted, T2 weighted)
_FLOW_VOID = {"artery": 0.15, "vein": 0.4}  # what is left of flowing blood's signal in a spin echo


def tissue_signal(
    protocol: Protocol,
    fractions: Mapping[str, np.ndarray],
    texture: np.ndarray | None,
    contrast_r1: Mapping[str, np.ndarray | float],
    density: np.ndarray | None = None,
    log_t1: np.ndarray | None = None,
) -> np.ndarray:
    """Signal (z, y, x) of a head, each voxel mixing the signals of what it holds.

    Parameters
    ----------
    fractions
        Volume fractions of `CLASSES`; air is what is left.
    texture
        Relative variation of the signal within tissues (z, y, x), about unit variance; None for none.
    contrast_r1
        By class, what contrast agent adds to R1 in 1/s: a number, or an array (z, y, x).
    density
        Density of tumour cells, 0-1 (z, y, x), that changes the tissue around the tumour a little.
    log_t1
        Natural logarithm (z, y, x) of by what T1 of brain and tumour is longer than the class's, for T1-weighted scans; None for nowhere.
        On T2 and FLAIR the longer T2 of the same water is taken to make up for it.
    """
    total = np.zeros(fractions["gm"].shape, np.float32)
    for name, amount in fractions.items():
        tissue = TISSUE[name]
        contrast = contrast_r1.get(name, 0.0)
        longer = log_t1 if name in BRAIN and protocol.kind == "mprage" else None
        if isinstance(contrast, np.ndarray) or longer is not None:
            inside = amount > 0
            t1 = tissue.t1 if longer is None else tissue.t1 * np.exp(longer[inside])
            added_r1 = contrast[inside] if isinstance(contrast, np.ndarray) else contrast
            value = protocol.signal(1 / (1 / t1 + added_r1), tissue)
            if density is not None and name in _INFILTRATED:
                value = value * (1 + _INFILTRATED[name][protocol.kind != "mprage"] * density[inside])
            total[inside] += amount[inside] * np.asarray(value, np.float32)
            continue
        value = protocol.signal(1 / (1 / tissue.t1 + contrast), tissue)
        if protocol.kind != "mprage":
            value *= _FLOW_VOID.get(name, 1.0)
        added = amount * np.float32(value)
        if density is not None and name in _INFILTRATED:
            added *= 1 + np.float32(_INFILTRATED[name][protocol.kind != "mprage"]) * density
        total += added
    if texture is not None:
        total *= 1 + np.float32(0.025) * texture
    return total


def scan_grid(grid: Grid, spacing_mm: tuple[float, float, float], z_mm: tuple[float, float] | None = None) -> Grid:
    """Axial voxels of `spacing_mm`, no finer than the head's, over its box or over the slab `z_mm` (from, to)."""
    dx, dy, dz = (max(s, g) for s, g in zip(spacing_mm, grid.spacing))
    low = [o - g / 2 for o, g in zip(grid.origin, grid.spacing)]
    high = [a + n * g for a, n, g in zip(low, grid.size, grid.spacing)]
    if z_mm is not None:
        low[2], high[2] = max(low[2], z_mm[0]), min(high[2], z_mm[1])
    nx, ny, nz = (int((b - a) / s + 1e-6) for a, b, s in zip(low, high, (dx, dy, dz)))
    x, y, z = (a + ((b - a) - n * s) / 2 + s / 2 for a, b, n, s in zip(low, high, (nx, ny, nz), (dx, dy, dz)))
    return Grid((nx, ny, nz), (dx, dy, dz), (x, y, z), grid.direction)


def sample(image: sitk.Image, like: Grid, to_head: sitk.Transform | None, finest_mm: float) -> np.ndarray:
    """Average an image over the voxels of a scan: points within each voxel, at most `finest_mm` apart.

    Parameters
    ----------
    image
        Scalar or vector, on the head's grid.
    to_head
        LPS points of the scan to points of the head; None where they are the same.

    Returns
    -------
    numpy.ndarray
        (z, y, x) or (z, y, x, component), float32.
    """
    parts = [
        max(round(s / (1.6 * finest_mm)) if i < 2 else round(s / finest_mm), 1) for i, s in enumerate(like.spacing)
    ]
    dx, dy, dz = (s / n for s, n in zip(like.spacing, parts))
    x, y, z = (o - s / 2 + f / 2 for o, s, f in zip(like.origin, like.spacing, (dx, dy, dz)))
    fine_nx, fine_ny, fine_nz = (s * n for s, n in zip(like.size, parts))
    fine = Grid((fine_nx, fine_ny, fine_nz), (dx, dy, dz), (x, y, z), like.direction)
    drawn = sitk.Resample(image, fine.blank(), to_head or sitk.Transform(), sitk.sitkLinear, 0.0)
    result = sitk.GetArrayViewFromImage(drawn)  # a view lives as long as its image: `drawn` must have a name
    nz, ny, nx = like.shape
    blocks = result.reshape(nz, parts[2], ny, parts[1], nx, parts[0], *result.shape[3:])
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32)


def rician(signal: np.ndarray, sd: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitude of a signal with Gaussian noise of `sd` in both channels."""
    real = rng.standard_normal(signal.shape, np.float32)
    real *= np.float32(sd)
    real += signal
    imaginary = rng.standard_normal(signal.shape, np.float32)
    imaginary *= np.float32(sd)
    return np.hypot(real, imaginary)


def b1_field(grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Actual over nominal flip angle (z, y, x): high in the middle of the head and low at its rim, as at 3 T, and uneven.

    Chosen: 1.10 in the middle, .85 at 90 mm, SD .03 of unevenness over 80 mm, and a patient's own level with an SD of .03.
    """
    x, y, z = positions(grid)
    squared = (x / 80) ** 2 + ((y - 18) / 95) ** 2 + ((z - 10) / 90) ** 2
    level = 1.10 * np.exp(0.03 * rng.standard_normal())
    field = level - 0.25 * np.minimum(squared, 1.6) + 0.03 * random_field(grid, rng, 80.0)
    return np.clip(field, 0.6, 1.3).astype(np.float32)


def bias_field(grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """A receive field (z, y, x) around 1 with an SD of about 10 %."""
    return np.exp(np.float32(0.09) * random_field(grid, rng, 110.0))


def structural(
    signal: np.ndarray,
    head_grid: Grid,
    protocol: Protocol,
    to_head: sitk.Transform | None,
    effects: Effects,
    rng: np.random.Generator,
) -> sitk.Image:
    """Scan a signal: int16 image with white matter near 400.

    Parameters
    ----------
    signal
        (z, y, x) on `head_grid`.
    to_head
        LPS points of the scan to points of the head.
    """
    grid = scan_grid(head_grid, protocol.spacing_mm)
    white = float(protocol.signal(TISSUE["wm"].t1, TISSUE["wm"]))
    image = head_grid.image(signal * np.float32(400 / white))
    if to_head is None and grid.matches(head_grid):
        result = array(image)
    else:
        result = sample(image, grid, to_head, head_grid.spacing[2])
    if effects.bias:
        result = result * bias_field(grid, rng)
    if effects.noise:
        result = rician(result, 400 / protocol.snr, rng)
    return grid.image(np.clip(np.round(result), 0, 32767).astype(np.int16))
