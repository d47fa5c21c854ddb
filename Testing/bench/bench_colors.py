"""Contours told apart by readers with and without colour blindness: the least difference (CIEDE2000) of those that are drawn together.

``python Testing/bench/bench_colors.py`` (a second). `eyes` in Testing/standin says how it is measured, and which bars.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "GlioCore"), str(ROOT / "Testing" / "standin")]

from eyes import closest, groups


def main() -> int:
    """Print the table; 1 where a bar is missed."""
    failed = False
    print(f"{'contours':42} {'least':>6} {'bar':>5}  between, to whom")
    for what, colors, bar in groups():
        least, who, first, second = closest(colors)
        failed |= least < bar
        print(f"{what:42} {least:6.1f} {bar:5.1f}  {first} and {second}, {who}{'' if least >= bar else '  MISSED'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
