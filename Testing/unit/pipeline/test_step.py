"""Which steps run again: those that were seen to read what has changed, and no others. The patient is simulated."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import gliosuite
import numpy as np
import pytest
from gliosuite.case import Case
from gliosuite.errors import InputError
from gliosuite.images import Grid, array, read_image, write_image
from gliosuite.pipeline import STEPS, RunSettings, run_case
from gliosuite.pipeline.context import Done
from gliosuite.pipeline.seen import Files
from gliosuite.pipeline.step import Step, kept, run_steps
from gliosuite.pipeline.workers import Workers
from gliosuite.report import Section
from gliosuite.simulate import simulate_case
from gliosuite.steps import silent

SETTINGS = RunSettings(spacing_mm=3.0, motion=False)
MEASURED = {"radiomics"} if find_spec("radiomics") else set()
# There is no diffusion series in the case, and without pyradiomics no features.
UNDONE = {"dti"} | ({"radiomics", "patterns"} if not MEASURED else set())


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Path, Path]:
    """A case with T1 from flip angles and a B1 map, and the results of a run by two processes."""
    folder = tmp_path_factory.mktemp("step")
    patient = simulate_case(14, grid_mm=3.0, scans=("structural", "vfa", "dce", "dsc"))
    patient.write(folder / "case", dicom=("t1c",), masks=("cel", "t2l", "cavity", "progression_cel"))
    run_case(Case.load(folder / "case"), folder / "out", SETTINGS, workers=2)
    return folder / "case", folder / "out"


@pytest.fixture
def copy(done, tmp_path) -> Path:
    shutil.copytree(done[0], tmp_path / "case")
    return tmp_path / "case"


def again(case: Path, out: Path, settings: RunSettings = SETTINGS) -> set[str]:
    """The steps with results that would not be kept, by what each was itself seen to read."""
    loaded = Case.load(case)
    return {s.name for s in STEPS if s.name not in UNDONE and kept(s, loaded, out, settings, Files()) is None}


def edit(case: Path, change) -> None:
    data = json.loads((case / "case.json").read_text())
    change(data)
    (case / "case.json").write_text(json.dumps(data))


def darker(path: Path) -> None:
    image = read_image(path)
    values = array(image)
    values[values.shape[0] // 2] *= 0.9
    write_image(Grid.of(image).image(values.astype(np.float32)), path)


def test_nothing_changed_keeps_all(done, copy):
    assert again(copy, done[1]) == set()


@pytest.mark.parametrize(
    "role, steps",
    [
        ("t1", {"registered"}),
        ("flair", {"registered"}),
        # its grid is everybody's
        ("t1c", {"registered", "lesions", "dce", "dsc", "progression", "rt"}),
        ("b1", {"dce", "dsc"}),
    ],
)
def test_a_changed_image_repeats_the_steps_that_read_it(done, copy, role, steps):
    data = json.loads((copy / "case.json").read_text())
    darker(copy / data["images"][role]["path"])
    found = again(copy, done[1])
    assert steps <= found
    assert not found & {"dce", "dsc"} - steps


@pytest.mark.parametrize(
    "change, steps",
    [
        (lambda d: d["images"]["dce"].update(flip_angle_deg=11), {"dce"}),
        (lambda d: d["images"]["dce"].update(hematocrit=0.5), {"dce"}),
        (lambda d: d["images"]["vfa"].update(tr_ms=6.0), {"dce", "dsc"}),
        (lambda d: d["images"].pop("b1"), {"dce", "dsc"}),
        (lambda d: d["images"].pop("vfa"), {"dce", "dsc"}),
        (lambda d: d["images"]["dsc"].update(te_ms=31.0), {"dsc"}),
        (lambda d: d["clinical"].update(resection="biopsy"), {"lesions", "recurrence"}),
        (lambda d: d["clinical"].update(age=99), set()),
        # which masks there are is what rt asks for organs
        (lambda d: d["masks"].pop("progression_cel"), {"progression", "rt"}),
        (lambda d: d["masks"].update(ctv=d["masks"]["t2l"]), {"rt"}),
        (lambda d: d["masks"].update(brain=d["masks"]["t2l"]), {"lesions", "rt"}),
        (lambda d: d.pop("followup"), {"progression"}),
        (lambda d: d["dicom"].clear(), {"rt"}),
    ],
    ids=[
        "flip",
        "hematocrit",
        "vfa-tr",
        "no-b1",
        "no-vfa",
        "te",
        "resection",
        "age",
        "progression",
        "ctv",
        "brain",
        "no-followup",
        "no-dicom",
    ],
)
def test_a_changed_key_repeats_the_steps_that_read_it(done, copy, change, steps):
    edit(copy, change)
    assert again(copy, done[1]) == steps


@pytest.mark.parametrize(
    "change, steps",
    [
        ({"motion": True}, {"dce", "dsc"}),
        ({"dce_model": "tofts"}, {"dce"}),
        ({"leakage": "bsw"}, {"dsc"}),
        ({"schemes": ("rtog",)}, {"rt"}),
        ({"engine": "simpleitk"}, {"registered", "dsc", "progression"}),
        ({"skip": ("b1",)}, {"dce", "dsc"}),
        ({"skip": ("t2",)}, {"registered"}),
        ({"barriers": "auto"}, {"rt"}),
        ({"allow_derived": True}, {"rt"}),
        (
            {"spacing_mm": 2.0},
            {"registered", "lesions", "dce", "dsc", "synthesis", "habitats", "progression", "recurrence", "rt"}
            | MEASURED,
        ),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_a_changed_setting_repeats_the_steps_that_read_it(done, change, steps):
    assert again(*done, replace(SETTINGS, **change)) == steps


def test_a_changed_result_repeats_the_steps_after_it(done, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done[1], out)
    darker(out / "lesions" / "cel.nii.gz")
    # DCE keeps the mean curve of the lesion, and the follow-up is compared outside it.
    assert again(done[0], out) == {"dce", "dsc", "habitats", "progression", "recurrence", "rt"} | MEASURED


def test_one_process_gives_the_same_bytes_as_two(done, tmp_path):
    case, out = done
    run_case(Case.load(case), tmp_path / "alone", SETTINGS)
    untimed = lambda folder: sorted(
        p.relative_to(folder)
        for p in folder.rglob("*")
        if p.is_file() and not p.name.endswith("provenance.json")  # the only files that hold times
    )
    files = untimed(out)
    assert files == untimed(tmp_path / "alone")
    different = [f for f in files if (out / f).read_bytes() != (tmp_path / "alone" / f).read_bytes()]
    assert not different


def test_wrong_settings_are_refused_where_all_else_is_kept(done):
    with pytest.raises(InputError, match="--skip dcee: neither a step"):
        run_case(Case.load(done[0]), done[1], replace(SETTINGS, skip=("dcee",)))
    with pytest.raises(InputError, match=r"threshold 2\.0 is out of range"):
        run_case(Case.load(done[0]), done[1], replace(SETTINGS, threshold=2.0))


def test_a_second_run_draws_no_report_again(done):
    case, out = done
    before = (out / "report.html").stat().st_mtime_ns, (out / "regions.csv").stat().st_mtime_ns
    summary = run_case(Case.load(case), out, SETTINGS, workers=2)
    assert {s["step"]: s["status"] for s in summary["steps"]} == {s.name: "kept" for s in STEPS} | {"dti": "skipped"}
    assert before == ((out / "report.html").stat().st_mtime_ns, (out / "regions.csv").stat().st_mtime_ns)
    (out / "report.html").unlink()
    run_case(Case.load(case), out, SETTINGS)
    assert (out / "report.html").exists()


def test_a_second_run_looks_at_no_image_though_the_case_lacks_some(done, monkeypatch):
    monkeypatch.setattr("gliosuite.pipeline.run.check", lambda *_: pytest.fail("the case was read again"))
    summary = run_case(Case.load(done[0]), done[1], SETTINGS)
    assert {s["status"] for s in summary["steps"]} == {"kept", "skipped"}


def test_notes_hold_hashes_and_no_path_of_the_case(done):
    case, out = done
    for record in out.glob("*/provenance.json"):
        seen = json.loads(record.read_text())["seen"]
        assert str(case) not in json.dumps(seen)
        assert all(
            len(content) == 64 or content in ("True", "False", "absent", "none", "auto", "shipped")
            for _, content in seen
        )


def test_progress_is_one_rising_line_that_names_the_step(done, tmp_path):
    said: list[tuple[float, str]] = []
    run_case(Case.load(done[0]), tmp_path / "out", SETTINGS, lambda f, m: said.append((f, m)), workers=2)
    fractions = [f for f, _ in said]
    assert fractions == sorted(fractions)
    assert any(m.startswith("dsc: ") for _, m in said)
    assert any(m.startswith("progression: ") for _, m in said)


def test_a_cancelled_run_leaves_whole_steps_and_the_next_one_goes_on_from_there(done, tmp_path):
    out = tmp_path / "out"

    def cancel(fraction: float, message: str) -> None:
        if message.startswith("lesions: comparing"):  # registered is whole by then; the brain is found before
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"cancelled: registered is whole in .*out; the same command goes on"):
        run_case(Case.load(done[0]), out, SETTINGS, cancel, workers=2)
    assert not list(out.rglob(".gliosuite-partial-*"))
    assert [p.name for p in out.iterdir()] == ["registered"]
    summary = run_case(Case.load(done[0]), out, SETTINGS, workers=2)
    status = {s["step"]: s["status"] for s in summary["steps"]}
    assert status == {s.name: "done" for s in STEPS} | {"registered": "kept", "dti": "skipped"}


def test_what_an_early_part_reads_is_noted_and_its_refusal_is_the_steps(done, tmp_path):
    from gliosuite.errors import InputError as Refused

    def early(run, progress):
        if run.settings.like == "unfit":
            raise Refused("too early")
        return run.case.clinical.get("age")

    def function(run, folder, progress):
        return Done({"age": run.early})

    case = Case.load(done[0])
    step = Step("aged", function, Section(1, "Aged", lambda results, draw: ""), early=early)
    carry = lambda settings: run_steps([step], case, tmp_path, settings, Files(), Workers(1), lambda f, m: None)
    assert carry(SETTINGS)["aged"]["summary"] == {"age": case.clinical["age"]}
    assert carry(SETTINGS)["aged"]["status"] == "kept"
    assert carry(replace(SETTINGS, like="unfit"))["aged"] == {"step": "aged", "status": "refused", "why": "too early"}
    case.data["clinical"]["age"] = 3
    assert carry(SETTINGS)["aged"]["summary"] == {"age": 3}


def killing(start: str, times: int):
    """A progress callback that ends all processes of the run at the first messages that begin so."""
    import multiprocessing

    left = [times]

    def kill(fraction: float, message: str) -> None:
        children = multiprocessing.active_children()
        if message.startswith(start) and left[0] > 0 and children:
            left[0] -= 1
            for child in children:
                child.kill()

    return kill


def drawn(results, draw):
    return ""


def quiet(run, folder, progress):
    return Done()


def ended_once(run, folder, progress):
    if not (run.out / "once").exists():
        run.out.mkdir(exist_ok=True)
        (run.out / "once").touch()
        os._exit(9)  # as where the system ends it for memory: no clean-up, no word
    return Done()


def ended(run, folder, progress):
    os._exit(9)


def test_what_a_process_did_that_was_ended_from_outside_is_done_again_alone(tmp_path):
    (tmp_path / "case.json").write_text('{"id": "none", "images": {}}')
    section = Section(1, "A step", drawn)
    steps = [
        Step("once", ended_once, section),
        Step("beside", quiet, section),
        Step("never", ended, section),
        Step("after", quiet, section, after=("once", "never")),
    ]
    with Workers(2) as workers:
        found = run_steps(steps, Case.load(tmp_path), tmp_path / "out", SETTINGS, Files(), workers, silent)
        assert list(workers.map(pow, [2, 3], [3, 2])) == [8, 9]
    status = {n: r["status"] for n, r in found.items()}
    assert status.pop("beside") in ("done", "kept")  # it may have been whole when its process was ended with the other
    assert status == {"once": "done", "never": "failed", "after": "done"}
    assert "was ended from outside while it ran alone" in found["never"]["why"]
    assert not list(tmp_path.rglob(".gliosuite-partial-*"))


def test_a_step_whose_process_is_ended_each_time_fails_and_the_others_go_on(done, tmp_path):
    out = tmp_path / "out"
    summary = run_case(Case.load(done[0]), out, SETTINGS, killing("dce: ", 100), workers=2)
    status = {s["step"]: s["status"] for s in summary["steps"]}
    assert status.pop("dce") == "failed"
    assert status.pop("synthesis") == status.pop("dti") == "skipped"  # there is nothing to refine or to fit
    assert set(status.values()) == {"done"}
    assert summary["losses"][0].startswith("dce failed: its process was ended from outside while it ran alone")
    assert "its process was ended from outside" in (out / "report.html").read_text()
    assert not (out / "dce").exists()
    assert not list(out.rglob(".gliosuite-partial-*"))


def children(pid: int) -> list[int]:
    """The worker processes of a process (Linux)."""
    ids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(i) for i in ids if b"spawn_main" in Path(f"/proc/{i}/cmdline").read_bytes()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are looked up in /proc")
@pytest.mark.timeout(120)
def test_a_command_whose_worker_is_killed_ends_with_3_and_a_sentence_and_the_report(done, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done[1], out)
    shutil.rmtree(out / "dce")  # the rest is kept, but for what reads it
    command = ["run", done[0], "--out", out, "--spacing-mm", 3, "--no-motion", "--workers", 2, "--progress", "json"]
    child = subprocess.Popen(
        [sys.executable, "-m", "gliosuite", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(gliosuite.__file__).parents[1])},
    )
    said = []
    for line in child.stderr:
        said.append(line)
        if '"dce: ' in line:  # it is at work, for the first time or, later, alone
            for worker in children(child.pid):
                os.kill(worker, signal.SIGKILL)
    result = json.loads(child.stdout.read())
    assert child.wait(60) == 3
    problems = [line for line in said if line.startswith("problem: ")]
    assert len(problems) == 1
    assert problems[0].startswith("problem: dce failed: its process was ended from outside while it ran alone")
    status = {s["step"]: s["status"] for s in result["steps"]}
    assert status["dce"] == "failed"
    assert status["registered"] == status["lesions"] == status["progression"] == "kept"
    page = (out / "report.html").read_text()
    assert Path(result["report"]) == out / "report.html"
    assert "its process was ended from outside" in page
    assert not (out / "dce").exists()


def test_pictures_are_drawn_here_where_their_processes_are_ended():
    with Workers(2) as workers:
        assert list(workers.map(ended_elsewhere, [os.getpid(), os.getpid()])) == [None, None]


def ended_elsewhere(main: int) -> None:
    if os.getpid() != main:
        os._exit(9)


def test_each_file_is_inflated_once(done, tmp_path, monkeypatch):
    from collections import Counter

    from gliosuite.images import reading

    read, count = reading._read_file, Counter()

    def counted(path, found=None):
        if found is None:
            count[str(path)] += 1
        return read(path, found)

    monkeypatch.setattr(reading, "_read_file", counted)
    run_case(Case.load(done[0]), tmp_path / "out", SETTINGS)
    assert str(done[0] / "dce.nii.gz") in count
    assert set(count.values()) == {1}
    # What the run has written itself is not inflated at all.
    assert not [path for path in count if path.startswith(str(tmp_path))]
