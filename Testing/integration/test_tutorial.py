"""The tutorial's commands, run literally and in their order; those of the README at least parse."""

import re
import shlex
from pathlib import Path

import pytest
from gliosuite.cli import build_parser, joined

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "Docs").glob("*.md")))


def commands(page: Path) -> list[list[str]]:
    """The words of every command of ours in a page's blocks of code, without comments."""
    blocks = re.findall(r"^```(?:bash)?\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    lines = [line.split("  #")[0] for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("gliosuite ")]


@pytest.mark.timeout(1800)  # some 100 s of CPU
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_tutorial_runs_as_it_stands(tmp_path, monkeypatch, gliosuite):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    found = commands(ROOT / "Docs" / "tutorial.md")
    assert len(found) >= 12
    assert {"simulate", "run", "register", "lesions", "dce", "dsc", "ctv", "rtstruct", "compare", "import"} <= {
        words[0] for words in found
    }
    for words in found:
        code, _, err = gliosuite(*words, "--quiet")
        assert code == 0, f"gliosuite {shlex.join(words)}: {err}"
    for name in ("results/report.html", "steps/RS.dcm", "steps/comparison/comparison.png", "case/case.json"):
        assert (tmp_path / name).exists(), name


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "commands.md" and commands(p)], ids=lambda p: p.name)
def test_every_command_of_a_page_has_options_that_there_are(page):
    for words in commands(page):
        build_parser().parse_args(joined(words))


def test_the_errors_that_the_readme_explains_are_said_by_the_program():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = text.split("## When something goes wrong")[1].split("\n## ")[0].splitlines()
    said = [re.search(r"`([^`]+)`", row.split("|")[1]) for row in rows if row.startswith("| `")]
    source = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "GlioCore").rglob("*.py"))
    source += (ROOT / "Makefile").read_text(encoding="utf-8")
    by_others = ("gliosuite: command not found",)  # the shell
    composed = {"has no tr_ms": "has no {", "matplotlib is needed for": "is needed for {"}  # names what is missing
    for match in said:
        assert match is not None
        if match[1] not in by_others:
            assert composed.get(match[1], match[1]) in source, match[1]
