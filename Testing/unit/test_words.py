"""What users read is English that a clinician reads at once: turns of phrase that readers stumbled over do not come back."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUMBLED = ("among each other", "moved at once", "hang together", "verdict", "laid onto")
PAGES = [
    ROOT / "README.md",
    *(ROOT / "Docs" / f"{n}.md" for n in ("tutorial", "import", "case", "commands", "perfusion-panel")),
]


@cache
def sentences(path: Path) -> list[str]:
    """Every text of several words in a file's code, docstrings apart."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [n for n in ast.walk(tree) if isinstance(n, (ast.Module, ast.FunctionDef, ast.ClassDef)) and n.body]
    first = [n.body[0] for n in nodes]
    docs = {id(n.value) for n in first if isinstance(n, ast.Expr)}
    found = [
        n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in docs
    ]
    return [n.value for n in found if len(n.value.split()) > 1]


@pytest.mark.parametrize("phrase", STUMBLED)
def test_no_sentence_of_the_program_has_it(phrase):
    files = [p for d in ("GlioCore", "GlioPerfusion", "GlioRT", "GlioRecurrence") for p in (ROOT / d).rglob("*.py")]
    assert not [f"{p.name}: {s}" for p in files for s in sentences(p) if phrase in s.lower()]
    panels = [p for d in ("GlioPerfusion", "GlioRT", "GlioRecurrence") for p in (ROOT / d).rglob("*.ui")]
    assert panels
    assert not [p.name for p in (*panels, *PAGES) if phrase in p.read_text(encoding="utf-8").lower()]
