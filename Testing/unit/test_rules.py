"""The house's rules, held by reading the source: who may import whom, and what nobody may use."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "GlioCore"
LIBRARY = ROOT / "gliosuite"
FILES = sorted(LIBRARY.rglob("*.py"))

GROUND = {
    "errors",
    "files",
    "steps",
    "settings",
    "resources",
    "compute",
    "images",
    "atlas",
    "curves",
    "statistics",
    "case",
    "roles",
}
FIRST = {"registration", "lesions", "dicom", "perfusion", "recurrence", "rt", "diffusion", "metabolites"}
TOP = {
    "training",
    "studies",
    "cohort",
    "pipeline",
    "report",
    "doctor",
    "commands",
    "cli",
    "__main__",
}
BESIDE = {"mrml", "ui"}
PLAIN = {"numpy", "scipy", "SimpleITK"}  # what every Slicer has
OWN = {"mrml": {"slicer", "vtk"}, "ui": {"slicer", "vtk", "qt", "ctk"}}


def parts(path: Path) -> tuple[str, ...]:
    return path.relative_to(LIBRARY).with_suffix("").parts


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def own_imports(path: Path) -> Iterator[tuple[str, ...]]:
    """The library's modules that a file imports, anywhere in it, as parts below ``gliosuite``."""
    package = parts(path)[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = (*base, *(node.module.split(".") if node.module else ()))
            yield from [module] if node.module else [(*module, a.name) for a in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gliosuite":
            below = tuple((node.module or "").split(".")[1:])
            yield from [below] if below else [(a.name,) for a in node.names]
        elif isinstance(node, ast.Import):
            yield from (tuple(a.name.split(".")[1:]) for a in node.names if a.name.startswith("gliosuite."))


def at_import(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when a module is imported: not those in functions, nor those for type checkers."""
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from at_import(node.orelse)
            continue
        yield node
        for name in ("body", "orelse", "finalbody"):
            yield from at_import(getattr(node, name, []))
        for handler in getattr(node, "handlers", []):
            yield from at_import(handler.body)


def foreign(node: ast.AST) -> list[str]:
    """Names of the packages that an import statement brings in from outside the library."""
    if isinstance(node, ast.Import):
        names = [a.name for a in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level:
        names = [node.module or ""]
    else:
        return []
    return [
        n.split(".")[0] for n in names if n.split(".")[0] not in sys.stdlib_module_names | {"gliosuite", "__future__"}
    ]


def may_import(importer: tuple[str, ...], imported: tuple[str, ...]) -> bool:
    here, there = importer[0], imported[0]
    if here == there or there in GROUND:
        return True
    if here in GROUND:
        return False
    if here == "training":
        return False
    if there == "training" and (here == "recurrence" or importer[:2] == ("perfusion", "synthesis")):
        return True
    if here in FIRST:
        return here == "rt" and imported[:2] == ("dicom", "geometry")
    if here == "simulate":
        return imported[:2] in (("perfusion", "kinetics"), ("perfusion", "signal")) or there == "metabolites"
    if here == "ui":
        return True
    return there not in BESIDE


def siblings(parent: tuple[str, ...]) -> dict[str, set[str]]:
    """The rooms (files and folders) directly in a folder, and which of their siblings each imports."""
    known = {parts(p) for p in FILES}
    graph: dict[str, set[str]] = {}
    for path in FILES:
        here = parts(path)
        if here[: len(parent)] != parent or here == (*parent, "__init__"):
            continue
        reached = graph.setdefault(here[len(parent)], set())
        for module in own_imports(path):
            if module[: len(parent)] == parent and len(module) > len(parent):
                reached.add(module[len(parent)])
    names = {n for n in graph if (*parent, n) in known or (*parent, n, "__init__") in known}
    return {n: (graph[n] & names) - {n} for n in names}


def floors(graph: dict[str, set[str]]) -> int:
    """How many floors a house of these rooms has; a circle has none."""
    from graphlib import TopologicalSorter

    height: dict[str, int] = {}
    for room in TopologicalSorter(graph).static_order():  # raises CycleError with the circle's rooms
        height[room] = 1 + max((height[r] for r in graph[room]), default=0)
    return max(height.values())


FOLDERS = sorted({parts(p)[:-1] for p in FILES if p.name == "__init__.py"})


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: "/".join(f) or "gliosuite")
def test_no_circles_and_at_most_nine_floors(folder):
    graph = siblings(folder)
    assert not graph or floors(graph) <= 9, graph


def test_floors_see_a_circle_and_count_a_stair():
    from graphlib import CycleError

    assert floors({"a": {"b"}, "b": {"c"}, "c": set()}) == 3
    with pytest.raises(CycleError):
        floors({"a": {"b"}, "b": {"a"}})


def test_every_file_has_a_room():
    known = GROUND | FIRST | TOP | BESIDE | {"simulate", "__init__"}
    unknown = sorted({parts(p)[0] for p in FILES} - known)
    assert not unknown, f"say in {Path(__file__).name} on which floor these stand: {', '.join(unknown)}"


def test_rooms_import_only_what_they_may():
    wrong = [
        f"{'/'.join(parts(path))} imports {'.'.join(module)}"
        for path in FILES
        if parts(path) != ("__init__",)
        for module in own_imports(path)
        if module and not may_import(parts(path), module)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_package_itself_imports_nothing():
    assert not [n for n in ast.walk(tree(LIBRARY / "__init__.py")) if isinstance(n, (ast.Import, ast.ImportFrom))]


def test_other_packages_are_imported_inside_functions():
    wrong = [
        f"{'/'.join(parts(path))}:{node.lineno} imports {name} at its top"
        for path in FILES
        for node in at_import(tree(path).body)
        for name in foreign(node)
        if name not in PLAIN | OWN.get(parts(path)[0], set())
    ]
    assert not wrong, "\n".join(wrong)


def test_slicer_and_qt_stay_in_their_rooms():
    wrong = [
        f"{'/'.join(parts(path))}:{node.lineno} imports {name}"
        for path in FILES
        for node in ast.walk(tree(path))
        for name in foreign(node)
        if name in ("slicer", "vtk", "qt", "ctk") and name not in OWN.get(parts(path)[0], set())
    ]
    assert not wrong, "\n".join(wrong)


def test_commands_import_no_numbers_before_they_run():
    wrong = [
        f"{path.name}:{node.lineno} imports {name} at its top"
        for path in [*(LIBRARY / "commands").glob("*.py"), LIBRARY / "cli.py", LIBRARY / "__main__.py"]
        for node in at_import(tree(path).body)
        for name in foreign(node)
    ]
    assert not wrong, "\n".join(wrong)


_ONLY_IN_IMAGES = {"ReadImage", "WriteImage", "ImageSeriesReader", "ImageFileReader", "ImageFileWriter"}


def test_images_alone_reads_and_writes_images():
    wrong = [
        f"{'/'.join(parts(path))}:{node.lineno} uses {node.attr}"
        for path in FILES
        if parts(path)[0] != "images"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr in _ONLY_IN_IMAGES
    ]
    assert not wrong, "\n".join(wrong)


_UNIX = {"resource", "fcntl", "pwd", "grp", "termios"}


def test_nothing_needs_unix():
    wrong = []
    for path in FILES:
        for node in ast.walk(tree(path)):
            where = f"{'/'.join(parts(path))}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import) and _UNIX & {a.name for a in node.names}:
                wrong.append(f"{where} {ast.unparse(node)}")
            if isinstance(node, ast.ImportFrom) and not node.level and node.module in _UNIX:
                wrong.append(f"{where} {ast.unparse(node)}")
            if isinstance(node, ast.Attribute) and ast.unparse(node) in (
                "os.fork",
                "os.kill",
                "os.killpg",
                "os.getuid",
            ):
                wrong.append(f"{where} {ast.unparse(node)}")
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and node.value.startswith(("/tmp", "/var/", "/home/"))
            ):
                wrong.append(f"{where} {node.value!r}")
    assert not wrong, "\n".join(wrong)


_HIDDEN = """
import importlib, os, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HIDDEN:
            raise ImportError(f"{name} is hidden")

HIDDEN = {"torch", "matplotlib", "pydicom", "highdicom", "sklearn", "pandas", "lifelines", "nilearn", "slicer", "vtk", "qt", "ctk",
          "resource", "fcntl", "pwd", "grp"}
sys.meta_path.insert(0, Hidden())
for gone in ("fork", "kill"):
    if hasattr(os, gone):
        delattr(os, gone)
for name in sys.argv[1:]:
    importlib.import_module(name)
loaded = sorted(HIDDEN & {name.split(".")[0] for name in sys.modules if sys.modules[name] is not None} - BEFORE)
assert not loaded, loaded
"""


def test_all_modules_load_without_optional_packages():
    names = [
        ".".join(("gliosuite", *parts(p))).removesuffix(".__init__")
        for p in FILES
        if parts(p)[0] not in (*BESIDE, "__main__")
    ]
    # subprocess itself may need fcntl on some systems, so what is loaded before counts as there.
    code = "import subprocess, tempfile, sys\nBEFORE = {n.split('.')[0] for n in sys.modules}\n" + _HIDDEN
    done = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "importer, imported, allowed",
    [
        (("rt", "ctv"), ("images",), True),
        (("rt", "ctv"), ("perfusion", "fit"), False),
        (("images",), ("case",), True),
        (("images",), ("rt",), False),
        (("simulate", "phantom"), ("perfusion", "kinetics"), True),
        (("simulate", "phantom"), ("perfusion", "fit"), False),
        (("commands", "rt"), ("rt", "ctv"), True),
        (("cli",), ("mrml",), False),
        (("rt", "rtstruct", "export"), ("dicom", "geometry"), True),
        (("rt", "rtstruct", "export"), ("dicom", "sort"), False),
        (("lesions", "brain"), ("registration",), False),
        (("perfusion", "synthesis", "train"), ("training",), True),
        (("perfusion", "dce", "maps"), ("training",), False),
        (("training", "loop"), ("perfusion", "fit"), False),
    ],
)
def test_the_rule_itself(importer, imported, allowed):
    assert may_import(importer, imported) is allowed


def sentences(path: Path) -> Iterator[ast.Constant]:
    """The strings of a file that a person may read: no docstrings, and no help of settings, which is the command line's own."""
    skipped, nodes = set(), list(ast.walk(tree(path)))
    for node in nodes:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and isinstance(node.body[0], ast.Expr):
            skipped.add(node.body[0].value)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("setting", "same"):
            skipped |= {inner for k in (*node.args, *node.keywords) for inner in ast.walk(k)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield node


@pytest.mark.parametrize("path", FILES, ids=lambda p: "/".join(parts(p)))
def test_a_sentence_leaves_the_name_of_an_option_to_the_door(path):
    """``option("--baseline")``: the command, a run and a panel have their own names for it."""
    # Commands and runs say their own options, and those of `import` alone are in dicom; other programs have options too.
    if parts(path)[0] in {"commands", "cli", "pipeline", "dicom", "report"}:
        return
    said = [n.value for n in sentences(path) if " " in n.value.strip() and re.search(r"(?<![\w-])--[a-z]", n.value)]
    assert [s for s in said if not re.search(r"gliosuite \w+ --", s)] == []
