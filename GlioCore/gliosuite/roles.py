"""The roles that images and masks of a case have, and what each is. Loads nothing: the command line is built from it."""

IMAGES = {
    "t1": "T1 without contrast",
    "t1c": "T1 with contrast",
    "t2": "T2",
    "flair": "FLAIR",
    "dti": "diffusion series, 4-D",
    "adc": "ADC map",
    "fa": "FA map",
    "cho": "choline map",
    "cre": "creatine map",
    "naa": "NAA map",
    "lac": "lactate map",
    "lip": "lipid map",
    "cni": "choline to NAA index",
    "ccri": "choline to creatine index",
    "crni": "creatine to NAA index",
    "dce": "DCE series, 4-D",
    "dsc": "DSC series, 4-D",
    "vfa": "variable flip angle series, 4-D",
    "ct": "CT",
    "dose": "dose",
}
SERIES = ("dti", "dce", "dsc", "vfa")  # those that are 4-D
MASKS = {
    "brain": "brain",
    "cel": "enhancing lesion",
    "t2l": "T2 lesion (whole: with enhancing lesion and necrosis)",
    "nel": "non-enhancing lesion",
    "necrosis": "necrosis",
    "cavity": "resection cavity",
    "ventricles": "ventricles",
    "progression_cel": "enhancing lesion at progression, on this visit's images",
    "progression_t2l": "T2 lesion at progression, on this visit's images",
}
# Images that only some steps ask for; free roles like all others.
MORE_IMAGES = {"b1": "map of actual over nominal flip angle", "probability": "recurrence probability, 0-1"}
