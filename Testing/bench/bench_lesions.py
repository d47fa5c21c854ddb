"""Drafts of the enhancing lesion and of the T2 lesion against masks by others: Dice, volumes.

Two cases: BRATS 2013 patient 0005 with an expert's segmentation (T1c and FLAIR only), and TCGA-FG-6692 with the fusion of five
algorithms' segmentations (no expert). Both were looked at while the drafts were written, so they are no blind test: they show that the
method works, not how well it does on others.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "GlioCore"), str(ROOT / "Testing")]

from conftest import DATA
from gliosuite.images import boolean, read_image, read_mask, volume_cc
from gliosuite.lesions import find_lesions, from_labelmap

EXPERT = "glioma-expert-seg-pat0005"
TCGA = "glioma-tcga-fg-6692/brats-space"


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


def dice(a: object, b: object) -> float:
    """Dice of two masks."""
    a, b = boolean(a), boolean(b)
    return 2.0 * float((a & b).sum()) / max(float(a.sum() + b.sum()), 1.0)


def measure(images: dict, given: dict, truth: dict) -> dict[str, tuple[float, float, float]]:
    """Dice, volume of the draft and volume of the truth, for each mask that both have."""
    found = find_lesions(images, given)
    return {
        role: (dice(found.masks[role], truth[role]), volume_cc(found.masks[role]), volume_cc(truth[role]))
        for role in ("cel", "t2l", "nel", "necrosis")
        if role in truth
    }


def main() -> None:
    """Print the table."""
    print(f"{'case':28}{'mask':10}{'Dice':>6}{'draft cc':>10}{'other cc':>10}")
    for name, case in ((EXPERT, expert_case), (TCGA, tcga_case)):
        if not (DATA / name).exists():
            print(f"{name:28}test data are not at {DATA}")
            continue
        for role, (overlap, ours, theirs) in measure(*case(DATA / name)).items():
            print(f"{name.split('/')[0]:28}{role:10}{overlap:6.2f}{ours:10.1f}{theirs:10.1f}")


if __name__ == "__main__":
    main()
