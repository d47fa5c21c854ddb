"""GlioPerfusion's panel on digital patients of full size: how long a click takes, whose curve it draws, and how narrow the panel gets.

    python Testing/bench/bench_panel.py [SEED ...]

The panel is the module's own, on real MRML (slicer-core) with our stand-ins for Slicer's widgets (PySide6); drawing on a screen is not in
the times. Simulated figures.
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "GlioCore"), str(ROOT / "Testing" / "standin")]

import numpy as np
from patients import curves_of, m1_points, manual_aif, simulated

SEEDS = (8191, 8192)
CLICK_S, EQUAL = (
    0.2,
    1e-6,
)  # bars: seconds a click may take, and the largest relative difference from the command's mean
POINTS = 3
WIDTH = 420  # pixels, bar of the panel


def narrowest(panel: Any) -> float:
    """The width in pixels below which something of the page is cut off."""
    for name, widget in vars(panel.ui).items():
        if name.endswith("Box") and hasattr(widget, "collapsed"):
            widget.collapsed = False
    page = panel.ui.statusLabel.parentWidget()
    page.show()
    return float(page.minimumSizeHint().width())


def measured(seed: int, folder: Path) -> list[tuple[str, float, float]]:
    """Name, bar and value of everything that is measured on a patient."""
    from slicerapp import application

    case = simulated(folder, seed, grid_mm=1.0)
    slicer = application.start(gui=True)
    application.load(ROOT / "GlioCore" / "GlioCore.py")
    from gliosuite.mrml.case import load_case

    nodes = load_case(case)
    panel = application.load(ROOT / "GlioPerfusion" / "GlioPerfusion.py").GlioPerfusionWidget().panel
    panel.ui.seriesSelector.setCurrentNode(nodes["dce"])
    panel.ui.aifComboBox.currentIndex = 1
    points, ras = panel.parameters.aifPoints, m1_points(case, POINTS + 1)
    rows, seconds = [], []

    def timed(work: object) -> None:
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)

    timed(lambda: points.AddControlPoint(*ras[0]))
    rows.append(("first click, which prepares the series [s]", np.inf, seconds.pop()))

    def compare(what: str, chosen: list, title: str = "mean", *options: str) -> None:
        drawn = curves_of(panel.parameters.aifChart)[title][1]
        command = manual_aif(case, chosen, folder / "aif.csv", *options)[1]
        difference = float(np.abs(drawn - command).max() / command.max())
        rows.append((f"{what}: difference from the command's", EQUAL, difference))

    for point in ras[1:POINTS]:
        timed(lambda point=point: points.AddControlPoint(*point))
    compare(f"mean of {POINTS} points", ras[:POINTS], "mean", "--no-sinus")
    for step in np.linspace(0, 1, 10)[1:]:  # a drag is many small moves
        place = (1 - step) * np.array(ras[0]) + step * np.array(ras[POINTS])
        timed(lambda place=place: points.SetNthControlPointPosition(0, *place))
    compare("mean, one of them dragged", [ras[POINTS], *ras[1:POINTS]], "mean", "--no-sinus")
    timed(lambda: points.RemoveNthControlPoint(1))
    compare("mean, one of them deleted", [ras[POINTS], *ras[2:POINTS]], "mean", "--no-sinus")
    rows.append((f"slowest of {len(seconds)} clicks, moves and deletions [s]", CLICK_S, max(seconds)))
    rows.append(("their median [s]", CLICK_S, float(np.median(seconds))))
    start = time.perf_counter()
    panel.ui.drawButton.click()
    rows.append(("brought to the level of a vein [s]", np.inf, time.perf_counter() - start))
    compare("brought to that level", [ras[POINTS], *ras[2:POINTS]], "AIF")
    rows.append(("narrowest width, all sections open [pixels]", WIDTH, narrowest(panel)))
    slicer.mrmlScene.Clear(0)
    return rows


def main() -> int:
    """Print the table; 1 if a bar is missed."""
    missed = 0
    for seed in map(int, sys.argv[1:] or SEEDS):
        folder = Path(tempfile.mkdtemp(prefix="bench-panel-"))
        try:
            for name, bar, value in measured(seed, folder):
                missed += not value <= bar
                limit = "" if np.isinf(bar) else f"bar {bar:g}"
                print(f"{seed}  {name:<58} {value:10.3g}  {limit}{'' if value <= bar else '  MISSED'}", flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
