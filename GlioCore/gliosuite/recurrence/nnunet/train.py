"""Training of ``--kind nnunet``: cases in nnU-Net's form, nnU-Net in a process of its own, its networks as a model folder."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...errors import InputError, require
from ...files import read_json, write_json
from ...steps import Progress, part, silent
from ...training.model_folder import Model, read_tensors
from ..ensemble import folds_of
from ..inputs import NOBODY
from .cases import CASES, DATASET, Patient, number, write_dataset
from .job import SIGN, splits
from .predict import THRESHOLD
from .settings import FOLDS, NNUNET, NnunetTraining

_LEAST = 2 * FOLDS  # patients: two in each fold


def train(
    names: Sequence[str],
    read: Callable[[str], Patient],
    settings: NnunetTraining,
    folder: Path,
    device: str = "cpu",
    threads: int = 1,
    progress: Progress = silent,
) -> tuple[Model, dict[str, str]]:
    """Train nnU-Net on patients whose label is known.

    Parameters
    ----------
    names, read
        Patients, and how one is read, by name: many brains of 1 mm are more than memory holds.
    folder
        Where nnU-Net works; what is there already is not done again, if the settings and the patients are the same.
    device
        ``cpu`` or ``cuda``.

    Returns
    -------
    tuple
        The model, whose weights are ``fold_K/`` and what nnU-Net calls them; and the fold of each patient by name, which has not seen him.

    Raises
    ------
    InputError
        If nnunetv2 or torch is missing, patients are too few, nobody recurred, or nnU-Net ends with an error.
    """
    require("torch", "nnU-Net")
    require("nnunetv2", "this kind of recurrence model")
    if len(names) < _LEAST:
        raise InputError(f"there are {len(names)} patients; nnU-Net's five folds need {_LEAST} at least")
    numbers = [number(i) for i in range(len(names))]
    fold = folds_of(len(names), FOLDS, settings.seed).tolist()
    about = asdict(settings) | {
        "patients": list(names),
        "folds": list(settings.folds()),
        "splits": splits(fold, numbers),
        "device": device,
        "threads": threads,
    }
    _same_job(folder, about)
    written = folder / "raw" / DATASET
    if (written / "dataset.json").exists():
        recurred = dict(read_json(written / CASES).values())
    else:
        progress(0.0, "writing the cases for nnU-Net")
        recurred = write_dataset(names, read, folder / "raw")
    if not any(recurred.values()):
        raise InputError(NOBODY)
    _run(folder, part(progress, 0.05, 1.0))
    weights: dict[str, Any] = {}
    for name in settings.folds():
        held = read_tensors((folder / f"fold_{name}.safetensors").read_bytes())
        weights |= {f"fold_{name}/{key}": values for key, values in held.items()}
    made = {
        "kind": NNUNET,
        "settings": asdict(settings),
        "seed": settings.seed,
        "channels": list(settings.images()),
        "grid_mm": settings.grid_mm,
        "folds": list(settings.folds()),
        "mirror": read_json(folder / "mirror.json"),
        "plans": read_json(folder / "plans.json"),
        "dataset": read_json(folder / "dataset.json"),
        "threshold": THRESHOLD,
        "patients": len(names),
        "recurred": sum(recurred.values()),
    }
    return Model(weights, made), {name: str(f) for name, f in zip(names, fold)}


def _same_job(folder: Path, about: dict[str, Any]) -> None:
    """Keep what is to be done beside what it leaves; refuse a folder that holds another job."""
    path = folder / "job.json"
    if path.exists():
        before = read_json(path)
        # Where it runs, and which folds are still to come, may change.
        free = ("device", "threads", "folds", "fold")
        if {k: v for k, v in before.items() if k not in free} != {k: v for k, v in about.items() if k not in free}:
            raise InputError(f"{folder} holds a training with other settings or patients; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, about)


def _run(folder: Path, progress: Progress) -> None:
    """nnU-Net in its process; what it prints goes into ``nnunet.log``. What stops this process stops it too."""
    source = str(Path(__file__).resolve().parents[3])
    paths = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "gliosuite.recurrence.nnunet.job", str((folder / "job.json").resolve())]
    last: list[str] = []
    with (
        (folder / "nnunet.log").open("a", encoding="utf-8") as log,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": paths, "PYTHONIOENCODING": "utf-8"},
            encoding="utf-8",
            errors="replace",
        ) as child,
    ):
        try:
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith(SIGN):
                    progress(*json.loads(line.removeprefix(SIGN)))
                else:
                    log.write(line)
                    last = [*last[-9:], line.strip()]
        except BaseException:
            child.kill()
            raise
    if child.returncode:
        said = next((t for t in reversed(last) if t), "nothing")
        raise InputError(f"nnU-Net ended with an error ({said}); what it printed is in {folder / 'nnunet.log'}")
