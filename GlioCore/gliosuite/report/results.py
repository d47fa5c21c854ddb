"""What `gliosuite run` left in a folder, read back: images, masks and maps on the common grid."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import read_json
from ..images import Grid, read_image, resample

# What a DCE or DSC map is shown over and listed by, in this order.
DCE_MAPS = ("ktrans", "ve", "vp")
REFINED = ("ktrans", "vp", "ve")  # of the posterior, in S4's order
LEAST_PROBABILITY = 0.02  # chosen: below it, the anatomy is worth more than a colour
VE_SD_DRAWN = 0.1  # chosen: a third of the ve of enhancing tumour; where it is less sure, its colours would show noise
DSC_MAPS = ("ncbv", "ncbf", "cbv", "cbf", "mtt", "tmax")
BACKGROUNDS = {"t1c": "T1c", "flair": "FLAIR", "t1": "T1", "t2": "T2"}
DTI_MAPS = ("adc", "fa")
IMAGES = BACKGROUNDS | {"dce": "DCE", "dsc": "DSC", "dti": "DTI", "adc": "ADC", "fa": "FA", "ct": "CT"}


class Volumes(Mapping[str, np.ndarray]):
    """Arrays by name, each read when it is first asked for."""

    def __init__(self, readers: Mapping[str, Callable[[], np.ndarray]] | None = None) -> None:
        self._readers = dict(readers or {})
        self._read: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._read:
            self._read[name] = self._readers[name]()
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


@dataclass
class Results:
    """What a results folder holds, each volume read once and when it is needed.

    Attributes
    ----------
    folder
        The results folder (of ``gliosuite run``).
    run
        The content of ``run.json``.
    masks, ctvs, barriers, maps
        Boolean and float arrays (z, y, x) on the T1c grid in LPS orientation, by name.
    images, later
        Registered images likewise, of this visit and of the follow-up.
    refined
        Maps of the posterior, and their uncertainty in % (``ktrans_uncertainty``).
    labels
        Label maps likewise, of whole numbers: ``habitats``.
    recurrence
        The probability of recurrence and its SD, NaN in the lesion and where it is next to nothing.
    arteries
        ``dce``, ``dsc``: where the arterial input function was taken; ``dce_sinus``: where the venous sinus was.
    spacing
        Voxel size (x, y, z) in mm.
    cpu_seconds
        Of each registration, where times were asked for.
    """

    folder: Path
    run: dict[str, Any]
    images: Volumes = field(default_factory=Volumes)
    later: Volumes = field(default_factory=Volumes)
    refined: Volumes = field(default_factory=Volumes)
    labels: Volumes = field(default_factory=Volumes)
    recurrence: Volumes = field(default_factory=Volumes)
    arteries: Volumes = field(default_factory=Volumes)
    masks: Volumes = field(default_factory=Volumes)
    ctvs: Volumes = field(default_factory=Volumes)
    barriers: Volumes = field(default_factory=Volumes)
    maps: Volumes = field(default_factory=Volumes)
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    def step(self, name: str) -> dict[str, Any]:
        """The record of a step in ``run.json``; empty where it is absent."""
        return next((s for s in self.run.get("steps", []) if s["step"] == name), {})


def _arteries(folder: Path, reference: str) -> dict[str, Callable[[], np.ndarray]]:
    """Readers of the voxels that arterial input functions were taken from, carried to the common grid."""

    def carried(kind: str, file: Path) -> np.ndarray:
        import SimpleITK as sitk

        from .pictures import canonical

        grid = Grid.of(read_image(folder / "registered" / f"{reference}.nii.gz"))
        transform = sitk.ReadTransform(str(folder / "registered" / f"{kind}.tfm"))
        # Single voxels and pairs of them: their signed distance, by which outlines are carried, says no more than their share.
        share = resample(sitk.Cast(read_image(file), sitk.sitkFloat32), grid, transform)
        return sitk.GetArrayFromImage(canonical(share)) > 0.5

    found: dict[str, Callable[[], np.ndarray]] = {}
    for kind in ("dce", "dsc"):
        for name, file in ((kind, "aif_mask"), (f"{kind}_sinus", "sinus_mask")):
            path = folder / kind / f"{file}.nii.gz"
            if path.exists() and (folder / "registered" / f"{kind}.tfm").exists():
                found[name] = partial(carried, kind, path)
    return found


def load_results(folder: str | Path, times: bool = False) -> Results:
    """What `gliosuite run` left in a folder, and with `times` how long it took.

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
    note = folder / "registered" / "provenance.json"
    if times and note.exists():
        results.cpu_seconds = read_json(note).get("cpu_seconds_of", {})
    reference = results.run.get("reference")
    if not reference or not (folder / "registered" / f"{reference}.nii.gz").exists():
        return results

    def volume(path: Path) -> np.ndarray:
        import SimpleITK as sitk

        return sitk.GetArrayFromImage(canonical(read_image(path))).astype(np.float32)

    def found(paths: Iterator[Path], mask: bool) -> dict[str, Callable[[], np.ndarray]]:
        reader = (lambda p: lambda: volume(p) > 0) if mask else (lambda p: lambda: volume(p))
        return {p.name[:-7]: reader(p) for p in paths if p.exists()}

    results.spacing = canonical(read_image(folder / "registered" / f"{reference}.nii.gz")).GetSpacing()
    results.images = Volumes(found((folder / "registered" / f"{r}.nii.gz" for r in BACKGROUNDS), False))
    after = found((folder / "progression" / f"followup_{r}.nii.gz" for r in BACKGROUNDS), False)
    results.later = Volumes({name.removeprefix("followup_"): reader for name, reader in after.items()})
    results.arteries = Volumes(_arteries(folder, reference))
    masks = found(iter(sorted((folder / "lesions").glob("*.nii.gz"))), True)
    later = (folder / "progression" / f"{name}.nii.gz" for name in ("progression_cel", "progression_t2l"))
    masks |= found(later, True)
    if "brain" not in masks:
        first = next(iter(results.images))
        masks["brain"] = lambda: results.images[first] > np.percentile(results.images[first], 60)
    results.masks = Volumes(masks)
    maps: dict[str, Callable[[], np.ndarray]] = {}
    for kind, names in (("dce", DCE_MAPS), ("dsc", DSC_MAPS), ("dti", DTI_MAPS)):
        maps |= found((folder / kind / "on_t1c" / f"{name}.nii.gz" for name in names), False)
    spread = folder / "dce" / "on_t1c" / "ve_sd.nii.gz"
    if "ve" in maps and spread.exists():
        # Where little leaks, ve cannot be told, and its map is noise: it is drawn where its own uncertainty is small.
        all_of_it = maps["ve"]
        sure = lambda sd: np.where((sd > 0) & (sd < VE_SD_DRAWN), all_of_it(), np.nan)
        maps["ve"] = lambda: sure(volume(spread))
    results.maps = Volumes(maps)
    results.refined = Volumes(_refined(found, volume, folder / "synthesis" / "on_t1c"))
    results.labels = Volumes(found(iter([folder / "habitats" / "on_t1c" / "habitats.nii.gz"]), False))
    results.recurrence = Volumes(_recurrence(volume, folder / "recurrence"))
    results.ctvs = Volumes(found(iter(sorted((folder / "rt").glob("CTV*.nii.gz"))), True))
    results.barriers = Volumes(found(iter(sorted((folder / "rt" / "barriers").glob("*.nii.gz"))), True))
    return results


def _refined(
    found: Callable[..., dict[str, Callable[[], np.ndarray]]], volume: Callable[[Path], np.ndarray], folder: Path
) -> dict[str, Callable[[], np.ndarray]]:
    """Readers of the posterior's maps, and of their SDs in % of the value."""
    readers = found((folder / f"{name}.nii.gz" for name in REFINED), False)

    def uncertainty(name: str) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return 100.0 * volume(folder / f"{name}_sd.nii.gz") / np.abs(readers[name]())

    shown: dict[str, Callable[[], np.ndarray]] = {}
    for name, read in readers.items():
        shown |= {name: read, f"{name}_uncertainty": partial(uncertainty, name)}
    return shown


def _recurrence(volume: Callable[[Path], np.ndarray], folder: Path) -> dict[str, Callable[[], np.ndarray]]:
    """Readers of the probability of recurrence and of its SD."""
    path = folder / "probability.nii.gz"
    if not path.exists():
        return {}

    def read(name: str) -> np.ndarray:
        known = volume(path)
        shown = (known >= LEAST_PROBABILITY) & (known < 1)
        return np.where(shown, volume(folder / f"{name}.nii.gz"), np.nan)

    return {"recurrence": partial(read, "probability"), "probability_sd": partial(read, "probability_sd")}
