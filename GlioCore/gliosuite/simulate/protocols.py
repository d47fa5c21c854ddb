"""How each scan is taken, and two scanners: `DEFAULT` and `SHIFTED`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..errors import InputError
from .acquisition import PROTOCOLS, Protocol


@dataclass(frozen=True)
class Vfa:
    """A variable flip angle series (spoiled gradient echo) for T1, and a B1 map that goes with it.

    Parameters
    ----------
    snr
        White matter's signal at the flip angle nearest to 10 degrees over the noise's SD.
    b1_mm, b1_sd
        Voxel size of the B1 map and SD of its noise.
    """

    tr_s: float = 0.005
    te_s: float = 0.0015
    flip_angles_deg: tuple[float, ...] = (2.0, 5.0, 10.0, 15.0)
    spacing_mm: tuple[float, float, float] = (1.875, 1.875, 3.0)
    slab_mm: tuple[float, float] = (-44.0, 67.0)
    snr: float = 40.0
    b1_mm: float = 3.0
    b1_sd: float = 0.02


@dataclass(frozen=True)
class Dce:
    """A DCE scan: spoiled gradient echo (defaults: Yoon et al. 2024's protocol: TR 2.8-4.2 ms, TE 1.0-2.1 ms, 10 degrees, 60 frames
    of 4.8-6 s, 1.25-1.87 x 3 mm).
    """

    tr_s: float = 0.0035
    te_s: float = 0.0015
    flip_angle_deg: float = 10.0
    dt_s: float = 5.0
    frames: int = 60
    spacing_mm: tuple[float, float, float] = (1.875, 1.875, 3.0)
    slab_mm: tuple[float, float] = (-44.0, 67.0)
    snr: float = 25.0
    arrival_s: float = 30.0


@dataclass(frozen=True)
class Dsc:
    """A DSC scan: gradient echo EPI.

    Parameters
    ----------
    tissue_r2star, blood_r2star, outside_r2star
        1/(mM s): how strongly contrast agent acts within vessels of tissue (large, by the field around them), within an artery, and
        outside vessels (Kjolby BF et al., Magn Reson Med 2006;56:187; van Osch MJP et al. 2003;49:1067; the last one chosen).
    blood_r2star_square
        1/(mM2 s), the quadratic part in an artery (van Osch 2003).
    preload
        Whether a first dose was given `preload_wait_s` before this one: it still circulates, and it has leaked.
    """

    tr_s: float = 1.5
    te_s: float = 0.030
    flip_angle_deg: float = 60.0
    frames: int = 60
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 5.0)
    slab_mm: tuple[float, float] = (-44.0, 76.0)
    snr: float = 55.0
    arrival_s: float = 18.0
    tissue_r2star: float = 45.0
    blood_r2star: float = 7.6
    blood_r2star_square: float = 0.57
    outside_r2star: float = 12.0
    preload: bool = False
    preload_wait_s: float = 300.0


@dataclass(frozen=True)
class Diffusion:
    """Diffusion maps from `n_b0` images without and `n_directions` with a diffusion weight of `b` s/mm2 (defaults: Tran et al. 2025's).

    `snr` is that of white matter in one image without diffusion weight, `fa_sd` the noise of the anisotropy.
    """

    b: float = 1000.0
    te_s: float = 0.108
    n_b0: int = 4
    n_directions: int = 6
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 3.0)
    snr: float = 25.0
    fa_sd: float = 0.05


@dataclass(frozen=True)
class Mrsi:
    """Peak heights of metabolites in a PRESS box (defaults: Tran et al. 2025's lactate-edited 3-D MRSI).

    Parameters
    ----------
    box_mm, voxel_mm, psf_mm
        Size of the box (x, y, z), of its voxels, and the full width at half maximum of the point spread function.
    snr
        Height of white matter's NAA over the noise's SD.
    """

    tr_s: float = 1.1
    te_s: float = 0.144
    box_mm: tuple[float, float, float] = (80.0, 80.0, 40.0)
    voxel_mm: float = 10.0
    psf_mm: float = 10.0
    snr: float = 16.0


@dataclass(frozen=True)
class Protocols:
    """All scans of one scanner; `structural` by role."""

    structural: dict[str, Protocol] = field(default_factory=lambda: dict(PROTOCOLS))
    vfa: Vfa = Vfa()
    dce: Dce = Dce()
    dsc: Dsc = Dsc()
    diffusion: Diffusion = Diffusion()
    mrsi: Mrsi = Mrsi()


DEFAULT = Protocols()
# Another scanner: 1.5 T-like noise, other contrast weighting, faster DCE, slower DSC, thicker slices.
SHIFTED = Protocols(
    structural={
        "t1": Protocol("mprage", 1700, 3.6, 800, 12, (1.0, 1.0, 1.2), 18),
        "t1c": Protocol("mprage", 1700, 3.6, 800, 12, (1.0, 1.0, 1.0), 18),
        "t2": Protocol("spin", 4000, 105, 0, 90, (0.7, 0.7, 5.0), 28),
        "flair": Protocol("flair", 8000, 130, 2250, 90, (0.9, 0.9, 5.0), 20),
    },
    vfa=Vfa(tr_s=0.0065, flip_angles_deg=(3.0, 9.0, 15.0, 20.0), spacing_mm=(2.0, 2.0, 4.0), snr=25.0),
    dce=Dce(tr_s=0.005, te_s=0.002, flip_angle_deg=15.0, dt_s=3.5, frames=90, spacing_mm=(2.0, 2.0, 4.0), snr=16.0),
    dsc=Dsc(tr_s=2.0, te_s=0.040, flip_angle_deg=75.0, frames=50, spacing_mm=(1.8, 1.8, 6.0), snr=35.0),
    diffusion=Diffusion(te_s=0.090, n_b0=1, n_directions=12, spacing_mm=(2.0, 2.0, 4.0), snr=15.0, fa_sd=0.07),
    mrsi=Mrsi(snr=9.0),
)


def changed(protocols: Protocols, settings: Sequence[str]) -> Protocols:
    """Protocols with some settings of their own.

    Parameters
    ----------
    settings
        ``SCAN.SETTING=VALUE``, e.g. ``dsc.preload=true`` or ``dce.frames=90``; a list as in JSON, ``dce.spacing_mm=[1.25,1.25,3]``.

    Raises
    ------
    InputError
        If there is no such scan or setting, or the value is of another kind.
    """
    for text in settings:
        name, found, value = text.partition("=")
        scan, _, key = name.partition(".")
        known = {**vars(protocols), **protocols.structural}
        del known["structural"]
        if not found or scan not in known:
            raise InputError(f"protocol setting {text!r} is not SCAN.SETTING=VALUE with a scan of {', '.join(known)}")
        if key not in vars(known[scan]):
            raise InputError(f"{scan} has no setting {key!r}; it has {', '.join(vars(known[scan]))}")
        old = vars(known[scan])[key]
        try:
            new = json.loads(value) if not isinstance(old, str) else value
        except json.JSONDecodeError:
            new = value
        new = (
            tuple(new) if isinstance(new, list) else float(new) if isinstance(old, float) and type(new) is int else new
        )
        if type(new) is not type(old):
            raise InputError(f"{name} is {value!r}; something like {json.dumps(old)} is needed")
        one = replace(known[scan], **{key: new})
        if scan in protocols.structural:
            protocols = replace(protocols, structural={**protocols.structural, scan: one})
        else:
            protocols = replace(protocols, **{scan: one})
    return protocols
