"""What `gliosuite run` takes on the demo case, step by step and in all: wall and CPU seconds, peak memory; and `gliosuite dce` alone.

Run by ``make bench``, or alone: ``python Testing/bench/bench_run.py [CASE]``. Without CASE the demo's patient is simulated first, which is
not counted. Figures are of a simulated patient. Bars of wall time are for an idle machine with two cores: where others compute too, they
are printed and not judged. The bar of memory is one of resident sizes added up over processes, in which pages that they share count
several times; beside it stands the sum of proportional sizes (PSS), in which they count once.
"""

import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = ("--skip", "progression", "--skip", "progression_cel", "--skip", "progression_t2l", "--skip", "dsc")
IDLE = 0.5  # load above which others compute too
DCE_RUNS = 3  # of which the median counts
GIB = 2**30
_SIZE = re.compile(r"^(Rss|Pss): +(\d+) kB", re.MULTILINE)  # of smaps_rollup


class Cost(NamedTuple):
    """Wall and CPU s, and the peak of resident and of proportional sizes in GiB."""

    wall_s: float
    cpu_s: float
    resident: float
    proportional: float


# Wall s, CPU s and resident GiB at most; None without a bar.
BARS: dict[str, tuple[float | None, float | None, float | None]] = {
    "everything": (60, 110, 4.0),
    "without follow-up and DSC": (35, None, None),
    "nothing changed": (3, None, None),
    "gliosuite dce, automatic AIF": (5, None, None),
    "the same, --no-motion": (None, None, None),
}


def _sizes(root: int) -> tuple[int, int]:
    """Resident and proportional bytes that a process and all below it hold now (Linux)."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
    below = {root}
    while more := {p for p, parent in parents.items() if parent in below} - below:
        below |= more
    resident = proportional = 0
    for process in below:
        with suppress(OSError, KeyError):  # a process that ends has no sizes
            found = dict(_SIZE.findall(Path(f"/proc/{process}/smaps_rollup").read_text()))
            resident += 1024 * int(found["Rss"])
            proportional += 1024 * int(found["Pss"])
    return resident, proportional


def cost(*words: str | Path) -> Cost:
    """What a command of gliosuite takes."""
    before, start, peaks = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), [0, 0]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "GlioCore")}
    command = [sys.executable, "-m", "gliosuite", *words, "--quiet"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            peaks[:] = map(max, peaks, _sizes(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    wall = time.perf_counter() - start
    ended.set()
    watcher.join()
    if code:
        sys.exit(f"gliosuite {words[0]} ended with {code}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, busy, peaks[0] / GIB, peaks[1] / GIB)


def dce_alone(case: Path, folder: Path, *more: str) -> Cost:
    """`gliosuite dce` on the case's series with default options, Python's start included: the run of median wall time."""
    series = json.loads((case / "case.json").read_text())["images"]["dce"]
    times = folder / "times.txt"
    times.write_text("\n".join(map(str, series["times_s"])))
    words = ["dce", case / series["path"], "--times", times, "--tr-ms", str(series["tr_ms"])]
    words += ["--flip-angle", str(series["flip_angle_deg"]), "--out", folder / "dce", *more]
    runs = [cost(*words) for _ in range(DCE_RUNS)]
    middle = statistics.median(run.wall_s for run in runs)
    return next(run for run in runs if run.wall_s == middle)


def main(case: Path | None) -> int:
    """Print the tables; 1 where a bar is missed."""
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load {load:.1f}")
    if load > IDLE:
        print("others compute here: wall times are not judged")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if case is None:
            sys.path.insert(0, str(ROOT / "GlioCore"))
            from gliosuite.simulate import simulate_case

            case = folder / "case"
            masks = ("cavity", "progression_cel", "progression_t2l")
            simulate_case(3).write(case, folder / "truth", dicom=("t1c",), masks=masks)
        out = folder / "out"
        alone = dce_alone(case, folder)  # first: from here on compiled kernels are there
        still = dce_alone(case, folder, "--no-motion")
        found = {"everything": cost("run", case, "--out", out)}
        steps = json.loads((out / "provenance.json").read_text())["steps"]
        found["nothing changed"] = cost("run", case, "--out", out)
        found["without follow-up and DSC"] = cost("run", case, "--out", folder / "less", *WITHOUT)
        found["gliosuite dce, automatic AIF"] = alone
        found["the same, --no-motion"] = still
    print("| step | wall s | CPU s | peak GiB |\n|---|---|---|---|")
    for step_name, step in steps.items():
        print(f"| {step_name} | {step['seconds']:.1f} | {step['cpu_seconds']:.1f} | {step['peak_gib'] or 'unknown'} |")
    print("\n| run | wall s (bar) | CPU s (bar) | resident GiB (bar) | PSS GiB |\n|---|---|---|---|---|")
    missed = []
    for run, spent in found.items():
        cells = [f"{v:.1f}" + (f" ({b:g})" if b else "") for v, b in zip(spent, BARS[run])]
        print(f"| {run} | {' | '.join(cells)} | {spent.proportional:.1f} |")
        judged = [
            b is not None and v > b and not (i == 0 and load > IDLE) for i, (v, b) in enumerate(zip(spent, BARS[run]))
        ]
        missed += [f"{run}: {what}" for what, bad in zip(("wall time", "CPU time", "memory"), judged) if bad]
    print(f"\n{len(missed)} bars missed" + "".join(f"\n  {what}" for what in missed))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
