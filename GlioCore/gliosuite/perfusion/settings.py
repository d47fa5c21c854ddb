"""How perfusion series are turned into maps: the settings of DCE, DSC and T1 mapping, each said once.

Commands, the pipeline and panels take names, defaults, units, ranges and choices from here. No numeric library is loaded, since the command
line is built before they are.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import InputError, option
from ..resources import read_text
from ..settings import DEVICES, check, same, setting, settings_of

if TYPE_CHECKING:
    from ..images import Series

MODELS = ("tofts", "etm", "patlak", "2cxm", "2cum", "auto")
CORRECTIONS = ("bsw", "bidirectional", "residue")  # of leakage
LEAKAGE = ("none", *CORRECTIONS, "auto")
VASCULAR, AUTO = "vascular", "auto"
AIF_R2STAR = ("auto", "quadratic", "linear")
DECONVOLUTIONS = (AUTO, "osvd", "csvd", "ssvd", "tikhonov", VASCULAR)
POPULATION_AIFS = ("parker", "georgiou")
AIF_SEARCHES = ("own", "mouridsen", "peruzzo")
FORMATS = ("nii.gz", "nrrd")

HEMATOCRIT = 0.42  # fraction; of large vessels, as Parker's population curve takes it
# 1/(mM s). Chosen for gadobutrol at 3 T, between what was measured in plasma, 4.97 +- 0.59, and in blood, 3.47 (Szomolanyi P et al.,
# Invest Radiol 2019;54:559).
RELAXIVITY = 4.5
T10_BLOOD_S = 1.65  # s; arterial blood at 3 T (Lu H et al., Magn Reson Med 2004;52:679)
T10_TISSUE_S = 1.0  # s; where nothing is known of the tissue (Yoon 2024)
# 1/(mM s): what agent in the vessels of tissue adds to R2*. That of blood with little agent (van Osch 2003): cbv is then a ratio of areas.
# The field around vessels makes it several times larger; calculations and measurements differ by more than two, with the field, the
# vessels' size and the echo time (Kjølby BF et al., Magn Reson Med 2006;56:187; Patil V et al., NMR Biomed 2013;26:392): cbv and cbf are
# not calibrated.
TISSUE_R2STAR = 7.62
T10_LESION_S = 1.5  # s; of enhancing tumour at 3 T, roughly


def preset_names() -> tuple[str, ...]:
    """The rows of ``resources/dce_presets.json``."""
    return tuple(row["name"] for row in json.loads(read_text("dce_presets.json"))["presets"])


# Of DCE and DSC alike; a field belongs to one class, so each gets its own.
def _invalid() -> Any:
    return setting(False, "leave voxels with NaN or negative signal out instead of refusing")


def _n_aif_voxels() -> Any:
    # Twenty average the noise of one voxel away and still lie in one artery (chosen).
    return setting(20, "voxels that auto takes at most", option="--n-voxels", metavar="N")


def _aif_search() -> Any:
    text = "how auto seeks arteries: by our own rules, or a published cluster analysis"
    return setting("own", text, title="AIF search", choices=AIF_SEARCHES)


def _baseline() -> Any:
    text = "frames of the baseline, counted from the first in steady state (default: found in the series)"
    return setting(None, text, title="the baseline", metavar="N", low=1, needed="one frame or more are needed")


def _arrival_s() -> Any:
    text = "when contrast agent arrives in the series, s; the frames in steady state before it are the baseline (default: found)"
    return setting(None, text, title="the arrival", option="--arrival", metavar="S", unit="s")


def _possible(low: float, high: float, unit: str, other: str) -> dict[str, Any]:
    """A range that no scanner leaves, chosen wide: what lies outside was most likely given in the `other` unit."""
    return {
        "low": low,
        "high": high,
        "needed": f"{low:g} to {high:g} {unit} are possible; was it given in {other}?",
    }


@dataclass(frozen=True)
class DceSettings:
    """How a DCE series is turned into maps.

    Parameters
    ----------
    tr_ms, flip_angle_deg
        Of the spoiled gradient echo; not needed with ``input="concentration"``.
    relaxivity
        1/(mM s).
    hematocrit
        Fraction; blood concentrations are divided by 1 minus it, once.
    t10_blood_s
        T1 of blood before contrast in s, for an AIF taken from the series (`T10_BLOOD_S`).
    model
        One of `MODELS`.
    delay
        Whether to fit each voxel's arrival after the AIF; None: unless the AIF is a population's, which is aligned to the tissue.
    dispersion_s
        Mean of the exponential by which the bolus is dispersed between the AIF's artery and the tissue, in s, the same for all voxels;
        None: found from the voxels wherever the delay is fitted and the model has no flow of its own. See `dce.dispersion`.
    input
        ``"signal"`` or ``"concentration"`` (mM).
    aif_fit
        True: replace a sampled AIF by Parker's form fitted to it; False: take it straight between its samples. None, where frames are more
        than 2 s apart: what lies between the samples is found from the tissue's curves (`aif.refined`) where the delay is fitted, otherwise
        Parker's form is taken where its residual is within noise.
    allow_invalid_voxels
        Leave voxels with NaN or negative signal out instead of refusing the series.
    n_aif_voxels
        How many voxels the automatic AIF takes at most (search ``"own"``).
    aif_search
        How it seeks them, one of `AIF_SEARCHES`; see `aif.arteries`.
    baseline, arrival_s
        How many frames come before the contrast agent, from the first in steady state on, or when it arrives in s of the frame times: one
        of them in place of what is found in the series, and of the reasons to refuse that.
    sinus
        Whether an AIF taken from the series is brought to the level of a large vein's curve, where one is found; see `aif.venous`.
    bounds
        Lowest and highest value by parameter, in place of the fit's defaults.
    unclamped
        Whether to add maps of ktrans (or ps) and vp that may be below 0, for means over a region.
    semiquantitative
        Whether to add iauc60, iauc90, wash_in, wash_out, ttp and max_enhancement; see `dce.semiquantitative`.
    te_ms, r2star
        Echo time in ms and effective transverse relaxivity of tissue in 1/(mM s), to take T2* decay into account. The echo time alone is
        enough for the blood of the AIF.
    noise_floor
        Whether to take the noise floor of a magnitude off where the signal before contrast lies near it; see `signal.without_floor`.
    device
        One of `DEVICES`, for the kinetic fit.
    preset
        Which paper's settings these started from (see `dce.presets`), for the record; it changes nothing by itself.
    """

    tr_ms: float | None = setting(
        None,
        "repetition time in ms (default: as the DICOM files say)",
        title="the repetition time",
        metavar="MS",
        unit="ms",
        **_possible(0.5, 200, "ms", "s"),
    )
    flip_angle_deg: float | None = setting(
        None,
        "flip angle in degrees (default: as the DICOM files say)",
        title="the flip angle",
        option="--flip-angle",
        metavar="DEG",
        unit="degrees",
        **_possible(1, 90, "degrees", "radians"),
    )
    relaxivity: float = setting(
        RELAXIVITY,
        "relaxivity in 1/(mM s)",
        metavar="R1",
        unit="1/(mM s)",
        **_possible(0.1, 100, "1/(mM s)", "1/(uM s)"),
    )
    hematocrit: float = setting(
        HEMATOCRIT,
        "fraction; no effect on an AIF table",
        metavar="F",
        unit="fraction",
        low=0,
        high=1,
        high_open=True,
        needed="a fraction from 0 to below 1 is needed, e.g. {default:g}",
    )
    t10_blood_s: float = setting(
        T10_BLOOD_S,
        "T1 of blood in s for the AIF",
        title="the T1 of blood",
        option="--t10-blood",
        metavar="S",
        unit="s",
        **_possible(0.1, 10, "s", "ms"),
    )
    model: str = setting("etm", "kinetic model", title="kinetic model", choices=MODELS)
    delay: bool | None = setting(
        None, "fit each voxel's arrival after the AIF (default: unless the AIF is a population's)"
    )
    dispersion_s: float | None = setting(
        None,
        "mean dispersion of the bolus between artery and tissue in s; 0: none (default: found from all voxels where the delay is fitted)",
        title="the dispersion",
        option="--dispersion",
        metavar="S",
        unit="s",
        low=0,
        high=30,
        needed="a mean between 0 and 30 s is needed",
    )
    input: str = setting("signal", "what SERIES holds (mM)", choices=("signal", "concentration"))
    aif_fit: bool | None = setting(
        None,
        "replace the AIF by Parker's form fitted to it; no: straight between its samples (default: as the tissue's curves show it, "
        "see fit.json)",
    )
    allow_invalid_voxels: bool = _invalid()
    n_aif_voxels: int = _n_aif_voxels()
    aif_search: str = _aif_search()
    baseline: int | None = _baseline()
    arrival_s: float | None = _arrival_s()
    sinus: bool = setting(True, "bring an AIF taken from a DCE series to the level of a large vein, where one is found")
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    unclamped: bool = setting(
        False, "add ktrans (or ps) and vp that may be below 0, for means over a region (tofts, etm, patlak)"
    )
    semiquantitative: bool = setting(
        False, "add iauc60, iauc90 (mM s), wash_in, wash_out (mM/min), ttp (s), max_enhancement (mM)"
    )
    te_ms: float | None = setting(
        None,
        "echo time in ms, for T2* decay in the blood of the AIF, and in tissue with --r2star (default: as the DICOM files say)",
        title="the echo time",
        metavar="MS",
        unit="ms",
        **_possible(0.1, 100, "ms", "s"),
    )
    r2star: float | None = setting(
        None,
        "T2* relaxivity in 1/(mM s), with --te-ms",
        title="the T2* relaxivity",
        metavar="R2",
        unit="1/(mM s)",
        low=0,
        needed="a number of 0 or more is needed",
    )
    noise_floor: bool = setting(
        True, "take the noise floor of a magnitude off where the signal before contrast is below 10 times the noise"
    )
    device: str = setting("auto", "where to compute", choices=DEVICES)
    preset: str | None = None


@dataclass(frozen=True)
class RegionSettings:
    """What counts in tables over regions.

    Parameters
    ----------
    max_uncertainty
        In %: voxels whose SD is above so much of the value are left out, map by map; None leaves none out.
    """

    max_uncertainty: float | None = setting(
        None,
        "leave voxels whose SD is above so many percent of the value out of the tables over regions (default: none)",
        title="the largest uncertainty",
        metavar="PERCENT",
        unit="%",
        low=0.0,
        low_open=True,
        needed="a percentage above 0 is needed",
    )


@dataclass(frozen=True)
class DscSettings:
    """How a DSC series is turned into maps.

    Parameters
    ----------
    te_ms, tr_ms
        Echo and repetition time; the echo time is not needed with ``input="dr2star"``.
    leakage
        One of `LEAKAGE`; ``"auto"``: per voxel by the corrected Akaike criterion.
    deconvolution
        One of `DECONVOLUTIONS`.
    aif_r2star, tissue_r2star
        How the AIF's ΔR2* is turned into concentration, one of `AIF_R2STAR`, and what concentration in the vessels of tissue does to R2*,
        1/(mM s); cbv and cbf are inversely proportional to the latter.
    input
        ``"signal"`` or ``"dr2star"`` (1/s).
    allow_invalid_voxels
        Leave voxels with NaN or negative signal out instead of refusing the series.
    n_aif_voxels
        How many voxels the automatic AIF takes at most (search ``"own"``).
    aif_search
        How it seeks them, one of `AIF_SEARCHES`; see `aif.arteries`.
    baseline, arrival_s
        How many frames come before the contrast agent, from the first in steady state on, or when it arrives in s of the frame times: one
        of them in place of what is found in the series, and of the reasons to refuse that.
    vof
        Whether an AIF taken from the series is scaled so that its first pass has the area of a large vein's (venous output function).
    flip_angle_deg, t10_s
        Flip angle, and T1 before the bolus in s where there is no map of it. With flip angle, `tr_ms` and `te_ms`, ``"residue"`` and
        ``"auto"`` fit leakage through the signal equation (`dsc.signalfit`).
    """

    te_ms: float | None = setting(
        None,
        "echo time in ms (default: as the DICOM files say)",
        title="the echo time",
        metavar="MS",
        unit="ms",
        **_possible(1, 300, "ms", "s"),
    )
    tr_ms: float | None = setting(
        None,
        "repetition time in ms (default: as the DICOM files say)",
        title="the repetition time",
        metavar="MS",
        unit="ms",
        **_possible(10, 20_000, "ms", "s"),
    )
    leakage: str = setting(
        "residue",
        "leakage correction; auto: the one that the Akaike criterion prefers in each voxel",
        title="leakage correction",
        choices=LEAKAGE,
    )
    deconvolution: str = setting(
        AUTO,
        "for cbf, mtt and tmax; auto: by a vascular model with SDs where it can be learned from the series, by oSVD elsewhere",
        title="deconvolution",
        choices=DECONVOLUTIONS,
    )
    aif_r2star: str = setting(
        AIF_R2STAR[0],
        "how the AIF's ΔR2* follows concentration: quadratic, as that of arterial blood (van Osch 2003), in proportion, or what normal "
        "tissue fits better",
        title="the AIF's R2* relation",
        choices=AIF_R2STAR,
    )
    tissue_r2star: float = setting(
        TISSUE_R2STAR,
        "T2* relaxivity of agent in the vessels of tissue in 1/(mM s), which scales cbv and cbf",
        title="the T2* relaxivity of tissue",
        metavar="R2",
        unit="1/(mM s)",
        low=0,
        low_open=True,
        needed="a number above 0 in 1/(mM s) is needed, e.g. {default:g}",
    )
    input: str = setting("signal", "what SERIES holds (dr2star in 1/s)", choices=("signal", "dr2star"))
    allow_invalid_voxels: bool = _invalid()
    n_aif_voxels: int = _n_aif_voxels()
    aif_search: str = _aif_search()
    baseline: int | None = _baseline()
    arrival_s: float | None = _arrival_s()
    vof: bool = setting(
        False, "scale a DSC AIF so that its first pass has the area of a large vein's, for absolute cbv (default no)"
    )
    flip_angle_deg: float | None = setting(
        None,
        "flip angle in degrees (default: as the DICOM files say); with it and --tr-ms, residue and auto reckon with T1 exactly",
        title="the flip angle",
        option="--flip-angle",
        metavar="DEG",
        unit="degrees",
        **_possible(2, 90, "degrees", "radians"),
    )
    t10_s: float = setting(
        T10_LESION_S,
        "T1 of the lesion before the bolus in s",
        title="the T1 before the bolus",
        option="--t10",
        metavar="S",
        unit="s",
        low=0.1,
        high=10.0,
        needed="one between 0.1 and 10 s is needed",
    )


@dataclass(frozen=True)
class T1Settings:
    """How a VFA series was taken: repetition time in ms and flip angles in degrees; whether invalid voxels are left out; how to fit."""

    tr_ms: float
    flip_angles_deg: tuple[float, ...]
    allow_invalid_voxels: bool = setting(False, "leave voxels with NaN or negative signal out")
    linear: bool = setting(False, "straight line instead of the nonlinear fit (biased by noise)")
    device: str = setting("auto", "where to compute", choices=DEVICES)


@dataclass(frozen=True)
class InversionSettings:
    """How the inversion-prepared images were taken, beside a VFA series.

    Attributes
    ----------
    vfa
        The VFA series' settings.
    ti_ms
        By image, from the inversion to the first pulse of the train, ms.
    flip_angle_deg, spacing_ms, pulses
        Of the train: nominal angle, spacing of its echoes in ms, number of pulses.
    recovery_ms
        From the end of a train to the next inversion.
    centre
        When the centre of k-space is read, as a fraction of the train.
    """

    vfa: T1Settings
    ti_ms: tuple[float, ...]
    flip_angle_deg: float
    spacing_ms: float
    pulses: int
    recovery_ms: float = setting(
        0.0, "last pulse to next inversion", option="--ir-recovery-ms", metavar="MS", unit="ms"
    )
    centre: float = setting(
        0.5,
        "when the centre of k-space is read, as a fraction of the pulses",
        option="--ir-centre",
        metavar="F",
        unit="fraction",
    )


def check_known(settings: DceSettings | DscSettings, series: "Series", *names: str) -> None:
    """Refuse settings of the acquisition that are not known or out of range.

    Raises
    ------
    InputError
        With the series' name and the option that gives the value.
    """
    known = settings_of(type(settings))
    unknown = [known[n] for n in names if getattr(settings, n) is None]
    if unknown:
        are, them = ("is", "it") if len(unknown) == 1 else ("are", "them")
        titles, flags = (" and ".join(words) for words in zip(*((one.title, option(one.flag)) for one in unknown)))
        raise InputError(f"{series.name}: {titles} {are} not known; give {them} with {flags}")
    for name in names:
        known[name].check(getattr(settings, name), f"{series.name}: ")


@dataclass(frozen=True)
class SynthesisTraining:
    """How the posterior network is trained.

    Parameters
    ----------
    seed
        Of curves, first weights and batches.
    series, voxels
        Simulated series, and voxels of each.
    members, width
        Networks of the ensemble, and units of each of their three hidden layers.
    steps, batch
        Of the optimiser, and voxels in each step.
    heads, calibration_heads, first_head
        Simulated heads that the stage that looks at neighbours learns from (none without it), those that calibrate intervals, and the
        seed of the first.
    spatial_members, spatial_steps
        Networks of that stage, and steps of the optimiser of each.
    """

    seed: int = setting(1, "seed of curves, first weights and batches", low=0, needed="0 or more is needed")
    series: int = setting(1500, "simulated series", low=20, needed="20 at least are needed")
    voxels: int = setting(400, "voxels of each series", low=16, needed="16 at least are needed")
    members: int = setting(3, "networks of the ensemble", low=1, high=5, needed="1 to 5 are needed")
    width: int = setting(96, "units of each hidden layer", low=8, needed="8 at least are needed")
    steps: int = setting(8000, "steps of the optimiser", low=1, needed="1 at least is needed")
    batch: int = setting(2048, "voxels in each step", low=1, needed="1 at least is needed")
    heads: int = setting(
        140,
        "simulated heads that the stage that looks at neighbours learns from; 0 leaves it out",
        low=0,
        needed="0 or more are needed",
    )
    calibration_heads: int = setting(
        90, "simulated heads that calibrate its intervals", low=1, needed="1 at least is needed"
    )
    first_head: int = setting(
        1300010, "seed of the first of these heads; the others follow", low=0, needed="0 or more is needed"
    )
    spatial_members: int = setting(2, "networks that look at neighbours", low=1, high=5, needed="1 to 5 are needed")
    spatial_steps: int = setting(12000, "steps of the optimiser of each of these", low=1, needed="1 at least is needed")

    def __post_init__(self) -> None:
        check(self, *self.__dataclass_fields__)


@dataclass(frozen=True)
class Lyoo2025Training:
    """How the networks of Lyoo 2025 are trained.

    Parameters
    ----------
    seed
        Of patients, first weights and batches.
    patients, slices
        Simulated patients, the last eighth of them held out, and slices of each.
    tcn_steps, tcn_patches
        Of the temporal network's optimiser, and patches in each step.
    unet_steps, unet_slices
        Of the U-Net's optimiser, and slices in each step.
    divergence
        Weight of the latent's Kullback-Leibler divergence in the U-Net's loss.
    """

    seed: int = same(SynthesisTraining, "seed")
    patients: int = setting(48, "simulated patients", low=8, needed="8 at least are needed")
    slices: int = setting(6, "slices of each patient", low=1, needed="1 at least is needed")
    tcn_steps: int = setting(2500, "steps of the temporal network", low=1, needed="1 at least is needed")
    tcn_patches: int = setting(2, "patches in each of its steps", low=1, needed="1 at least is needed")
    unet_steps: int = setting(1000, "steps of the U-Net", low=1, needed="1 at least is needed")
    unet_slices: int = setting(2, "slices in each of its steps", low=1, needed="1 at least is needed")
    divergence: float = setting(
        1e-3, "weight of the latent's divergence in the U-Net's loss", low=0, needed="0 or more is needed"
    )

    def __post_init__(self) -> None:
        check(self, *self.__dataclass_fields__)
