"""Write ``gliosuite/resources/anatomy.npz`` from the MNI152 template in nilearn's wheel (``make anatomy``).

T1, grey matter, white matter and brain mask of the ICBM152 2009a nonlinear symmetric template, 1 mm, uint8, with the geometry that
places them (LPS). The file is committed, so nilearn is needed only to make it again; the bytes are the same every time.
"""

import importlib.util
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "GlioCore"))

from gliosuite import files, images  # noqa: E402

TARGET = ROOT / "GlioCore" / "gliosuite" / "resources" / "anatomy.npz"


def source(tissue: str) -> Path:
    """The file of the T1 or of a tissue's probability in nilearn's package."""
    spec = importlib.util.find_spec("nilearn")
    if spec is None or spec.origin is None:
        sys.exit("error: nilearn is needed to make anatomy.npz again and is not installed; pip install nilearn")
    folder = Path(spec.origin).parent / "datasets" / "data"
    return folder / f"mni_icbm152_{tissue}_tal_nlin_sym_09a_converted.nii.gz"


def brain_mask(t1: sitk.Image) -> sitk.Image:
    """The template is skull-stripped, so what is not 0 is brain; small gaps are closed and holes filled."""
    inside = sitk.BinaryMorphologicalClosing(sitk.Cast(t1 > 0, sitk.sitkUInt8), (2, 2, 2), sitk.sitkBall)
    largest = sitk.RelabelComponent(sitk.ConnectedComponent(inside)) == 1
    return sitk.BinaryFillhole(largest, fullyConnected=False)


def main() -> None:
    """Read, check and write."""
    t1 = images.read_image(source("t1"))
    grid = images.Grid.of(t1)
    arrays = {"t1": images.array(t1, np.uint8)}
    for tissue in ("gm", "wm"):
        image = images.read_image(source(tissue))
        if not images.Grid.of(image).matches(grid):
            sys.exit(f"error: {source(tissue).name} is not on the grid of the T1")
        arrays[tissue] = images.array(image, np.uint8)
    arrays["brain"] = images.array(brain_mask(t1), np.uint8)
    arrays["spacing"] = np.asarray(grid.spacing)
    arrays["origin"] = np.asarray(grid.origin)
    arrays["direction"] = np.asarray(grid.direction)

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(values), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))  # no date: same bytes every time
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue(), compresslevel=9)
    files.write_bytes(TARGET, buffer.getvalue())
    print(
        f"{TARGET.relative_to(ROOT)}: {len(buffer.getvalue()) / 1e6:.2f} MB, brain {arrays['brain'].sum() / 1e3:.0f} cc"
    )


if __name__ == "__main__":
    main()
