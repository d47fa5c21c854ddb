"""``doctor``."""

import argparse
import sys
from collections.abc import Callable
from typing import Any


def register(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``doctor``."""
    add("doctor", "say what is installed, what each missing piece switches off, and how to get it").set_defaults(
        run=_doctor
    )


def _doctor(args: argparse.Namespace, progress: Callable[[float, str], None]) -> dict[str, Any]:
    from ..doctor import examine, machine

    findings = examine()
    for f in findings:
        text = f.detail if f.found else f"missing: {f.piece.without}. Get it: {f.piece.get}"
        print(f"{'ok ' if f.found else '-- '} {f.piece.name:15} {text}", file=sys.stderr)
    return machine() | {
        "pieces": {
            f.piece.name: {"found": f.found, "detail": f.detail}
            | ({} if f.found else {"switches_off": f.piece.without, "get": f.piece.get})
            for f in findings
        }
    }
