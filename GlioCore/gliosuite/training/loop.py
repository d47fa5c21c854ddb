"""The training loop: seeded, resumable after a stop, ended early where asked, with a table and a picture of how the loss went."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import cos, inf, pi
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import require
from ..files import atomic, write_csv
from ..steps import Progress, silent

if TYPE_CHECKING:
    import torch

CHECKPOINT, HISTORY, PICTURE = "checkpoint.pt", "learning.csv", "learning.png"


@dataclass(frozen=True)
class LoopSettings:
    """How a network is trained.

    Parameters
    ----------
    steps
        Of the optimiser.
    rate
        Highest learning rate; it rises over the first `warm_up` steps and falls as a cosine.
    decay
        Weight decay.
    every
        Steps between looks at held-out data, each with a checkpoint.
    device
        ``"cpu"`` or ``"cuda"``; on the latter in mixed precision.
    half
        Mixed precision on the processor too.
    patience
        Looks without a better held-out loss after which it ends, the network as it was at the best; 0 for all steps and the last.
    """

    steps: int
    rate: float = 1e-3
    decay: float = 1e-4
    warm_up: int = 100
    every: int = 500
    device: str = "cpu"
    half: bool = False
    patience: int = 0


def train(
    network: "torch.nn.Module",
    loss: "Callable[[torch.nn.Module, int], torch.Tensor]",
    held_out: "Callable[[torch.nn.Module], float]",
    settings: LoopSettings,
    folder: Path,
    progress: Progress = silent,
    title: str = "",
    optimizer_of: "Callable[[Iterable[Any]], Any] | None" = None,
) -> list[list[float]]:
    """Train a network in place; a run that was stopped goes on from its last checkpoint in `folder`.

    Parameters
    ----------
    loss
        Of the network at a step, by whose number alone its batch is chosen, so that a run that went on equals one that never stopped.
    held_out
        Loss on data that are not trained on.
    title
        What progress and picture call it.
    optimizer_of
        Makes the optimiser of parameters, at rate `LoopSettings.rate`; AdamW where None.

    Returns
    -------
    list
        Rows ``step, loss, held_out``.

    Raises
    ------
    InputError
        If torch is missing.
    """
    torch: Any = require("torch", "training")
    device = torch.device(settings.device)
    network.to(device)
    adamw = lambda parameters: torch.optim.AdamW(parameters, lr=settings.rate, weight_decay=settings.decay)
    optimizer = (optimizer_of or adamw)(network.parameters())
    shape = lambda i: min((i + 1) / settings.warm_up, 1.0) * 0.5 * (1.0 + cos(pi * i / settings.steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)
    saved, history, first, best = folder / CHECKPOINT, [], 0, None
    if saved.exists():
        state = torch.load(saved, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        history, first, best = state["history"], state["step"], state["best"]
    started, running = time.perf_counter(), 0.0
    for i in range(first, settings.steps):
        if _settled(history, settings.patience):
            break
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.half or device.type == "cuda"):
            value = loss(network, i)
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        running += float(value.detach())
        if (i + 1) % settings.every and i + 1 < settings.steps:
            continue
        with torch.no_grad():
            outside = held_out(network)
        history.append([i + 1, running / ((i % settings.every) + 1), outside])
        running = 0.0
        if settings.patience and outside < min((row[2] for row in history[:-1]), default=inf):
            best = {name: values.clone() for name, values in network.state_dict().items()}
        left = (time.perf_counter() - started) / (i + 1 - first) * (settings.steps - i - 1)
        progress((i + 1) / settings.steps, f"{title}: held-out loss {outside:.3f}, {left:.0f} s left".lstrip(": "))
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": i + 1, "best": best}
        with atomic(saved) as path:
            torch.save({**state, "schedule": schedule.state_dict(), "history": history}, path)
        write_csv(folder / HISTORY, ["step", "loss", "held_out"], history)
    if best is not None:
        network.load_state_dict(best)
    return history


def _settled(history: list[list[float]], patience: int) -> bool:
    """Whether no look of the last `patience` was better than those before."""
    outside = [row[2] for row in history]
    return 0 < patience < len(outside) and min(outside[-patience:]) >= min(outside[:-patience])


def draw_history(histories: dict[str, list[list[float]]], path: Path) -> None:
    """A picture of how losses went: dashed on the data trained on, whole on those held out.

    Raises
    ------
    InputError
        If matplotlib is missing.
    """
    require("matplotlib.figure", f"the picture {path.name}")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for i, (name, rows) in enumerate(histories.items()):
        steps = [row[0] for row in rows]
        axes.plot(steps, [row[1] for row in rows], "--", lw=1, color=f"C{i}")
        axes.plot(steps, [row[2] for row in rows], lw=1.5, color=f"C{i}", label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_title("dashed: trained on; whole: held out", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    with atomic(path) as file:
        figure.savefig(file, dpi=100, metadata={"Software": None}, format="png")
