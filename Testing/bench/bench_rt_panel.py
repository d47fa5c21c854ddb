"""GlioRT on nodes against the commands on files, on digital patients: the same targets, comparison and structure set; how wide, how quick.

Simulated patients of test seeds 9205 and 9311 (2 mm; development used 3, 11 and 4107). Bars: every target volume voxel by voxel that of
`gliosuite ctv`; every number of the table that of `gliosuite compare` to 1e-6; every structure of the set that was exported into the
database read back voxel by voxel; the panel at most 420 pixels wide, in a light and a dark theme; each picture of the docs at most 300 kB.
How long a preview takes is told, there is no bar for it.

``python Testing/bench/bench_rt_panel.py`` (about two minutes, one process; needs slicer-core and PySide6).
"""

import contextlib
import io
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["PYTHONPATH"] = str(ROOT / "GlioCore")
sys.path[:0] = [str(ROOT / "GlioCore"), str(ROOT / "Testing" / "standin"), str(ROOT)]
SEEDS = (9205, 9311)
SCHEMES = ("rtog", "estro-eano", "nrg")
WIDEST, MOST_BYTES = 420, 300_000


def command(*words: object) -> dict[str, Any]:
    """Run a command in this process: its result."""
    from gliosuite.cli import main

    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
        if main([*(str(w) for w in words), "--json"]) != 0:
            raise RuntimeError(f"gliosuite {words[0]} failed")
    return json.loads(output.getvalue())


def patient(seed: int, folder: Path):
    """A digital patient in a fresh scene, its masks and a probability as files, and GlioRT's panel on it."""
    from gliosuite.images import Grid, array, write_image
    from gliosuite.mrml.display import show_map
    from gliosuite.mrml.rt.matching import match_segments
    from gliosuite.mrml.sample import digital_patient
    from gliosuite.mrml.segments import mask_from_segment
    from gliosuite.mrml.volumes import grid_of, image_from_node, node_from_image
    from probabilities import blurred_truth
    from slicerapp import application
    from slicerapp.database import Database

    slicer = application.start(gui=True)
    slicer.util.errorDisplay = lambda text, detailedText="", **_: sys.exit(f"{text}\n{detailedText}")
    slicer.dicomDatabase = Database(folder / "database")
    nodes = digital_patient(seed=seed, grid_mm=2.0)
    grid: Grid = grid_of(nodes["t1c"])
    found = {role: m.identifier for role, m in match_segments(nodes["masks"]).items() if m.identifier}
    found["progression"] = nodes["masks"].GetSegmentation().GetSegmentIdBySegmentName("lesion at progression (T2L)")
    files = {}
    for role, identifier in found.items():
        files[role] = folder / f"{role}.nii.gz"
        write_image(mask_from_segment(nodes["masks"], identifier, grid), files[role])
    later = array(mask_from_segment(nodes["masks"], found["progression"], grid)) > 0
    node = node_from_image(grid.image(blurred_truth(later, grid.spacing[::-1], seed)), "probability")
    show_map(node, "probability")
    files["probability"] = folder / "probability.nii.gz"
    write_image(image_from_node(node), files["probability"])
    application.load(ROOT / "GlioCore" / "GlioCore.py")
    widget = application.load(ROOT / "GlioRT" / "GlioRT.py").GlioRTWidget()
    panel = widget.panel
    index = panel.structures.choices("progression").index(found["progression"])
    panel.ui.progressionComboBox.currentIndex = index
    return widget, files, grid


def ticked(panel, names) -> None:
    """Tick these schemes."""
    import qt
    from gliosuite.mrml.rt.targets import schemes

    for row, scheme in enumerate(schemes()):
        state = qt.Qt.Checked if scheme.name in names else qt.Qt.Unchecked
        panel.ui.schemeTable.item(row, 0).setCheckState(state)


def by_commands(files: dict[str, Path], folder: Path) -> dict[str, Path]:
    """The same targets by `gliosuite ctv`: name to file."""
    from gliosuite.rt.targets import scheme as rules

    roles = [w for r in ("brain", "cel", "t2l", "cavity", "necrosis") if r in files for w in (f"--{r}", files[r])]
    out = {}
    for scheme in (*SCHEMES, "model"):
        more = ["--probability", files["probability"], "--threshold", 0.05] if scheme == "model" else []
        place = folder / scheme / "ctv.nii.gz"
        command("ctv", "--scheme", scheme, *roles, *more, "--out", place, "--quiet")
        first, *rest = (t.ctv_name for t in rules(scheme).targets)
        out[first] = place
        out |= {n: f for n in rest if (f := place.with_name(f"ctv_{n}.nii.gz")).exists()}
    return out


def compared(files: dict[str, Path], ctvs: dict[str, Path], out: Path) -> dict[str, dict[str, float]]:
    """The table of `gliosuite compare`."""
    named = [f"{n}={f}" for n, f in ctvs.items() if n != "CTV_MODEL_LOW"]
    found = command(
        "compare", "--reference", files["progression"], "--brain", files["brain"], *named, "--out", out, "--quiet"
    )
    return {row.pop("name"): {k: v for k, v in row.items() if v is not None} for row in found["rows"]}


def _widths(widget) -> dict[str, int]:
    """The least width of the open panel, by theme."""
    import qt

    page = widget.parent
    light = qt.QApplication.palette()
    dark = qt.QPalette()
    for role, grey in ((qt.QPalette.Window, 50), (qt.QPalette.Base, 35), (qt.QPalette.Button, 60)):
        dark.setColor(role, qt.QColor(grey, grey, grey))
    for role in (qt.QPalette.WindowText, qt.QPalette.Text, qt.QPalette.ButtonText):
        dark.setColor(role, qt.QColor(255, 255, 255))
    found = {}
    for theme, palette in (("light", light), ("dark", dark)):
        qt.QApplication.setPalette(palette)
        page.show()
        qt.QApplication.processEvents()
        found[theme] = page.minimumSizeHint().width()
        page.hide()
    qt.QApplication.setPalette(light)
    return found


def main() -> int:
    """Print the table; 1 if a bar is missed."""
    warnings.simplefilter("ignore")
    rows: list[tuple[str, str, str, bool]] = []
    told: list[str] = []
    with tempfile.TemporaryDirectory(prefix="gliosuite-bench-") as place:
        for seed in SEEDS:
            rows += one(seed, Path(place) / str(seed), told)
    for picture in sorted((ROOT / "Resources" / "Screenshots").glob("*.png")):
        size = picture.stat().st_size
        rows.append((picture.name, "at most 300 kB", f"{size / 1000:.0f} kB", size <= MOST_BYTES))
    for what, bar, value, met in rows:
        print(f"{what:58} {bar:22} {value:16} {'met' if met else 'MISSED'}")
    print("\n".join(told))
    return int(not all(met for *_, met in rows))


def one(seed: int, folder: Path, told: list[str]) -> list[tuple[str, str, str, bool]]:
    """All rows of one patient."""
    from gliosuite.images import array, boolean, read_mask
    from gliosuite.mrml.rt.comparison import mask_of
    from gliosuite.rt.rtstruct import read_rtstruct

    folder.mkdir(parents=True)
    widget, files, grid = patient(seed, folder)
    panel, name = widget.panel, f"simulated patient {seed}"
    ui = panel.ui
    ticked(panel, SCHEMES)
    for box in (ui.predictedBox, ui.exportBox):
        box.collapsed = False
    ui.computeButton.click()
    result = panel.results.result
    wanted = by_commands(files, folder)
    # Of targets that are the same volume one is drawn, and says which it stands for.
    drawn = {
        n: next((m for m in result.names if m == n or f"the same volume as {n} " in result.described[m]), "")
        for n in wanted
    }
    other = {
        n: int((boolean(mask_of(result, drawn[n], grid)) != boolean(read_mask(f))).sum())
        for n, f in wanted.items()
        if drawn[n]
    }
    rows = [
        (
            f"{name}: targets that ctv makes too",
            f"{len(wanted)}",
            f"{len(other)}",
            set(drawn.values()) == set(result.names),
        ),
        (f"{name}: voxels that differ from ctv's", "0", f"{sum(other.values())}", not sum(other.values())),
    ]
    table = compared(files, wanted, folder / "compared")
    apart = []
    for row in result.rows:
        mine = dict(zip(result.keys, row, strict=True))
        # Spared is told against the first target of a table; both have the same first.
        apart += [
            abs(float(mine[k]) - v) / max(abs(v), 1) for k, v in table.get(str(mine["name"]), {}).items() if k in mine
        ]
    rows.append((f"{name}: {len(apart)} numbers against compare's", "1e-6", f"{max(apart):.1e}", max(apart) <= 1e-6))
    ui.destinationComboBox.currentIndex = 1
    ui.exportButton.click()
    store = sorted((folder / "database").iterdir())
    series = folder / "series"
    series.mkdir()
    for path in store[:-1]:
        path.rename(series / path.name)
    back = read_rtstruct(store[-1], series)
    lost = sum(int((array(back[n]) != array(mask_of(result, n, grid))).sum()) for n in result.names)
    rows.append((f"{name}: voxels lost in the structure set", "0", f"{lost}", lost == 0))
    for theme, width in _widths(widget).items():
        rows.append((f"{name}: panel in a {theme} theme", "at most 420 px", f"{width} px", width <= WIDEST))
    for margin in (5.0, 20.0):
        started = time.perf_counter()
        panel.logic.preview(panel.request(), ("cel", "cavity", "t2l"), margin, None)
        told.append(f"{name}: preview of {margin:g} mm, straight, 2 mm voxels: {time.perf_counter() - started:.2f} s")
    return rows


if __name__ == "__main__":
    sys.exit(main())
