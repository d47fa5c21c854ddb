"""The report of a run as a reader meets it: colours, numbers, pictures, contents, and what a simulated patient's section says.

Run by ``make bench``, or alone: ``python Testing/bench/bench_page.py [RESULTS]``. Without RESULTS a simulated patient of 3 mm voxels is
made and run (seed 90131; pages were looked at on those of seeds 3 and 14). Figures are of a simulated patient.
"""

import contextlib
import csv
import io
import itertools
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "GlioCore"))

import numpy as np
from gliosuite.cli import main as gliosuite
from gliosuite.files import read_json
from gliosuite.images import boolean, read_image
from gliosuite.report.pictures import COUNT
from gliosuite.resources import colors, rgb
from gliosuite.rt.rtstruct import read_structures

SEED = 90131
LARGEST_MB = 6.0  # chosen: what a mail takes along without thinking
SLICES = (6, 8)  # axial slices per picture


def simulated(folder: Path) -> Path:
    """Results of a coarse simulated patient."""
    from gliosuite.pipeline import RunSettings, run_case
    from gliosuite.simulate import simulate_case

    roles = ("cel", "t2l", "cavity", "progression_cel", "progression_t2l")
    case = simulate_case(SEED, grid_mm=3.0).write(folder / "case", folder / "truth", dicom=("t1c",), masks=roles)
    run_case(case, folder / "results", RunSettings(spacing_mm=3.0))
    return folder / "results"


def same_colors(results: Path, page: str, scratch: Path) -> list[str]:
    """Structures whose colour in page, structure set or comparison is not that of the table."""
    rois = [
        r["name"] for s in read_json(results / "run.json")["steps"] if s["step"] == "rt" for r in s["summary"]["rois"]
    ]
    table = colors(rois)
    unlike = [n for n in rois if f'background:{table[n]}"></span>{n}' not in page]
    structures = {s.name: s.color_rgb for s in read_structures(results / "rt" / "RS.dcm").structures}
    unlike += [n for n in rois if structures.get(n) != rgb(table[n])]
    named = [f"{n}={results / 'rt' / n}.nii.gz" for n in rois if n.startswith("CTV")]
    with contextlib.redirect_stdout(io.StringIO()):
        code = gliosuite(["compare", *named, "--out", str(scratch), "--quiet"])
    if code != 0:
        return [*unlike, "compare failed"]
    with (scratch / "difference.csv").open(newline="") as stream:
        alone = {r["covered_by"]: r["color"] for r in csv.DictReader(stream)}
    return unlike + [n for n in rois if n in alone and alone[n] != table[n]]


def equal_targets(results: Path) -> list[str]:
    """Pairs of CTVs that are the same volume."""
    ctvs = {p.name[:-7]: boolean(read_image(p)) for p in sorted((results / "rt").glob("CTV*.nii.gz"))}
    return [f"{a} and {b}" for a, b in itertools.combinations(ctvs, 2) if np.array_equal(ctvs[a], ctvs[b])]


def main() -> int:
    """Print the table; the number of bars that are not met."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(sys.argv[1]) if len(sys.argv) > 1 else simulated(Path(folder))
        page = (results / "report.html").read_text(encoding="utf-8")
        text = re.sub(r'"data:image[^"]*"', "", page)
        shown = re.sub(r'<style>.*?</style>|<details>.*?</details>|style="[^"]*"', "", text, flags=re.DOTALL)
        ugly = re.findall(r"\d[eE][+-]?\d+|\d\.\d{7,}", shown)
        links, heads = (re.findall(p, text) for p in (r'<a href="#(\w+)"', r'<h2 id="(\w+)"'))
        pictures, enlarged = text.count("<img"), text.count('type="checkbox"')
        unlike = same_colors(results, page, Path(folder) / "compared")
        equal = equal_targets(results)
        wanted = (
            "Both visits on the same slices",
            "What changed",
            "Where the arterial input function was taken",
            "Against the truth",
        )
        absent = [w for w in wanted if w not in text]
    bars = [
        ("structures with another colour in page, structure set or compare", len(unlike), 0, not unlike, unlike),
        ("CTVs that are the same volume", len(equal), 0, not equal, equal),
        ("numbers with an exponent or seven decimals", len(ugly), 0, not ugly, ugly),
        ("sections that the contents miss", len(set(heads) ^ set(links)), 0, heads == links, []),
        ("pictures that a click enlarges, of all", f"{enlarged} of {pictures}", "all", enlarged == pictures > 0, []),
        ("axial slices per picture", COUNT, "6 to 8", SLICES[0] <= COUNT <= SLICES[1], []),
        ("follow-up, what changed, AIF's place, truth: missing", len(absent), 0, not absent, absent),
        (
            "size of the page (MB)",
            f"{len(page) / 1e6:.1f}",
            f"at most {LARGEST_MB:g}",
            len(page) / 1e6 <= LARGEST_MB,
            [],
        ),
    ]
    for title, value, bar, met, which in bars:
        print(f"  {title:66} {value!s:>10}   bar {bar!s:10} {'met' if met else 'NOT MET ' + ', '.join(which)}")
    return sum(not met for *_, met, _ in bars)


if __name__ == "__main__":
    sys.exit(main())
