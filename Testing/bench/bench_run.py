"""How long `gliosuite run` takes on the demo case: per step wall and CPU seconds, in all wall, CPU and peak memory.

Run by ``make bench``, or alone: ``python Testing/bench/bench_run.py [CASE]``. Without CASE the demo's patient is simulated first, which is
not counted. Figures are of a simulated patient.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BARS = {"everything": (60, 110, 4.0), "without follow-up and DSC": (35, None, None), "nothing changed": (3, None, None)}
WITHOUT = ("--skip", "progression", "--skip", "progression_cel", "--skip", "progression_t2l", "--skip", "dsc")


def _memory(root: int) -> int:
    """Bytes that a process and all below it hold now (Linux)."""
    parents, sizes = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            parents[int(folder.name)], sizes[int(folder.name)] = (
                int(fields[1]),
                int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
            )
        except (OSError, IndexError):
            continue
    below, total = {root}, sizes.get(root, 0)
    while more := {p for p, parent in parents.items() if parent in below} - below:
        below |= more
        total += sum(sizes[p] for p in more)
    return total


def run(case: Path, out: Path, *options: str) -> tuple[float, float, float]:
    """Wall s, CPU s and peak GiB of one run."""
    before, start, peak = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0
    environment = os.environ | {"PYTHONPATH": str(ROOT / "GlioCore")}
    command = [sys.executable, "-m", "gliosuite", "run", str(case), "--out", str(out), "--quiet", *options]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.1):
            peak = max(peak, _memory(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    wall = time.perf_counter() - start
    ended.set()
    watcher.join()
    if code:
        sys.exit(f"gliosuite run ended with {code}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak / 2**30


def main(case: Path | None) -> None:
    """Print the table."""
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        if case is None:
            sys.path.insert(0, str(ROOT / "GlioCore"))
            from gliosuite.simulate import simulate_case

            case = Path(folder) / "case"
            masks = ("cavity", "progression_cel", "progression_t2l")
            simulate_case(3).write(case, Path(folder) / "truth", dicom=("t1c",), masks=masks)
        out = Path(folder) / "out"
        rows = [("everything", run(case, out))]
        steps = json.loads((out / "provenance.json").read_text())["steps"]
        rows.append(("nothing changed", run(case, out)))
        rows.append(("without follow-up and DSC", run(case, Path(folder) / "less", *WITHOUT)))
    print("| step | wall s | CPU s | peak GiB |\n|---|---|---|---|")
    for name, step in steps.items():
        print(f"| {name} | {step['seconds']:.1f} | {step['cpu_seconds']:.1f} | {step['peak_gib'] or 'unknown'} |")
    print("\n| run | wall s (bar) | CPU s (bar) | peak GiB (bar) |\n|---|---|---|---|")
    for name, found in rows:
        cells = [f"{v:.1f}" + (f" ({b})" if b else "") for v, b in zip(found, BARS[name], strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
