"""What `gliosuite run` left in a folder, read back: images, masks and maps on the common grid."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import read_json
from ..images import read_image

# What a DCE or DSC map is shown over and listed by, in this order.
DCE_MAPS = ("ktrans", "ve", "vp")
VE_SD_DRAWN = 0.1
DSC_MAPS = ("cbv", "ncbv", "cbf", "ncbf", "mtt", "tmax")
BACKGROUNDS = {"t1c": "T1c", "flair": "FLAIR", "t1": "T1", "t2": "T2"}


@dataclass
class Results:
    """What a results folder holds, read once.

    Attributes
    ----------
    folder
        The results folder (of ``gliosuite run``).
    run
        The content of ``run.json``.
    masks, maps
        Boolean and float arrays (z, y, x) on the T1c grid in LPS orientation, by name.
    images
        Registered images likewise.
    spacing
        Voxel size (x, y, z) in mm.
    """

    folder: Path
    run: dict[str, Any]
    images: dict[str, np.ndarray] = field(default_factory=dict)
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    ctvs: dict[str, np.ndarray] = field(default_factory=dict)
    barriers: dict[str, np.ndarray] = field(default_factory=dict)
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def step(self, name: str) -> dict[str, Any]:
        """The record of a step in ``run.json``; empty where it is absent."""
        return next((s for s in self.run.get("steps", []) if s["step"] == name), {})


def load_results(folder: str | Path) -> Results:
    """Read what `gliosuite run` left in a folder.

    Raises
    ------
    InputError
        If the folder holds no ``run.json``.
    """
    from .pictures import canonical

    folder = Path(folder)
    if not (folder / "run.json").exists():
        raise InputError(f"{folder} holds no run.json; the results folder of gliosuite run or gliosuite demo is needed")
    results = Results(folder, read_json(folder / "run.json"))
    reference = results.run.get("reference")
    if not reference or not (folder / "registered" / f"{reference}.nii.gz").exists():
        return results
    like = canonical(read_image(folder / "registered" / f"{reference}.nii.gz"))
    results.spacing = like.GetSpacing()

    def volume(path: Path) -> np.ndarray:
        import SimpleITK as sitk

        return sitk.GetArrayFromImage(canonical(read_image(path))).astype(np.float32)

    for role in BACKGROUNDS:
        if (path := folder / "registered" / f"{role}.nii.gz").exists():
            results.images[role] = volume(path)
    for path in sorted((folder / "lesions").glob("*.nii.gz")):
        results.masks[path.name[:-7]] = volume(path) > 0
    for name in ("progression_cel", "progression_t2l"):
        if (path := folder / "progression" / f"{name}.nii.gz").exists():
            results.masks[name] = volume(path) > 0
    for kind, names in (("dce", DCE_MAPS), ("dsc", DSC_MAPS)):
        for name in names:
            if (path := folder / kind / "on_t1c" / f"{name}.nii.gz").exists():
                results.maps[name] = volume(path)
    spread = folder / "dce" / "on_t1c" / "ve_sd.nii.gz"
    if "ve" in results.maps and spread.exists():
        # Where little leaks, ve cannot be told, and its map is noise: it is drawn where its own uncertainty is small.
        sd = volume(spread)
        results.maps["ve"] = np.where((sd > 0) & (sd < VE_SD_DRAWN), results.maps["ve"], np.nan)
    for path in sorted((folder / "rt").glob("CTV*.nii.gz")):
        results.ctvs[path.name[:-7]] = volume(path) > 0
    for path in sorted((folder / "rt" / "barriers").glob("*.nii.gz")):
        results.barriers[path.name[:-7]] = volume(path) > 0
    if "brain" not in results.masks:
        first = next(iter(results.images.values()))
        results.masks["brain"] = first > np.percentile(first, 60)
    return results
