"""ADC and FA maps, and indices of metabolite maps: ``dti``, ``metabolites``."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..diffusion.settings import DtiSettings
from ..errors import InputError
from ..roles import IMAGES
from ..settings import add_options
from ..steps import Progress, part
from .series import format_option, mask_of, read

if TYPE_CHECKING:
    from ..diffusion import Gradients

_PEAKS = ("cho", "cre", "naa")


def register(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``dti`` and ``metabolites``."""
    p = add(
        "dti",
        "ADC and FA maps from a diffusion-weighted series",
        description="Fit the diffusion tensor: ADC (a third of its trace) and FA. Of fewer than 6 independent directions, ADC alone, where "
        "it can be told. Movement and distortions are not corrected.",
    )
    p.add_argument("series", metavar="SERIES", help="4-D image (NIfTI, NRRD, MHA) or a DICOM folder")
    p.add_argument(
        "--bval",
        metavar="F",
        help="text file with a b-value in s/mm2 per volume (default: the .bval beside the image, or as the DICOM files say)",
    )
    p.add_argument(
        "--bvec",
        metavar="F",
        help="text file with the gradient directions, three rows or a row per volume (default: the .bvec beside the image, or as the DICOM "
        "files say)",
    )
    add_options(p, DtiSettings, "fit", "b_max")
    p.add_argument(
        "--mask",
        metavar="M|brain",
        help="voxels to fit, on any grid; brain: the brain, found on the series' mean (default: the head, found automatically)",
    )
    format_option(p)
    p.add_argument("--out", required=True, metavar="DIR", help="folder for adc (mm2/s), fa, mask, fit.json")
    p.set_defaults(run=_dti)
    p = add(
        "metabolites",
        "CNI, CCrI and CrNI from metabolite maps of one spectroscopic measurement",
        description="Indices that compare two metabolites with what normal tissue has of them (McKnight 2001): SDs from the line that both "
        "follow there. Voxels outside the box of the measurement are NaN.",
    )
    for role in _PEAKS:
        p.add_argument(f"--{role}", metavar="IMAGE", help=f"{IMAGES[role]}, peak heights on one grid (default none)")
    p.add_argument(
        "--brain", metavar="M", help="brain mask on any grid, within which normal tissue is sought (default: the box)"
    )
    p.add_argument(
        "--lesion", metavar="M", help="mask of the lesion on any grid, in which it is not sought (default none)"
    )
    p.add_argument(
        "--out", required=True, metavar="DIR", help="folder for cni, ccri, crni, mask (the box), metabolites.json"
    )
    p.set_defaults(run=_metabolites)


def _dti(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..diffusion import dti_maps, write

    series, known = read(args.series)
    settings = DtiSettings(args.fit, args.b_max)
    gradients = _gradients(args, known)
    gradients.check_count(series)
    made = dti_maps(series, gradients, settings, mask_of(args.mask, series), part(progress, 0.0, 0.9))
    return {"out": args.out, **_short(write(made, args.out, args.format)), "losses": made.losses}


def _gradients(args: argparse.Namespace, known: dict[str, Any]) -> "Gradients":
    """b-values and directions as given, as the DICOM files say, or as they lie beside the image."""
    from pathlib import Path

    from ..diffusion import Gradients, gradients_beside, read_gradients

    name = Path(args.series).name
    if args.bvec and not args.bval:
        raise InputError("--bvec gives directions and no b-values; --bval is needed too")
    if args.bval:
        return read_gradients(args.bval, args.bvec, name)
    if "b_values" in known:
        return Gradients.of(known["b_values"], known.get("b_vectors"), name)
    if Path(args.series).is_dir():
        raise InputError(f"{args.series}: its DICOM files give no b-values; --bval and --bvec are needed")
    return gradients_beside(args.series)


def _short(record: dict[str, Any]) -> dict[str, Any]:
    """What is worth a line on a terminal: without numbers per volume."""
    return {k: v for k, v in record.items() if k not in ("signal", "b_values", "volumes_used")}


def _metabolites(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    from ..errors import InputError
    from ..files import staged, write_json
    from ..images import Grid, boolean, read_image, read_mask, write_image
    from ..metabolites import INDICES, metabolite_maps

    images = {role: read_image(path) for role in _PEAKS if (path := getattr(args, role))}
    if len(images) < 2:
        raise InputError("an index compares two metabolites; two at least of --cho --cre --naa are needed")
    grid = Grid.of(next(iter(images.values())))
    brain, lesion = (read_mask(path, grid) if path else None for path in (args.brain, args.lesion))
    found = metabolite_maps(images, brain, lesion)
    record = {
        "step": "metabolites",
        "box_voxels": int(boolean(found.box).sum()),
        "normal_voxels": found.normal_voxels,
        "notes": found.notes,
    }
    if not found.made:
        raise InputError(f"no index could be computed: {'; '.join(found.notes)}")
    with staged(args.out) as folder:
        for name in found.made:
            write_image(found.maps[name], folder / f"{name}.nii.gz", f"{name} [SD of normal tissue]")
        write_image(found.box, folder / "mask.nii.gz", "mask [0 or 1]")
        write_json(folder / "metabolites.json", record)
    lost = [f"{n} was not computed" for n, pair in INDICES.items() if set(pair) <= set(images) and n not in found.made]
    return {"out": args.out, **record, "losses": lost}
