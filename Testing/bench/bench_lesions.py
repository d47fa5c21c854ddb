"""Drafts of lesions and the brain mask against masks by others and against simulated truth, with a bar for each.

Real images: BRATS 2013 patient 0005 with an expert's segmentation (T1c and FLAIR only, so that CEL is a suggestion), TCGA-FG-6692 with the
fusion of five algorithms' segmentations (no expert), and a native T1c with the mask of a tumour (no T1: a suggestion). All three were
looked at while the drafts were written, so they are no blind test. Non-enhancing lesions: real pairs of T1 and T1c in which the enhancing
lesion and 4 mm around it were given T1's grey levels, matched; vessels, dura and falx enhance as they do. Simulated patients: those of
`FRESH` were not looked at before the method was fixed. The others were in earlier runs, and rules were found on 7302, 7411 and 7412
(remnants after surgery), on 4101, 4202, 61001, 61002, 61003 and 61010, which are not here, and on 7612, 7613, 7690, 7691, 7694, 7695 and
7650 to 7655 (oedema that leaks, shading, tumour at the surface); the brain's surface on 76501 to 76517 and 7690.

Of a simulated T2L draft, what goes beyond the truth is told by the true density of tumour cells, above .1 or not: simulated FLAIR is up
to half as bright again in infiltrated white matter, and the truth ends where the volume drawn beforehand is reached, bright or not. "Cells
apart" is the Dice that counts such tissue neither as right nor as wrong.

``python Testing/bench/bench_lesions.py [real] [PRESET:SEED ...]``: all of it, or the real images or those simulated patients alone.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "GlioCore"), str(ROOT / "Testing")]

import numpy as np
import SimpleITK as sitk
from conftest import DATA
from gliosuite.images import Grid, array, boolean, read_image, read_mask, resample, resample_mask, volume_cc
from gliosuite.lesions import find_lesions, from_labelmap
from gliosuite.lesions.find import Lesions
from scipy import ndimage

EXPERT = "glioma-expert-seg-pat0005"
TCGA = "glioma-tcga-fg-6692/brats-space"
NATIVE = "braintumor-native-t1c"
VISITS = "glioma-preop-followup"
BARS = {"cel": 0.7, "t2l": 0.85}  # Dice
FALSE_CC = 0.1  # false CEL where nothing enhances
# Of the brain without cavities, %. The simulated brain holds 1 to 2 mm of fluid around the cortex: 1 mm of its surface is some 3 % of it.
MISSED, EXTRA = 5.0, 5.0
FRESH = (("shifted", 7721, 1), ("shifted", 7722, 1), ("idh-grade", 7723, 1), ("default", 7724, 1))
SEEN = (
    ("shifted", 7711, 1),
    ("shifted", 7712, 1),
    ("idh-grade", 7713, 1),
    ("default", 7714, 1),
    ("shifted", 7653, 1),
    ("idh-grade", 7653, 1),
    ("shifted", 7650, 1),
    ("shifted", 7694, 1),
    ("idh-grade", 7695, 1),
    ("default", 7611, 1),
    ("shifted", 7612, 1),
    ("idh-grade", 7613, 1),
    ("shifted", 7690, 1),
    ("idh-grade", 7691, 1),
    ("default", 7301, 2),
    ("shifted", 7302, 1),
    ("shifted", 7411, 1),
    ("shifted", 7412, 1),
    ("shifted", 7501, 2),
    ("idh-grade", 7303, 1),
)
_CELLS = 0.1  # density of tumour cells (0-1) above which simulated tissue counts as infiltrated
_MATCHED_MM = 4  # voxels of 1 mm around an enhancing lesion that are taken out with it


def expert_case(folder: Path) -> tuple[dict, dict, dict]:
    """Images, given masks and truth of the case with the expert's segmentation."""
    images = {
        "t1c": read_image(folder / "T1c_subtrMeanDivStd.nii.gz"),
        "flair": read_image(folder / "Flair_subtrMeanDivStd.nii.gz"),
    }
    brain = read_mask(folder / "brainmask.nii.gz")
    return images, {"brain": brain}, from_labelmap(read_image(folder / "OTMultiClass.nii.gz"), "brats2013")


def tcga_case(folder: Path) -> tuple[dict, dict, dict]:
    """Images, given masks (none) and the fused segmentation of the template-space case."""
    names = {"t1": "t1", "t1c": "t1c", "t2": "t2", "flair": "fla"}
    images = {role: read_image(folder / f"OtherEXampleFromTCIA_{name}_bet.nii.gz") for role, name in names.items()}
    return images, {}, from_labelmap(read_image(folder / "mav.nii.gz"), "brats2017")


def native_case(folder: Path) -> tuple[dict, dict, dict]:
    """A T1c of a whole head, and the mask of its tumour."""
    return {"t1c": read_image(folder / "brain1_image.nrrd")}, {}, {"cel": read_mask(folder / "brain1_label.nrrd")}


def visit(folder: Path, name: str) -> dict:
    """T1, T1c and FLAIR of one of two visits; there is no segmentation."""
    names = {"t1": "t1", "t1c": "t1ce", "flair": "flair"}
    return {role: read_image(folder / f"BraTSReg_002_{name}_{n}.nii.gz") for role, n in names.items()}


def without_enhancement(images: dict, lesion: np.ndarray) -> dict:
    """The images with T1c replaced by T1, scaled to T1c's mean and SD in the rest of the brain, in and around a lesion."""
    t1c, t1 = array(images["t1c"]), array(images["t1"])
    hole = ndimage.binary_dilation(lesion, iterations=_MATCHED_MM)
    rest = (t1c != t1c.flat[0]) & ~ndimage.binary_dilation(hole, iterations=2 * _MATCHED_MM)
    matched = t1c[rest].mean() + (t1 - t1[rest].mean()) * (t1c[rest].std() / t1[rest].std())
    weight = ndimage.gaussian_filter(ndimage.binary_dilation(hole).astype(np.float32), 0.7)
    return images | {"t1c": Grid.of(images["t1c"]).image((t1c * (1 - weight) + matched * weight).astype(np.float32))}


def dice(a: object, b: object) -> float:
    """Dice of two masks."""
    a, b = boolean(a), boolean(b)
    return 2.0 * float((a & b).sum()) / max(float(a.sum() + b.sum()), 1.0)


def measure(images: dict, given: dict, truth: dict) -> dict[str, tuple[float, float, float]]:
    """Dice, volume of the draft (or suggestion) and volume of the truth, for each mask that both have."""
    found = find_lesions(images, given)
    drawn = found.suggestions | found.masks
    return {
        role: (dice(drawn[role], truth[role]), volume_cc(drawn[role]), volume_cc(truth[role]))
        for role in ("cel", "t2l", "nel", "necrosis")
        if role in truth and role in drawn
    }


class Table:
    """What is printed, and whether a bar was missed."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        print(f"{'case':34}{'what':22}{'value':>8}{'bar':>8}{'':2}{'draft cc':>10}{'other cc':>10}")

    def row(self, case: str, what: str, value: float, bar: float | None, least: bool = True, more: str = "") -> None:
        """One number; `least` says whether the bar is a floor."""
        good = bar is None or (value >= bar if least else value <= bar)
        if not good:
            self.failed.append(f"{case} {what}")
        shown = "" if bar is None else f"{'>=' if least else '<='}{bar:g}"
        print(f"{case:34}{what:22}{value:8.2f}{shown:>8}{'' if good else ' *':2}{more}", flush=True)


def simulated_case(case: Path, truth: Path) -> tuple[dict, dict, dict]:
    """Images on the grid of T1c by their true moves, the cavity as a reader's mask, and the true masks."""
    names = [r for r in ("t1c", "t1", "flair") if (case / f"{r}.nii.gz").exists()]
    images = {role: read_image(case / f"{role}.nii.gz") for role in names}
    grid = Grid.of(images["t1c"])
    for role in names[1:]:
        moved = truth / f"{role}.tfm"
        images[role] = resample(images[role], grid, sitk.ReadTransform(str(moved)) if moved.exists() else None)
    there = lambda name: truth / f"{name}.nii.gz"
    masks = {
        n: resample_mask(read_image(there(n)), grid) for n in ("cel", "t2l", "brain", "cavity") if there(n).exists()
    }
    masks["infiltrated"] = resample(read_image(there("density")), grid) > _CELLS
    masks.setdefault("cavity", grid.blank())  # before surgery there is none
    given = {"cavity": masks["cavity"]} if boolean(masks["cavity"]).any() else {}
    return images, given, masks


def brain_errors(found: Lesions, truth: dict) -> tuple[float, float]:
    """Part of the true brain (without cavities) that is missed, and what is found beyond it, in % of it."""
    own, other, cavity = boolean(found.masks["brain"]), boolean(truth["brain"]), boolean(truth["cavity"])
    inside = other & ~cavity
    return 100.0 * (inside & ~own).sum() / inside.sum(), 100.0 * (own & ~other).sum() / inside.sum()


def real(table: Table) -> None:
    """Images with given segmentations, and those in which nothing enhances."""
    for name, case in ((EXPERT, expert_case), (TCGA, tcga_case), (NATIVE, native_case)):
        if not (DATA / name).exists():
            print(f"{name:34}test data are not at {DATA}")
            continue
        images, given, truth = case(DATA / name)
        kind = lambda role, t1="t1" in images: f"{role} (suggestion)" if role != "t2l" and not t1 else role
        for role, (overlap, ours, theirs) in measure(images, given, truth).items():
            bar = BARS.get(role)
            table.row(name.split("/")[0], f"{kind(role)} Dice", overlap, bar, more=f"{ours:10.1f}{theirs:10.1f}")
    if (DATA / TCGA).exists():
        images, given, truth = tcga_case(DATA / TCGA)
        lesion = boolean(truth["cel"]) | boolean(truth["necrosis"])
        found = find_lesions(without_enhancement(images, lesion), given)
        table.row("tcga-fg-6692, not enhancing", "false cel cc", volume_cc(found.masks["cel"]), FALSE_CC, least=False)
        table.row("tcga-fg-6692, not enhancing", "t2l Dice", dice(found.masks["t2l"], truth["t2l"]), BARS["t2l"])
    for name in ("00_0000", "01_0262"):
        if (DATA / VISITS).exists():
            images = visit(DATA / VISITS, name)
            found = find_lesions(images)
            lesion = boolean(found.masks["cel"]) | boolean(found.masks["necrosis"])
            found = find_lesions(without_enhancement(images, lesion))
            label = f"BraTSReg-002 {name}, not enhancing"
            table.row(label, "false cel cc", volume_cc(found.masks["cel"]), FALSE_CC, least=False)


def simulated(table: Table, preset: str, seed: int, n: int) -> None:
    """Drafts and brain mask of simulated patients."""
    from gliosuite.simulate.cohort import write_cohort

    with tempfile.TemporaryDirectory() as folder:
        cohort = Path(folder) / "cohort"
        write_cohort(cohort, n, seed, preset, scans=("structural",))
        for case in sorted(p for p in cohort.iterdir() if (p / "case.json").exists()):
            images, given, truth = simulated_case(case, cohort / "truth" / case.name)
            found = find_lesions(images, given)
            name = f"simulated {preset} {case.name[4:]}"
            for role, bar in BARS.items():
                more = f"{volume_cc(found.masks[role]):10.1f}{volume_cc(truth[role]):10.1f}"
                table.row(name, f"{role} Dice", dice(found.masks[role], truth[role]), bar, more=more)
            beyond = boolean(found.masks["t2l"]) & ~boolean(truth["t2l"])
            infiltrated, voxel_cc = boolean(truth["infiltrated"]), Grid.of(images["t1c"]).voxel_cc
            sure = Grid.of(images["t1c"]).image(boolean(found.masks["t2l"]) & ~(beyond & infiltrated))
            table.row(name, "t2l Dice, cells apart", dice(sure, truth["t2l"]), None)
            table.row(name, "t2l beyond, cells cc", (beyond & infiltrated).sum() * voxel_cc, None)
            table.row(name, "t2l beyond, sound cc", (beyond & ~infiltrated).sum() * voxel_cc, None)
            missed, extra = brain_errors(found, truth)
            table.row(name, "brain missed %", missed, MISSED, least=False)
            table.row(name, "brain beyond %", extra, EXTRA, least=False)


def main() -> int:
    """Print the table; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(
        description="Drafts of lesions and the brain mask against masks by others and simulated truth."
    )
    parser.add_argument(
        "cases", nargs="*", metavar="real|PRESET:SEED", help="the real images, or these simulated patients, alone"
    )
    cases = parser.parse_args().cases
    asked = [(preset, int(seed), 1) for preset, _, seed in (c.partition(":") for c in cases if c != "real")]
    table = Table()
    if not cases or "real" in cases:
        real(table)
    for preset, seed, n in asked if cases else (*FRESH, *SEEN):
        simulated(table, preset, seed, n)
    print(f"missed: {', '.join(table.failed)}" if table.failed else "all bars are met")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
