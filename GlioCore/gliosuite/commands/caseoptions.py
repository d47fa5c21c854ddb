"""A case made of options: images and masks by role, how series were taken, DICOM folders. For ``case``, and for ``run`` without one."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..roles import IMAGES, MASKS, MORE_IMAGES
from .masks import MASK, in_structure_set

if TYPE_CHECKING:
    from ..case import Case

# How a series was taken: option, key of case.json, metavar, help; --times and --dt make times_s.
_TAKEN = (
    ("tr-ms", "tr_ms", "MS", "repetition time in ms"),
    ("te-ms", "te_ms", "MS", "echo time in ms"),
    ("flip-angle", "flip_angle_deg", "DEG", "flip angle in degrees, of vfa one per volume: 2,5,10"),
    ("times", "times_s", "FILE", "text file with one time in s per frame, or a CSV with a column time_s"),
    ("dt", "times_s", "S", "frame interval in s, in place of the times"),
)
_ASKED = {"dce": _TAKEN, "dsc": _TAKEN, "vfa": (_TAKEN[0], _TAKEN[2])}  # the series that say how they were taken
_ROLES = IMAGES | MORE_IMAGES
# Of DCE, once; key of case.json.
_CONTRAST = (
    ("t10", "t10_s", "S", "T1 before contrast in s (default from --vfa, else 1)"),
    ("hematocrit", "hematocrit", "H", "haematocrit (default 0.42)"),
    ("relaxivity", "relaxivity", "R1", "relaxivity in 1/(mM s) (default 4.5)"),
)
# Of a diffusion series; key of case.json.
_GRADIENTS = (
    ("dti-bval", "b_values", "text file with a b-value in s/mm2 per volume (default: the .bval beside the series)"),
    (
        "dti-bvec",
        "b_vectors",
        "text file with the gradient directions, as FSL has them (default: the .bvec beside the series)",
    ),
)


def add_case_options(p: argparse.ArgumentParser) -> None:
    """Add images, masks, acquisition and DICOM folders by role."""
    group = p.add_argument_group("images and masks by role")
    for role, text in _ROLES.items():
        group.add_argument(f"--{role}", metavar="IMAGE", help=f"{text} (default none)")
    for role, text in MASKS.items():
        group.add_argument(f"--{role.replace('_', '-')}", metavar="MASK", help=f"{text}: {MASK} (default none)")
    group.add_argument(
        "--dicom",
        action="append",
        default=[],
        metavar="ROLE=DIR",
        help="DICOM folder that a role's image came from, for the structure set and RS.dcm:ROI masks; may be repeated (default none)",
    )
    group.add_argument("--id", dest="case_id", metavar="NAME", help="name of the case (default that of the folder)")
    group = p.add_argument_group(
        "how series were taken", "Without dce-, dsc- or vfa- an option is that of the one series that is given."
    )
    for flag, key, metavar, text in _TAKEN:
        group.add_argument(f"--{flag}", metavar=metavar, type=_kind(key, flag), help=f"{text} (default not known)")
    for kind, asked in _ASKED.items():
        for flag, key, metavar, text in asked:
            group.add_argument(f"--{kind}-{flag}", metavar=metavar, type=_kind(key, flag), help=f"{kind}: {text}")
    for flag, _, metavar, text in _CONTRAST:
        group.add_argument(f"--{flag}", metavar=metavar, type=float, help=f"dce: {text}")
    for flag, _, text in _GRADIENTS:
        group.add_argument(f"--{flag}", metavar="FILE", help=f"dti: {text}")


def _kind(key: str, flag: str) -> Any:
    return _angles if key == "flip_angle_deg" else str if flag == "times" else float


def _angles(text: str) -> float | list[float]:
    try:
        angles = [float(v) for v in text.split(",") if v.strip()]
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a flip angle such as 10, or a list such as 2,5,10"
        ) from error
    if not angles:
        raise argparse.ArgumentTypeError(f"{text!r} is not a flip angle such as 10, or a list such as 2,5,10")
    return angles[0] if len(angles) == 1 else angles


def images_given(args: argparse.Namespace) -> dict[str, str]:
    """The images of the options by role."""
    return {role: path for role in _ROLES if (path := getattr(args, role))}


def case_of_options(args: argparse.Namespace, name: str, source: str) -> tuple["Case", list[str]]:
    """The case that the options make, its paths relative to here, and a sentence for each series of which something needed is not known.

    Parameters
    ----------
    name
        Of the case where ``--id`` does not say it.
    source
        How messages call what would be its case.json.

    Raises
    ------
    InputError
        If the options do not make a case; the sentence names them.
    """
    from ..case import Case

    images = images_given(args)
    if not images:
        raise InputError(f"no image is given; at least one of {' '.join(f'--{r}' for r in IMAGES)} is needed")
    for role, path in images.items():
        if Path(path).is_dir():
            raise InputError(
                f"--{role} {path} is a folder; an image file is needed (gliosuite import {path} --out CASE makes a case of DICOM files)"
            )
    taken = {role: _taken(args, role, path) for role, path in images.items() if role in _ASKED}
    if "dce" in images:
        contrast = {key: getattr(args, flag) for flag, key, *_ in _CONTRAST if getattr(args, flag) is not None}
        taken["dce"] |= contrast
    _require_used(args, images)
    gradients = {"dti": _gradients(args, images["dti"])} if "dti" in images else {}
    data = {
        "id": args.case_id or name,
        "images": {role: {"path": path} | (taken | gradients).get(role, {}) for role, path in images.items()},
        "masks": {role: _mask(path) for role in MASKS if (path := getattr(args, role))},
        "dicom": dict(map(_folder, args.dicom)),
    }
    unknown = [r for r in data["dicom"] if r not in images]
    if unknown:
        raise InputError(f"--dicom {unknown[0]}=... is of an image that is not given; --{unknown[0]} is needed too")
    case = Case(Path(), data, source)
    case.check()
    unknown = [s for role in taken if (s := _unknown(role, images[role], taken))]
    if gradients == {"dti": {}} and case.beside("dti", ".bval") is None:
        unknown.append(f"--dti {images['dti']} has no .bval file beside it; --dti-bval is needed")
    return case, unknown


def _taken(args: argparse.Namespace, role: str, path: str) -> dict[str, Any]:
    """How a series was taken, by its own options or by those without a prefix where it is the only series."""
    from .series import frame_times

    alone = sum(bool(getattr(args, r)) for r in _ASKED) == 1
    value = lambda flag: _value(args, f"{role}-{flag}", flag if alone else "")
    asked = [flag for flag, *_ in _ASKED[role]]
    found = {key: v for flag, key, *_ in _ASKED[role] if key != "times_s" and (v := value(flag)) is not None}
    if role == "vfa" and isinstance(found.get("flip_angle_deg"), float):
        raise InputError(f"--vfa has one flip angle ({found['flip_angle_deg']:g}); one per volume is needed: 2,5,10")
    if role != "vfa" and isinstance(found.get("flip_angle_deg"), list):
        raise InputError(f"--{role} has several flip angles; one is needed")
    if "times" in asked and (value("times") or value("dt") is not None):
        found["times_s"] = frame_times(path, value("times"), value("dt"))
    return found


def _gradients(args: argparse.Namespace, path: str) -> dict[str, Any]:
    """b-values and directions of the options."""
    from ..diffusion import read_gradients

    if args.dti_bvec and not args.dti_bval:
        raise InputError("--dti-bvec gives directions and no b-values; --dti-bval is needed too")
    if not args.dti_bval:
        return {}
    found = read_gradients(args.dti_bval, args.dti_bvec, Path(path).name)
    vectors = {"b_vectors": found.directions.tolist()} if args.dti_bvec else {}
    return {"b_values": found.b.tolist()} | vectors


def _value(args: argparse.Namespace, *flags: str) -> Any:
    values = [getattr(args, f.replace("-", "_")) for f in flags if f]
    return next((v for v in values if v is not None), None)


def _require_used(args: argparse.Namespace, images: dict[str, str]) -> None:
    """Refuse options that no image takes, and those that more than one could."""
    series = [r for r in _ASKED if r in images]
    for flag, *_ in _TAKEN:
        if _value(args, flag) is None:
            continue
        takers = [r for r in series if any(flag == f for f, *_ in _ASKED[r])]
        if len(series) != 1 or not takers:
            names = " or ".join(f"--{r}-{flag}" for r in takers)
            raise InputError(
                f"--{flag} could be that of {' and of '.join(takers)}; {names} is needed"
                if takers
                else f"--{flag} belongs to a series ({', '.join(f'--{r}' for r in _ASKED)}), and none that takes it is given"
            )
    for role, asked in _ASKED.items():
        given = [f"--{role}-{flag}" for flag, *_ in asked if _value(args, f"{role}-{flag}") is not None]
        if role not in images and given:
            raise InputError(f"{given[0]} belongs to --{role}, which is not given")
    given = [f"--{flag}" for flag, *_ in _CONTRAST if _value(args, flag) is not None]
    if "dce" not in images and given:
        raise InputError(f"{given[0]} belongs to --dce, which is not given")
    given = [f"--{flag}" for flag, *_ in _GRADIENTS if _value(args, flag) is not None]
    if "dti" not in images and given:
        raise InputError(f"{given[0]} belongs to --dti, which is not given")


def _unknown(role: str, path: str, taken: dict[str, dict[str, Any]]) -> str:
    """A sentence on what is needed of a series and not known."""
    from ..pipeline.context import ACQUISITION_NEEDS

    prefix = "" if len(taken) == 1 else f"{role}-"
    flags = {key: f"--{prefix}{flag}" for flag, key, *_ in reversed(_TAKEN)} | {
        "times_s": f"--{prefix}times or --{prefix}dt"
    }
    missing = [flags[key] for key in ACQUISITION_NEEDS[role] if taken[role].get(key) is None]
    are = "is" if len(missing) == 1 and " or " not in missing[0] else "are"
    return f"--{role} {path} does not say how it was taken; {' and '.join(missing)} {are} needed" if missing else ""


def _mask(text: str) -> str | dict[str, Any]:
    from ..images import chosen

    inside = in_structure_set(text)
    if inside is not None:
        return {"path": inside[0], "roi": inside[1]}
    path, labels = chosen(text)
    return path if labels is None else {"path": path, "labels": labels}


def _folder(text: str) -> tuple[str, str]:
    role, equals, folder = text.partition("=")
    if not (role and equals and folder):
        raise InputError(f"--dicom {text} is not of the form ROLE=DIR, e.g. t1c=dicom/t1c")
    return role, folder
