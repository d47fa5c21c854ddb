"""Write Docs/commands.md from the command line's own help and Docs/simulation-tables.md from the code, and check every link and picture."""

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


def simulation_tables() -> str:
    """Every distribution of the simulated patients, as Markdown."""
    from gliosuite.perfusion.signal import RELAXIVITY
    from gliosuite.simulate import acquisition, blood, presets, properties, protocols

    text = "# Simulated patients: distributions and constants\n\nWritten by `make docs` from the code that draws them; sources and reasons "
    text += "are in [simulation.md](simulation.md).\n\n## Presets\n"
    usual = presets.card("default")
    for name in presets.PRESETS:
        if name.endswith(presets.TWIN):
            continue
        card = presets.card(name)
        text += (
            f"\n### {name}\n\n{card['about']} Source: {card['source']}. Baseline scan {card['baseline']}; recurrence: "
        )
        text += f"{card['recurrence']}; scanner: {card['protocols']}. Effect: {card['effect']}."
        text += f" Twin: `{card['twin']}`.\n" if card["twin"] else "\n"
        rows = [
            f"| {key} | {_plain(value)} |"
            for part in ("tumours", "people")
            for key, value in card[part].items()
            if name == "default" or value != usual[part][key]
        ]
        if rows:
            said = "distribution" if name == "default" else "distribution, where it differs from default"
            text += "\n".join(["", f"| what | {said} |", "|---|---|", *rows, ""])
    text += "\n## Tissues\n\n" + _table(
        ["class", *properties.PARAMETERS],
        [[n, *(f"{getattr(p, k):.4g}" for k in properties.PARAMETERS)] for n, p in properties.TYPICAL.items()],
    )
    text += "\nLog-SD between patients and within a class:\n\n" + _table(
        ["parameter", "between patients", "within a class"],
        [
            [k, f"{b:g}", f"{properties.WITHIN[k][0]:g}" if k in properties.WITHIN else "-"]
            for k, b in properties.BETWEEN.items()
        ],
    )
    text += "\nRelative change where tumour cells are at full density:\n\n" + _table(
        ["class", "change"],
        [[n, ", ".join(f"{k} {v:+g}" for k, v in d.items())] for n, d in properties.INVADED.items()],
    )
    text += "\n## Scanners\n\n"
    rows = []
    for part in ("vfa", "dce", "dsc", "diffusion", "mrsi"):
        a, b = (vars(getattr(p, part)) for p in (protocols.DEFAULT, protocols.SHIFTED))
        rows += [[f"{part} {k}", str(v), str(b[k]) if b[k] != v else ""] for k, v in a.items()]
    for role, scan in protocols.DEFAULT.structural.items():
        other = vars(protocols.SHIFTED.structural[role])
        rows += [[f"{role} {k}", str(v), str(other[k]) if other[k] != v else ""] for k, v in vars(scan).items()]
    text += _table(["setting", "default", "shifted, where it differs"], rows)
    text += (
        "\n## Effects that can be switched off\n\n"
        + ", ".join(f"`{k}`" for k in acquisition.Effects.__dataclass_fields__)
        + "\n"
    )
    text += f"\nRelaxivity {RELAXIVITY} 1/(mM s); concentrations are convolved every {blood.STEP_S} s.\n"
    return text


def _plain(value: object) -> str:
    return "; ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


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
    tables = ROOT / "Docs" / "simulation-tables.md"
    tables.write_text(simulation_tables(), encoding="utf-8", newline="\n")
    found = broken_links()
    print("\n".join(f"broken link in {b}" for b in found) or f"{len(PAGES)} pages, no broken link")
    sys.exit(bool(found))
