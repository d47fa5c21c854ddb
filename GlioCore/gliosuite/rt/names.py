"""Names by which planning systems know structures (TG-263, Mayo 2018): at most 16 characters, no spaces, side behind an underscore."""

# Mask role -> name of the organ at risk; roles with a side end in _l or _r.
_ORGANS = {
    "brainstem": "Brainstem",
    "chiasm": "OpticChiasm",
    "optic_nerve": "OpticNrv",
    "eye": "Eye",
    "lens": "Lens",
    "retina": "Retina",
    "cochlea": "Cochlea",
    "hippocampus": "Hippocampus",
    "pituitary": "Pituitary",
    "lacrimal_gland": "Glnd_Lacrimal",
    "spinal_cord": "SpinalCord",
    "thalamus": "Thalamus",
}
CLINICAL = "CTV_Clinical"


def structure_name(role: str) -> tuple[str, str] | None:
    """Name and interpreted type of a case's own mask; None for a role that is no structure of a plan.

    ``brainstem`` gives ``("Brainstem", "ORGAN")``, ``eye_l`` ``("Eye_L", "ORGAN")``, ``ctv`` the clinician's own
    ``("CTV_Clinical", "CTV")``.
    """
    if role == "ctv":
        return CLINICAL, "CTV"
    stem, side = (role[:-2], role[-2:].upper()) if role[-2:] in ("_l", "_r") else (role, "")
    return (_ORGANS[stem] + side, "ORGAN") if stem in _ORGANS else None
