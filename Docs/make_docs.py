"""Write Docs/commands.md from the command line's own help, and check every link and picture of the documentation."""

import argparse
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "Docs").rglob("*.md"))]


def commands() -> str:
    """The help of every command, as Markdown."""
    os.environ["COLUMNS"] = "110"
    os.environ["NO_COLOR"] = "1"
    from gliosuite.cli import build_parser

    parser = build_parser()
    sub = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    text = "# Commands\n\nWritten by `make docs` from the commands' own `--help`.\n"
    for name, command in sub.choices.items():
        text += f"\n## gliosuite {name}\n\n```\n{command.format_help().rstrip()}\n```\n"
    return text


def broken_links() -> list[str]:
    """Relative links and pictures that lead nowhere."""
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    return broken


if __name__ == "__main__":
    (ROOT / "Docs" / "commands.md").write_text(commands(), encoding="utf-8", newline="\n")
    found = broken_links()
    print("\n".join(f"broken link in {b}" for b in found) or f"{len(PAGES)} pages, no broken link")
    sys.exit(bool(found))
