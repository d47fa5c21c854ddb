"""Simulated heads as the commands see them: the raw series moved back, T1 mapped, the AIF found, and fitted; with the truth beside it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from ..errors import InputError
from ..perfusion.settings import T10_TISSUE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    import SimpleITK as sitk

    from ..case import Case
    from ..images import Series
    from ..perfusion.result import PerfusionMaps
    from ..perfusion.settings import DceSettings
    from ..perfusion.synthesis import Fitted
    from ..perfusion.synthesis.spatial_train import Head
    from ..simulate.protocols import Protocols

GRID_MM = 2.0  # of the anatomy; chosen, a third of the time of 1 mm, and no coarser than a DCE series
# Shares of the heads in training whose T1, B1 and haematocrit are known, and whose tumours are those of another cohort; chosen.
_T1, _B1, _HEMATOCRIT, _OTHER = 0.85, 0.7, 0.7, 0.4
_TRUE = ("ktrans", "ve", "vp")


@dataclass(frozen=True)
class FittedHead:
    """A simulated DCE series as the fit sees it, and what is true.

    Attributes
    ----------
    measured
        What was fitted.
    fitted
        The fit of extended Tofts with delay.
    truth
        What voxels hold of ktrans (1/min), ve and vp, and the delay (s) of their main tissue, by name, (z, y, x).
    main
        ktrans, ve and vp of each voxel's main tissue, by name, (z, y, x).
    tissue, share
        1 + index in `simulate.acquisition.CLASSES` of what most of a voxel is, and how much of it that is, (z, y, x).
    """

    measured: "Measured"
    fitted: "Fitted"
    truth: "dict[str, np.ndarray]"
    main: "dict[str, np.ndarray]"
    tissue: "np.ndarray"
    share: "np.ndarray"

    @classmethod
    def of(cls, measured: "Measured", truth: "Callable[[str], sitk.Image]") -> "FittedHead":
        """Of what was measured and the maps of the truth by name, as a simulation gives them on the series' grid.

        Raises
        ------
        InputError
            If the series cannot be fitted, as that of a patient without a usable artery.
        """
        import numpy as np

        from ..images import array
        from ..perfusion.synthesis import Fitted

        fitted = Fitted.of(measured.fit())
        of = lambda name: array(truth(f"dce_{name}"))
        held, main = ({name: of(f"{kind}{name}") for name in _TRUE} for kind in ("held_", ""))
        return cls(measured, fitted, held | {"delay": of("delay")}, main, of("tissue").astype(np.uint8), of("share"))

    def learned(self, name: str = "") -> "Head":
        """What the spatial stage learns from it; with a name, what it is calibrated on.

        Raises
        ------
        InputError
            For calibration, where the blood contradicts the acquisition, since such a series shows the fit.
        """
        import numpy as np

        from ..perfusion.synthesis.posterior import contradicted
        from ..perfusion.synthesis.spatial import GROUPS
        from ..perfusion.synthesis.spatial_train import head
        from ..simulate.acquisition import CLASSES

        if name and contradicted(self.fitted):
            raise InputError(f"the blood of {name} contradicts its acquisition")
        other = {"csf": "fluid", "cavity": "fluid"}
        names = ["beside", *(other.get(name, name if name in GROUPS else "beside") for name in CLASSES)]
        return head(self.fitted, self.truth, np.array([GROUPS.index(name) for name in names])[self.tissue])


def example(seed: int, calibration: bool = False) -> "Head":
    """What the posterior's spatial stage learns from, or is calibrated on, of the head of a seed.

    Half of the heads for calibration are taken by the protocol of S0, whose T1, B1 and haematocrit are known, as studies plan it.

    Raises
    ------
    InputError
        If the series cannot be fitted; for calibration also where its blood contradicts the acquisition, since such a series shows the fit.
    """
    one = fitted_head(seed) if calibration and seed % 2 else draw_head(seed, leaky=not calibration)
    return one.learned(f"simulated head {seed}" if calibration else "")


def check_truth(folder: "Path") -> None:
    """Refuse a case folder that says nothing of the truth of its DCE series.

    Raises
    ------
    InputError
        Of a case that is not simulated.
    """
    from ..case import Case

    truth = Case.load(folder).truth
    if truth is None or not (truth / f"dce_held_{_TRUE[0]}.nii.gz").exists():
        raise InputError(
            f"{folder} has no truth of its DCE series: intervals are calibrated on how far maps lie from what is true, which is known of "
            "simulated cases alone (`gliosuite simulate` by your protocol); a fit cannot stand in: its errors are the maps' own"
        )


def own_example(folder: "Path") -> "Head":
    """What the posterior is calibrated on of a simulated case folder, taken by T1, B1 and haematocrit as far as the case has them.

    Raises
    ------
    InputError
        If the series cannot be fitted, or its blood contradicts the acquisition.
    """
    from ..case import Case
    from ..images import read_image

    case = Case.load(folder)
    measured = Measured.of(case, "vfa" in case.images, "b1" in case.images, t10_s=None)
    return FittedHead.of(measured, lambda name: read_image(cast("Path", case.truth) / f"{name}.nii.gz")).learned(
        case.id
    )


def draw_head(seed: int, leaky: bool = False) -> FittedHead:
    """A head to train on: patient, protocol and what is known of it are drawn; a patient's seed is one of `simulate_case`'s.

    With `leaky`, as to learn from, half of the enhancing tumours have another ktrans, higher as a rule.
    """
    import numpy as np

    from ..simulate.curves import draw_leak
    from ..simulate.protocols import DEFAULT

    rng = np.random.default_rng([seed, 16])
    dt_s = float(rng.uniform(2.5, 6.5))
    thick = float(rng.choice([3.0, 3.0, 4.0, 5.0]))
    dce = replace(
        DEFAULT.dce,
        tr_s=float(rng.uniform(0.003, 0.0055)),
        flip_angle_deg=float(rng.uniform(8.0, 16.0)),
        dt_s=dt_s,
        frames=round(float(rng.uniform(240.0, 360.0)) / dt_s),
        spacing_mm=(2.0, 2.0, thick),
        snr=float(np.exp(rng.uniform(np.log(12.0), np.log(45.0)))),
        arrival_s=float(rng.uniform(18.0, 40.0)),
    )
    vfa = replace(DEFAULT.vfa, spacing_mm=dce.spacing_mm, snr=float(rng.uniform(20.0, 40.0)))
    preset = str(rng.choice(["default", "idh-grade"], p=[1 - _OTHER, _OTHER]))
    t1, b1, hematocrit = (bool(rng.random() < share) for share in (_T1, _B1, _HEMATOCRIT))
    scale = draw_leak(rng) if leaky else None
    return fitted_head(seed, preset, replace(DEFAULT, dce=dce, vfa=vfa), t1, b1, hematocrit, scale)


@dataclass(frozen=True)
class Measured:
    """What a case's DCE gives before the fit: the series after motion correction, its times (t,) in s, settings, T1 and B1."""

    series: "Series"
    times_s: list[float]
    settings: "DceSettings"
    t10: "float | sitk.Image"
    b1: "sitk.Image | None"

    @classmethod
    def of(
        cls,
        case: "Case",
        t1: bool = True,
        b1: bool = True,
        hematocrit: bool = True,
        t10_s: float | None = T10_TISSUE_S,
    ) -> "Measured":
        """Of a case with what is known of it: a T1 map from flip angles, a B1 map for both, the haematocrit.

        Without flip angles T1 is `t10_s` or, where that is None, what case.json says.

        Raises
        ------
        InputError
            If case.json lacks the repetition time, flip angle or times of a series that is used, or the series cannot be moved back.
        """
        import SimpleITK as sitk

        from ..curves import before_bolus
        from ..perfusion.settings import DceSettings, T1Settings
        from ..perfusion.t1 import t1_maps
        from ..registration.motion import align_onto
        from ..registration.steady import steady

        series = case.series("dce")
        scale = cast(sitk.Image, case.image("b1")) if b1 else None
        t10: float | sitk.Image = t10_s or float(case.acquisition("dce").get("t10_s") or T10_TISSUE_S)
        if t1:
            tr_ms, angles = case.need("vfa", "tr_ms", "flip_angle_deg")
            laid = align_onto(case.series("vfa"), before_bolus(series)).series
            t10 = t1_maps(laid, T1Settings(tr_ms, tuple(angles)), scale).t1
        tr_ms, angle, times = case.need("dce", "tr_ms", "flip_angle_deg", "times_s")
        known = ("relaxivity", "te_ms", *(("hematocrit",) if hematocrit else ()))
        said = {key: value for key, value in case.acquisition("dce").items() if key in known and value is not None}
        settings = DceSettings(tr_ms=tr_ms, flip_angle_deg=angle, delay=True, **said)
        return cls(steady(series).series, times, settings, t10, scale)

    def fit(self, aif: "str | sitk.Image" = "auto", mask: "sitk.Image | None" = None) -> "PerfusionMaps":
        """Fit extended Tofts with delay, as `dce_maps`."""
        from ..perfusion.dce import dce_maps

        return dce_maps(self.series, self.times_s, self.settings, aif, self.t10, mask, b1=self.b1)


def fitted_head(
    seed: int,
    preset: str = "default",
    protocols: "Protocols | None" = None,
    t1: bool = True,
    b1: bool = True,
    hematocrit: bool = True,
    scale: "Mapping[str, Mapping[str, float]] | None" = None,
) -> FittedHead:
    """Simulate a patient's DCE series and fit it as ``gliosuite dce`` does, after ``gliosuite t1 --onto``.

    Parameters
    ----------
    protocols
        How scans are taken; the preset's scanner where None.
    t1, b1, hematocrit
        What is known of the patient, as in `Measured.of`.
    scale
        Factors on a tissue's mean parameters, as in `simulate_case`.

    Raises
    ------
    InputError
        If the series cannot be fitted, as that of a patient without a usable artery.
    """
    from ..simulate.cohort import simulate_case

    scans = ("vfa", "dce") if t1 or b1 else ("dce",)
    patient = simulate_case(seed, preset, GRID_MM, scans, protocols=protocols, scale=scale)
    return FittedHead.of(Measured.of(patient.case, t1, b1, hematocrit), patient.truth.maps.__getitem__)
