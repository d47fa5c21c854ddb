"""What a command reads and where it writes, looked at before anything is computed: missing files, results that would replace inputs.

What an option holds is said here by its name (a test sees to it that none is left out), so that all commands are alike.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import check_room
from ..recurrence.patterns.settings import SHIPPED
from ..recurrence.survival import settings as survival
from .masks import in_structure_set

INTO_FILES = (
    "aif",
    "ctv",
    "motion",
    "radiomics",
    "recurrence why",
    "register",
    "rtstruct",
)  # the commands whose --out is a file, not a folder
# By option, or by command and option where commands differ.
WRITES = {"out", "gtv_out", "label_out", "picture", "seg", "registration", "register.transform"}
READS = {
    *("series", "times", "mask", "t10", "b1", "aif", "roi", "nawm", "brain", "lesion", "regions", "vfa", "ir", "onto"),
    *("fixed", "moving", "label", "fixed_mask", "moving_mask", "landmarks", "image", "labelmap", "barriers"),
    *("t1", "t1c", "t2", "flair", "cel", "t2l", "nel", "necrosis", "cavity", "ventricles", "critical", "probability"),
    *("validation", "schemes", "ctvs", "reference", "dose", "append", "transform", "planning", "check", "source"),
    *("case", "folder"),
    *("dti", "adc", "fa", "cho", "cre", "naa", "lac", "lip", "cni", "ccri", "crni", "dce", "dsc", "ct"),
    *("progression_cel", "progression_t2l", "dicom", "dce_times", "dsc_times", "model_folder", "cases"),
    *("recurrence_model", "results", "bval", "bvec", "dti_bval", "dti_bvec"),
    *("table", "survival score.model", "habitats predict.model", "cbv", "against", "outcomes"),
    *("artery", "gm", "wm", "csf"),
}
NEITHER = {
    *("names", "threads", "rtstruct.label", "role", "skip", "case_id", "import.baseline", "scheme", "through", "like"),
    *("stages", "brainsfit", "convention", "flip_angles", "ti_ms", "aif_points", "at", "bounds", "probability_source"),
    *("flip_angle", "dce_flip_angle", "dsc_flip_angle", "vfa_flip_angle"),
    *("series_uid", "accepted_by", "drafts_accepted_by", "preset", "scans", "without", "protocol", "kind"),
    *("bases", "learning_rates", "batches"),
    *("channels", "fold", "trainer", "planner", "threshold", "min_voxels"),
    *("time", "event", "event_value", "covariates", "categories", "references", "group", "unit", "cut"),
    *("outcome", "positive", "features", "recurrence"),
}
_WORDS = (
    "auto",
    "none",
    "brain",
    "parker",
    "georgiou",
    "shipped",
    "network",
    *survival.PUBLISHED,
    survival.SHIPPED,
    *SHIPPED,
)  # in place of a file
_WORDY = (
    "aif",
    "t10",
    "nawm",
    "barriers",
)  # where what looks like no file is a misspelt word, which the command knows better
_OWN_WORDS = (
    "case",
    "folder",
    "source",
    "results",
    "table",
)  # what says more of one that is missing than that it is missing
_MIXED = ("import", "case", "simulate", "demo")  # what writes folders beside what it reads


def of_kind(command: str, option: str, kind: set[str]) -> bool:
    """Whether an option of a command is one of a kind (`WRITES`, `READS`, `NEITHER`)."""
    own = f"{command}.{option}"
    listed = [k for k in (WRITES, READS, NEITHER) if own in k]
    return own in kind if listed else option in kind


def check_places(args: argparse.Namespace) -> set[Path]:
    """Refuse inputs that are missing, and results that cannot be written or would replace an input; the files that are read.

    Raises
    ------
    InputError
        One sentence that names all of them.
    """
    given = {o: v for o, v in vars(args).items() if v not in (None, [], "") and not isinstance(v, bool)}
    words = getattr(args, "words", {})
    named = lambda option: words.get(option) or "--" + option.replace("_", "-")
    reads = [(o, p) for o, v in given.items() if of_kind(args.command, o, READS) for p in _paths(v)]
    told = lambda option, path: (
        option in _OWN_WORDS or (option in _WORDY and path.name == str(path) and not path.suffix)
    )
    missing = [f"{p} ({named(o)})" for o, p in reads if not p.exists() and not told(o, p)]
    if missing:
        listed = " and ".join(dict.fromkeys(missing))
        raise InputError(f"{listed} {'does' if len(missing) == 1 else 'do'} not exist")
    writes = {o: Path(v) for o, v in given.items() if of_kind(args.command, o, WRITES)}
    inputs = {p.resolve() for _, p in reads if p.exists()}
    seen: dict[Path, str] = {}
    for option, path in writes.items():
        into_folder = option == "out" and args.command not in INTO_FILES
        _keep(path, into_folder and args.command not in _MIXED, inputs, named(option))
        if path.resolve() in seen:
            raise InputError(f"{seen[path.resolve()]} and {named(option)} name one file, {path}; each needs its own")
        seen[path.resolve()] = named(option)
        check_room(path, into_folder)
    return {p for p in inputs if p.is_file()}


def _paths(value: Any) -> Iterator[Path]:
    """The files and folders in the value of an option: without names before ``=``, ROIs after ``RS.dcm:``, numbers and words."""
    if isinstance(value, (list, tuple)):
        # NAME=MASK comes as a pair.
        for one in value[1:] if isinstance(value, tuple) and len(value) == 2 else value:
            yield from _paths(one)
        return
    from ..images import chosen

    text = str(value)
    head, equals, tail = text.partition("=")
    if equals and "/" not in head and not Path(text).exists():
        text = tail
    inside = in_structure_set(text)
    text = inside[0] if inside else chosen(text)[0]
    try:
        float(text)
    except ValueError:
        if text not in _WORDS:
            yield Path(text)


def _keep(path: Path, into_folder: bool, inputs: set[Path], option: str) -> None:
    """Refuse a result that is an input, or that would replace a file of one."""
    out = path.resolve()
    if out in inputs or (out.is_file() and any(p in out.parents for p in inputs)):
        raise InputError(
            f"{path} ({option}) is read by this command and would be replaced; choose another name for the result"
        )
    beside = next((p for p in sorted(inputs) if into_folder and p.is_file() and p.parent == out), None)
    if beside is not None:
        raise InputError(
            f"{path} ({option}) holds {beside.name}, which this command reads; results need a folder of their own, e.g. {path / 'results'}"
        )
