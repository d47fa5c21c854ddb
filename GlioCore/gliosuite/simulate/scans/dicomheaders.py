"""What a scanner would write about each scan of a simulated patient: DICOM attributes by role.

Sequence parameters that the simulation uses (TR, TE, TI, flip angle) come from the case; those here name the kind of sequence. All names
are GlioSuite's own: no vendor's are imitated.
"""

from collections.abc import Mapping
from typing import Any

_MPRAGE = {
    "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"],
    "ScanningSequence": ["GR", "IR"],
    "SequenceVariant": ["SP", "MP"],
    "SequenceName": "mprage3d",
    "MRAcquisitionType": "3D",
    "EchoTrainLength": "1",
}
_SPIN = {
    "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"],
    "ScanningSequence": "SE",
    "SequenceVariant": "SK",
    "SequenceName": "tse2d",
    "MRAcquisitionType": "2D",
    "EchoTrainLength": "16",
}
_SPOILED = _MPRAGE | {"ScanningSequence": "GR", "SequenceVariant": "SP", "SequenceName": "spgr3d"}
_ECHO_PLANAR = _SPIN | {"ScanningSequence": ["EP", "GR"], "SequenceName": "epi2d", "EchoTrainLength": ""}
_DIFFUSION = _ECHO_PLANAR | {"ScanningSequence": ["EP", "SE"], "SequenceName": "epidiff2d"}
# Gadobutrol: 1 mmol of 604.72 mg in each ml (Gadavist, prescribing information), as the relaxivity of `dynamic` has it.
_CONTRAST = {
    "ContrastBolusAgent": "Gadobutrol",
    "ContrastBolusRoute": "IV",
    "ContrastBolusIngredient": "GADOLINIUM",
    "ContrastBolusIngredientConcentration": "604.72",
}


def _map(kinds: list[str], description: str, sequence: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a map computed from other images."""
    more = {"ImageType": ["DERIVED", "PRIMARY", *kinds], "DerivationDescription": f"{description}, simulated"}
    return {**sequence, **more, "SeriesDescription": description}


def _metabolite(name: str, description: str) -> dict[str, Any]:
    sequence = _SPIN | {
        "ScanningSequence": "RM",
        "SequenceVariant": "NONE",
        "SequenceName": "mrsi",
        "EchoTrainLength": "",
    }
    return _map(["OTHER", "METABOLITE_MAP", name], f"MRSI {description}", sequence)


# By role, in the order of the examination: all that needs no contrast agent, then the two injections with the T1c between them.
SERIES: dict[str, dict[str, Any]] = {
    "t1": _MPRAGE | {"SeriesDescription": "T1 MPRAGE pre"},
    "flair": _SPIN | {"ScanningSequence": ["SE", "IR"], "SequenceName": "tir2d", "SeriesDescription": "T2 FLAIR axial"},
    "t2": _SPIN | {"SeriesDescription": "T2 TSE axial"},
    "adc": _map(["DIFFUSION MAP", "ADC"], "ADC map", _DIFFUSION),
    "fa": _map(["DIFFUSION MAP", "FA"], "FA map", _DIFFUSION),
    "cho": _metabolite("CHO", "choline"),
    "cre": _metabolite("CRE", "creatine"),
    "naa": _metabolite("NAA", "N-acetylaspartate"),
    "lac": _metabolite("LAC", "lactate"),
    "lip": _metabolite("LIP", "lipids"),
    "cni": _metabolite("CNI", "choline to NAA index"),
    "ccri": _metabolite("CCRI", "choline to creatine index"),
    "crni": _metabolite("CRNI", "creatine to NAA index"),
    "b1": _map(["OTHER", "B1"], "B1 map", _SPOILED),
    "vfa": _SPOILED | {"SeriesDescription": "T1 mapping VFA"},
    "dce": _SPOILED | _CONTRAST | {"SeriesDescription": "DCE T1 SPGR dynamic"},
    "t1c": _MPRAGE | _CONTRAST | {"SeriesDescription": "T1 MPRAGE post contrast"},
    "dsc": _ECHO_PLANAR | _CONTRAST | {"SeriesDescription": "DSC GRE-EPI perfusion"},
}
# Units of the maps in UCUM: code and meaning.
UNITS = {"adc": ("mm2/s", "square millimeter per second")}
NO_UNITS = ("1", "no units")


def sequence_attributes(role: str, acquisition: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of one series: what its role says, and the numbers of its acquisition (``tr_ms te_ms ti_ms flip_angle_deg``)."""
    found = dict(SERIES[role])
    found["ProtocolName"] = found["SeriesDescription"]
    for key, keyword in (("tr_ms", "RepetitionTime"), ("te_ms", "EchoTime"), ("flip_angle_deg", "FlipAngle")):
        value = acquisition.get(key)
        found[keyword] = "" if value is None else decimal(value)
    if "IR" in found["ScanningSequence"]:
        found["InversionTime"] = decimal(acquisition["ti_ms"])
    return found


def decimal(value: float) -> str:
    """A number as a decimal string of DICOM (at most 16 characters), without minus zero."""
    return f"{float(value) + 0.0:.10g}"
