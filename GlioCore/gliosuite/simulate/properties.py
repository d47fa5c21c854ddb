"""What each tissue of one patient is like, and the truth maps: relaxation, perfusion, permeability, diffusion, metabolites.

A patient's class means are drawn around the population's (`TYPICAL`); within a class, random fields make texture, tumour cells shift
what they live among, and presets plant their effects.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod

import numpy as np
from scipy import ndimage

from ..images import Grid
from ..metabolites import indices
from ..perfusion.kinetics import convolve, parker_aif
from ..perfusion.signal import HEMATOCRIT, RELAXIVITY
from .acquisition import BRAIN, CLASSES, Effects
from .phantom import random_field
from .protocols import Dsc


@dataclass(frozen=True)
class Properties:
    """A tissue.

    Parameters
    ----------
    t1
        s, without contrast agent.
    ktrans, ve, vp, delay
        1/min, fractions, and s by which blood arrives later than in the arteries.
    cbv, mtt, residue
        ml/100ml, s, and the shape of the gamma distribution of transit times: 1 is exponential, more is narrower.
    adc, fa
        mm2/s and 0-1.
    cho, cre, naa, lac, lip
        Peak heights at TE 144 ms relative to NAA in white matter.
    """

    t1: float
    ktrans: float = 0.0
    ve: float = 0.2
    vp: float = 0.0
    delay: float = 0.0
    cbv: float = 0.0
    mtt: float = 4.0
    residue: float = 1.0
    adc: float = 0.3e-3
    fa: float = 0.0
    cho: float = 0.0
    cre: float = 0.0
    naa: float = 0.0
    lac: float = 0.0
    lip: float = 0.0


PARAMETERS = tuple(Properties.__dataclass_fields__)
METABOLITES = ("cho", "cre", "naa", "lac", "lip")

# T1 at 3 T: Wansapura 1999, Stanisz 2005; tumour, oedema and fluids chosen. Kinetics lie in the ranges of digital reference objects of
# glioma: white matter ktrans about .001 and vp .01-.02, grey matter vp .03-.05, rim ktrans .03-.3, necrosis below .01 with a large ve,
# vessels vp .5-1. Blood volume and transit of normal brain near Leenders KL et al., Brain 1990;113:27 (PET); enhancing tumour about four
# times white matter (Arzanforoosh F et al., Front Oncol 2021, 648528: 3.3-4.6). Residue shapes chosen in the range of Mouridsen K et al.,
# J Cereb Blood Flow Metab 2014;34:1511. ADC: white matter .7-.8e-3, solid glioblastoma 1.0-1.2e-3, oedema 1.3-1.5e-3, necrosis 2-3e-3 (Kono
# K et al., AJNR 2001;22:1081), free water 3.0e-3 (Holz M et al., Phys Chem Chem Phys 2000;2:4740). Metabolites of normal brain from
# concentrations of Pouwels PJW, Frahm J, Magn Reson Med 1998;39:53 times protons and T2 decay; tumour chosen (choline doubled, NAA lost,
# lactate and lipid where tissue dies). What is around the brain is chosen.
TYPICAL = {
    "gm": Properties(1.45, 0.0015, 0.15, 0.030, 0.5, 4.2, 4.2, 1.4, 0.85e-3, 0.16, 0.40, 0.54, 1.08, 0.02, 0.02),
    "wm": Properties(0.90, 0.0010, 0.12, 0.013, 0.9, 2.0, 4.8, 1.4, 0.75e-3, 0.48, 0.50, 0.46, 1.00, 0.02, 0.02),
    "csf": Properties(4.00, adc=3.0e-3, fa=0.05),
    "bone": Properties(0.60),
    "marrow": Properties(0.45, 0.020, 0.15, 0.02, 2.0, 1.0, 6.0, 1.0, 0.4e-3, 0.1, lip=0.6),
    "fat": Properties(0.38, 0.008, 0.10, 0.010, 2.0, 0.6, 6.0, 1.0, 0.2e-3, 0.1, lip=1.5),
    "muscle": Properties(1.30, 0.060, 0.15, 0.025, 2.0, 1.5, 6.0, 1.0, 1.5e-3, 0.25, 0.2, 0.5),
    "artery": Properties(1.65, vp=0.58, cbv=100.0, mtt=0.0, adc=3.0e-3),
    "vein": Properties(1.60, vp=0.58, cbv=100.0, mtt=0.0, adc=3.0e-3),
    "cel": Properties(1.50, 0.075, 0.30, 0.055, 0.8, 8.0, 5.5, 1.2, 1.15e-3, 0.14, 0.95, 0.36, 0.25, 0.22, 0.25),
    "necrosis": Properties(2.60, 0.006, 0.45, 0.004, 1.5, 0.4, 8.0, 1.0, 2.2e-3, 0.08, 0.12, 0.07, 0.05, 0.50, 0.90),
    "oedema": Properties(1.65, 0.0020, 0.25, 0.011, 1.2, 1.5, 6.0, 1.2, 1.40e-3, 0.20, 0.40, 0.38, 0.70, 0.05, 0.03),
    "cavity": Properties(3.60, adc=2.8e-3, fa=0.05, lac=0.10),
    "dura": Properties(0.90, 0.030, 0.20, 0.050, 1.5, 3.0, 6.0, 1.0, 1.0e-3, 0.15),
}
BLOOD = ("artery", "vein")  # carry the arterial curve itself

# Relative SD between patients (log-normal; normal tissue half of it) and within a class (normal tissue .35 of it); both chosen. Within
# a class a parameter follows the texture fields (weights of vascular, leaky, cellular): ktrans and vp rise together, as in tumours; where
# cells are dense there is less room (ve, ADC), more choline and less NAA.
BETWEEN = {"t1": 0.04, "ktrans": 0.45, "ve": 0.20, "vp": 0.22, "delay": 0.25, "cbv": 0.25, "mtt": 0.12, "residue": 0.20}
BETWEEN |= {"adc": 0.06, "fa": 0.06, "cho": 0.15, "cre": 0.10, "naa": 0.12, "lac": 0.40, "lip": 0.50}
NORMAL_BETWEEN, NORMAL_WITHIN = 0.5, 0.35
WITHIN = {
    "t1": (0.03, (0.0, 0.0, -1.0)),
    "ktrans": (0.55, (0.6, 0.8, 0.0)),
    "ve": (0.28, (0.0, 0.0, -1.0)),
    "vp": (0.38, (1.0, 0.0, 0.0)),
    "cbv": (0.35, (1.0, 0.0, 0.0)),
    "mtt": (0.15, (0.0, 1.0, 0.0)),
    "adc": (0.12, (0.0, 0.0, -1.0)),
    "fa": (0.20, (0.0, -1.0, 0.0)),
    "cho": (0.25, (0.0, 0.0, 1.0)),
    "cre": (0.10, (0.0, 0.6, 0.8)),
    "naa": (0.15, (0.0, 0.0, -1.0)),
    "lac": (0.40, (-1.0, 0.0, 0.0)),
    "lip": (0.40, (-1.0, 0.0, 0.0)),
}
DELAY_WITHIN_S = 0.4  # well supplied tissue (vascular) is reached earlier
TUMOUR = ("cel", "necrosis")
LEAKY = ("cel", "necrosis", "oedema")  # where leaked agent is seen in DSC
# What tumour cells do to the tissue that they have invaded: relative change at density 1, linear below; chosen, so that infiltrated
# oedema lies between oedema and enhancing tumour.
INVADED = {
    "oedema": {"t1": -0.10, "ktrans": 1.5, "ve": 0.3, "vp": 1.5, "cbv": 2.0, "adc": -0.25, "fa": -0.5, "cho": 1.2, "cre": 0.1, "naa": -0.7},
    "wm": {"t1": 0.10, "ktrans": 1.0, "ve": 0.3, "vp": 1.0, "cbv": 1.2, "adc": 0.30, "fa": -0.6, "cho": 0.9, "cre": 0.0, "naa": -0.7},
    "gm": {"t1": 0.05, "ktrans": 1.0, "ve": 0.3, "vp": 0.5, "cbv": 0.5, "adc": 0.20, "fa": -0.3, "cho": 1.2, "cre": 0.0, "naa": -0.7},
}  # fmt: skip
LIMITS = {
    "t1": (0.2, 4.6),
    "ktrans": (0.0, 0.6),
    "ve": (0.02, 0.80),
    "vp": (0.0, 0.9),
    "mtt": (1.0, 25.0),
    "delay": (0.0, 5.0),
    "adc": (0.2e-3, 3.2e-3),
    "fa": (0.0, 0.95),
}


@dataclass(frozen=True)
class Physiology:
    """One patient's tissues: `means` by class (`CLASSES`) and parameter (`PARAMETERS`)."""

    means: dict[str, dict[str, float]]

    def values(
        self, name: str, fields: Mapping[str, np.ndarray], effects: Effects, names: tuple[str, ...] = PARAMETERS
    ) -> dict[str, np.ndarray]:
        """Parameters of one tissue where its fields are given.

        Parameters
        ----------
        fields
            Arrays of one shape: ``vascular``, ``leaky``, ``cellular`` (texture, unit variance), ``density`` (tumour cells, 0-1), ``purity``
            (share of white matter around, 0-1) and ``log_<parameter>`` (natural logarithm added); a missing one has no effect.
        effects
            Without ``texture`` the three texture fields have no effect; without ``delay`` all delays are 0.
        names
            The parameters wanted.

        Returns
        -------
        dict
            By parameter, float32 of the fields' shape.
        """
        mean = self.means[name]
        shape = next(iter(fields.values())).shape
        width = 0.0 if name in BLOOD else 1.0 if name in TUMOUR else NORMAL_WITHIN
        varied = np.float32(width * effects.texture)
        result = {}
        for key in names:
            exponent: np.float32 | np.ndarray = np.float32(0)
            spread, weights = WITHIN.get(key, (0.0, ()))
            if varied:
                for weight, field in zip(weights, ("vascular", "leaky", "cellular")):
                    if weight and field in fields:
                        exponent = exponent + np.float32(varied * spread * weight) * fields[field]
            if name in BRAIN and f"log_{key}" in fields:
                exponent = exponent + fields[f"log_{key}"]
            value = np.float32(mean[key]) * np.exp(exponent)
            if "density" in fields and key in INVADED.get(name, ()):
                value = value * (1 + np.float32(INVADED[name][key]) * fields["density"])
            if key == "delay":
                late = DELAY_WITHIN_S * fields["vascular"] if varied and "vascular" in fields else 0.0
                value = (value - late) * effects.delay
            if key == "fa" and name == "wm" and "purity" in fields:
                value = value * (np.float32(0.5) + np.float32(0.5) * fields["purity"])
            if key == "residue":
                value = nearest_shape(value)
            if key in LIMITS and name not in BLOOD:
                value = np.clip(value, *LIMITS[key])
            result[key] = np.broadcast_to(np.asarray(value, np.float32), shape)
        return result


def nearest_shape(shape: np.ndarray | float) -> np.ndarray:
    """Shapes of transit time distributions rounded to quarter octaves, since a response is tabulated for each; at least 1/4."""
    return 2.0 ** (np.clip(np.round(4 * np.log2(shape)), -8, 16) / 4)


def draw_physiology(rng: np.random.Generator, *scales: Mapping[str, Mapping[str, float]]) -> Physiology:
    """Draw a patient's class means around `TYPICAL`, log-normal with the SDs of `BETWEEN`.

    Within a patient vp and cbv of a class rise together (correlation .8), and mtt of all classes (cardiac output, .8).

    Parameters
    ----------
    scales
        By class and parameter, what a mean is multiplied with, e.g. ``{"cel": {"ktrans": 0.6}}``.
    """
    own = rng.standard_normal((len(TYPICAL), len(PARAMETERS)))
    flow = rng.standard_normal()
    at = {key: i for i, key in enumerate(PARAMETERS)}
    own[:, at["vp"]] = 0.8 * own[:, at["cbv"]] + 0.6 * own[:, at["vp"]]
    own[:, at["mtt"]] = 0.8 * flow + 0.6 * own[:, at["mtt"]]
    means = {}
    for z, (name, typical) in zip(own, TYPICAL.items()):
        width = 0.0 if name in BLOOD else 1.0 if name in (*TUMOUR, "oedema") else NORMAL_BETWEEN
        means[name] = {
            key: float(
                value
                * np.exp(width * BETWEEN[key] * z[at[key]])
                * prod(scale.get(name, {}).get(key, 1.0) for scale in scales)
            )
            for key, value in asdict(typical).items()
        }
    return Physiology(means)


def textures(grid: Grid, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The fields that properties within a tissue follow, ``vascular leaky cellular``: each coarse (10 mm) and fine (4 mm)."""
    names = ("vascular", "leaky", "cellular")
    return {n: 0.75 * random_field(grid, rng, 10.0) + 0.6 * random_field(grid, rng, 4.0) for n in names}


def purity(fractions: Mapping[str, np.ndarray], spacing_mm: tuple[float, ...]) -> np.ndarray:
    """Share of white matter (swollen or not) within some 3 mm: anisotropy is that of bundles, and low where gyri's thin ones cross."""
    white = fractions["wm"] + fractions["oedema"]
    box = ndimage.find_objects((white > 0).astype(np.uint8))[0] if white.any() else ...
    result = np.zeros_like(white)
    result[box] = ndimage.gaussian_filter(white[box], [3.0 / s for s in spacing_mm[::-1]], mode="constant")
    return result


def main_tissue(fractions: Mapping[str, np.ndarray], least: float = 0.2) -> np.ndarray:
    """Each voxel's main tissue: 1 + index in `CLASSES`; 0 where none takes more than `least`."""
    main = np.zeros(fractions["gm"].shape, np.uint8)
    most = np.full(main.shape, least, np.float32)
    for i, name in enumerate(CLASSES):
        more = fractions[name] > most
        main[more] = i + 1
        most[more] = fractions[name][more]
    return main


def maps_of(
    main: np.ndarray,
    fields: Mapping[str, np.ndarray],
    physiology: Physiology,
    effects: Effects,
    names: tuple[str, ...],
) -> dict[str, np.ndarray]:
    """Parameter maps in which each voxel has the values of its main tissue; 0 in air."""
    maps = {name: np.zeros(main.size, np.float32) for name in names}
    flat = {k: v.ravel() for k, v in fields.items()}
    for i, name in enumerate(CLASSES):
        inside = np.flatnonzero(main == i + 1)
        if not inside.size:
            continue
        values = physiology.values(name, {k: v[inside] for k, v in flat.items()}, effects, names)
        for key in names:
            maps[key][inside] = values[key]
    return {name: values.reshape(main.shape) for name, values in maps.items()}


def flow(cbv: np.ndarray, mtt: np.ndarray) -> np.ndarray:
    """CBF in ml/100ml/min from CBV (ml/100ml) and MTT (s); 0 where there is no transit time (air, vessels)."""
    return np.divide(60 * cbv, mtt, out=np.zeros_like(mtt), where=mtt > 0)


def leakage_rate(values: Mapping[str, np.ndarray], b1: np.ndarray, dsc: Dsc) -> np.ndarray:
    """What leaking contrast agent does to the apparent ΔR2* of a DSC scan, in 1/s per second and mM in plasma (1/(mM s2)).

    ``ktrans / 60 * (outside_r2star - RELAXIVITY / TE * d ln S / d R1)``, with the spoiled gradient echo's S: agent outside vessels makes
    T2* shorter (the apparent ΔR2* rises) and T1 shorter (the signal rises, and the apparent ΔR2* falls). Exact for small concentrations and
    before agent returns. Its sign is opposite to that of K2 in leakage corrections. After a preload, T1 is as the first dose has left
    it: that of the population's curve at the second injection.

    Parameters
    ----------
    values
        ``t1 ktrans ve`` (n,).
    b1
        Actual over nominal flip angle (n,), or a number.
    """
    rate = 1 / values["t1"]
    if dsc.preload:
        fine = np.arange(0.0, dsc.preload_wait_s + dsc.arrival_s, 1.0)
        plasma = parker_aif(fine, dsc.arrival_s) / (1 - HEMATOCRIT)
        kep = np.geomspace(1e-4, 30.0, 120)
        held = convolve(fine, plasma, kep)[:, -1]
        back = np.interp(np.log(np.clip(values["ktrans"] / values["ve"], 1e-4, 30.0)), np.log(kep), held)
        rate = rate + RELAXIVITY * values["ktrans"] * back
    cosine, decay = np.cos(np.deg2rad(dsc.flip_angle_deg * b1)), np.exp(-dsc.tr_s * rate)
    slope = dsc.tr_s * decay * (1 / (1 - decay) - cosine / (1 - cosine * decay))
    return (values["ktrans"] / 60 * (dsc.outside_r2star - RELAXIVITY / dsc.te_s * slope)).astype(np.float32)


def truth_maps(
    grid: Grid,
    brain: np.ndarray,
    fractions: Mapping[str, np.ndarray],
    fields: Mapping[str, np.ndarray],
    physiology: Physiology,
    effects: Effects,
    dsc: Dsc,
) -> dict[str, np.ndarray]:
    """Truth (z, y, x) by name on the head's grid: each voxel of the brain has the values of its main tissue, 0 lies outside.

    Returns
    -------
    dict
        ``ktrans ve vp delay cbv cbf mtt residue adc fa cho cre naa lac lip`` as `Properties` says; ``leakage`` (`leakage_rate`, in the
        lesion); ``cni ccri crni`` against normal grey and white matter (`indices.metabolite_index`); in the whole head ``t10`` (s),
        ``b1`` (actual over nominal flip angle, 1 without that effect) and ``tissue`` (uint8: 1 + index in `CLASSES`).
    """
    main = main_tissue(fractions)
    fields = {**fields, "purity": purity(fractions, grid.spacing)}
    names = tuple(n for n in PARAMETERS if n != "t1")
    within = main * brain
    maps = maps_of(within, fields, physiology, effects, names)
    maps["cbf"] = flow(maps["cbv"], maps["mtt"])
    maps["t10"] = maps_of(main, fields, physiology, effects, ("t1",))["t1"]
    b1 = fields["b1"] if effects.b1 and "b1" in fields else np.ones(grid.shape, np.float32)
    leaky = np.isin(within, [CLASSES.index(n) + 1 for n in LEAKY])
    maps["leakage"] = np.zeros(grid.shape, np.float32)
    here = {"t1": maps["t10"][leaky], "ktrans": maps["ktrans"][leaky], "ve": maps["ve"][leaky]}
    maps["leakage"][leaky] = leakage_rate(here, b1[leaky], dsc)
    normal = np.isin(within, [CLASSES.index(n) + 1 for n in ("gm", "wm")])
    if "density" in fields:
        normal &= fields["density"] < 0.01
    some = np.flatnonzero(normal)
    some = some[:: some.size // 20000 + 1]  # enough to find a line
    normal = np.zeros(normal.size, bool)
    normal[some] = True
    found = indices({m: maps[m] for m in METABOLITES}, normal.reshape(main.shape), sure=True)
    maps |= {name: np.nan_to_num(values) for name, values in found.items()}
    return maps | {"tissue": main, "b1": b1}
