"""nnU-Net itself, in a process of its own: ``python -m gliosuite.recurrence.nnunet.job JOB.json``.

A process of its own since nnU-Net takes its folders from the environment as it is imported, prints on stdout, and starts processes that
need a guarded main module. Lines that begin with `SIGN` are progress; all others are nnU-Net's own.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from ...files import read_json, write_json
from ...training.model_folder import write_tensors
from .cases import DATASET
from .predict import owners
from .settings import FOLDS

SIGN = "GLIOSUITE "
_CONFIGURATION = "3d_fullres"


def main(job: Path) -> None:
    """Plan, preprocess and train; what was done already is not done again.

    Leaves, beside the job's file, ``plans.json``, ``dataset.json`` and ``fold_K.safetensors``.
    """
    about = read_json(job)
    folder = job.parent
    for name in ("raw", "preprocessed", "results"):
        (folder / name).mkdir(exist_ok=True)
        os.environ[f"nnUNet_{name}"] = str(folder / name)
    # Compiling takes longer than it saves here.
    os.environ |= {"nnUNet_n_proc_DA": "1", "nnUNet_compile": "f", "nnUNet_def_n_proc": "1"}
    import torch

    torch.set_num_threads(int(about["threads"]))
    plans = _planned(about, folder)
    # A process that reads while another trains may be more than there is memory for; planning takes 0 for a mistake.
    os.environ |= {"nnUNet_n_proc_DA": "0"}
    for k, fold in enumerate(about["folds"]):
        weights = folder / f"fold_{fold}.safetensors"
        if not weights.exists():
            trained = _trained(fold, plans, about, (k / len(about["folds"]), (k + 1) / len(about["folds"])), folder)
            state = trained.network.state_dict()
            own = set(owners(state).values())
            write_tensors(weights, {n: v.float().cpu().numpy() for n, v in state.items() if n in own})
            write_json(folder / "mirror.json", list(trained.inference_allowed_mirroring_axes or ()))
    _say(1.0, "trained")


def _say(fraction: float, message: str) -> None:
    print(SIGN + json.dumps([fraction, message]), flush=True)


def _planned(about: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The plans, made where they are not there yet."""
    path = folder / "plans.json"
    if not path.exists():
        from nnunetv2.experiment_planning.plan_and_preprocess_api import (
            extract_fingerprints,
            plan_experiments,
            preprocess,
        )

        _say(0.0, "nnU-Net looks at the images")
        extract_fingerprints([1], num_processes=1)
        _say(0.03, "nnU-Net makes its plan")
        name = plan_experiments([1], about["planner"], about["memory_gb"])
        _say(0.05, "nnU-Net prepares the images")
        preprocess([1], name, (_CONFIGURATION,), num_processes=(1,))
        made = folder / "preprocessed" / DATASET
        write_json(made / "splits_final.json", about["splits"])
        write_json(folder / "dataset.json", read_json(made / "dataset.json"))
        write_json(path, read_json(made / f"{name}.json"))
    plans: dict[str, Any] = read_json(path)
    return plans


def _trained(fold: str, plans: dict[str, Any], about: dict[str, Any], within: tuple[float, float], folder: Path) -> Any:
    """A trainer whose network is trained."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    base: Any = nnUNetTrainer
    if about["trainer"] != nnUNetTrainer.__name__:
        # Looks through all of nnU-Net's trainers, some of which need packages that nothing else does.
        from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

        base = recursive_find_trainer_class_by_name(about["trainer"])

    class Trainer(base):  # type: ignore[misc, valid-type]  # chosen at run time
        num_epochs: int
        num_iterations_per_epoch: int
        num_val_iterations_per_epoch: int

        # The names of these parameters are read by nnU-Net.
        def __init__(self, plans: dict, configuration: str, fold: Any, dataset_json: dict, device: Any) -> None:
            super().__init__(plans, configuration, fold, dataset_json, device)
            self.num_epochs = about["nnunet_epochs"] or self.num_epochs
            self.num_iterations_per_epoch = about["iterations"] or self.num_iterations_per_epoch
            self.num_val_iterations_per_epoch = min(self.num_val_iterations_per_epoch, self.num_iterations_per_epoch)

        def on_epoch_start(self) -> None:
            super().on_epoch_start()
            done = within[0] + (within[1] - within[0]) * self.current_epoch / self.num_epochs
            _say(0.1 + 0.9 * done, f"fold {fold}, epoch {self.current_epoch + 1} of {self.num_epochs}")

    Trainer.__name__ = base.__name__
    before = folder / "results" / DATASET
    stopped = [p for p in before.glob(f"*/fold_{fold}/checkpoint_*.pth") if not p.name.endswith("_best.pth")]
    trainer = Trainer(
        {**plans, "continue_training": bool(stopped)},
        _CONFIGURATION,
        fold if fold == "all" else int(fold),
        read_json(folder / "dataset.json"),
        torch.device(about["device"]),
    )
    trainer.initialize()
    if stopped:
        trainer.load_checkpoint(str(stopped[0]))
    trainer.run_training()
    return trainer


def splits(fold: list[int], numbers: list[str]) -> list[dict[str, list[str]]]:
    """nnU-Net's ``splits_final.json`` from the fold of each patient."""
    return [
        {
            "train": [n for n, f in zip(numbers, fold) if f != k],
            "val": [n for n, f in zip(numbers, fold) if f == k],
        }
        for k in range(FOLDS)
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
