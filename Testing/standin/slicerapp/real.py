"""Slicer's own Python in place of our stand-ins for it, where there is a copy: GLIOSUITE_SLICER_BASE names its folder ``Base/Python``.

Its files are pure Python over qt, ctk and slicer: what they name there and we have not is given as empty classes, which no widget of ours
is.
"""

import importlib
import os
import re
import sys
import types
from pathlib import Path

FILES = ("i18n", "parameterNodeWrapper", "ScriptedLoadableModule")  # in the order in which one needs the other
_NAMED = re.compile(r"\b(qt|ctk|slicer)\.((?:Q|ctk|qMRML|qSlicer)\w+)")


def base() -> Path | None:
    """The folder, or None where the variable is not set.

    Raises
    ------
    FileNotFoundError
        If it holds no Python of Slicer.
    """
    named = os.environ.get("GLIOSUITE_SLICER_BASE")
    if not named:
        return None
    folder = Path(named) / "slicer"
    if not (folder / "ScriptedLoadableModule.py").exists():
        raise FileNotFoundError(
            f"GLIOSUITE_SLICER_BASE names {named}, which has no slicer/ScriptedLoadableModule.py; Slicer's Base/Python is needed"
        )
    return folder


def put(slicer, folder: Path) -> None:
    """Let ``slicer.ScriptedLoadableModule`` and its like be those of a folder."""
    for name in ("qt", "ctk"):
        sys.modules.setdefault(name, types.ModuleType(name))
    slicer.qt, slicer.ctk = sys.modules["qt"], sys.modules["ctk"]
    rooms = {"qt": slicer.qt, "ctk": slicer.ctk, "slicer": slicer}
    for file in folder.rglob("*.py"):
        for room, name in _NAMED.findall(file.read_text(encoding="utf-8")):
            if not hasattr(rooms[room], name):
                setattr(rooms[room], name, type(name, (), {}))
    slicer.app.translate = lambda context, text, *_: text
    slicer.app.moduleManager = lambda: types.SimpleNamespace(connect=lambda *_: None)
    if str(folder) not in slicer.__path__:
        slicer.__path__.insert(0, str(folder))
    for name in FILES:
        for loaded in [m for m in sys.modules if m == f"slicer.{name}" or m.startswith(f"slicer.{name}.")]:
            del sys.modules[loaded]
        setattr(slicer, name, importlib.import_module(f"slicer.{name}"))
