"""Training of the posterior network on simulated curves, and its calibration on others that it was not trained on."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import require
from ...files import atomic
from ...steps import Progress, part, silent
from ...training import LoopSettings, Model, train
from ...training.loop import PICTURE, draw_history
from ..settings import SynthesisTraining
from .examples import Examples
from .features import NAMES, PARAMETERS, Inputs
from .network import DEGREES, DIAGONAL, LOG_LIMITS, LOWER, N_OUT, N, gaussian
from .posterior import KIND, SPATIAL, beyond, of_neighbours, trained_within
from .spatial import GROUPS, LEVELS
from .spatial_train import Head, calibrate_tissues, train_spatial

HELD_OUT, CALIBRATION = 0.05, 0.1  # shares of the series, in that order after those trained on
_RANGE = 0.0005  # of the inputs at either end, beyond which a voxel lies outside what was trained on; chosen


def train_posterior(
    series: Callable[[np.random.Generator, int], Examples],
    settings: SynthesisTraining,
    folder: Path,
    cuda: bool = False,
    progress: Progress = silent,
    head: Callable[[int, bool], Head] | None = None,
) -> Model:
    """Draw examples, train the ensemble, calibrate its intervals, and then the stage that looks at neighbours, by simulated heads.

    What was done already in `folder` is taken up again.

    Parameters
    ----------
    series
        Examples of one simulated series from a generator and a number of voxels.
    folder
        For examples, checkpoints and pictures.
    cuda
        Train on a CUDA device.
    head
        As `spatial_train.train_spatial` draws them; None, or no heads in the settings, leaves the second stage out.

    Raises
    ------
    InputError
        If torch is missing.
    """
    require("torch", "training")
    whole, progress = progress, part(progress, 0.0, 0.3 if head and settings.heads else 1.0)
    data, ends = _drawn(series, settings, folder, part(progress, 0.0, 0.45))
    histories: dict[str, list[list[float]]] = {}
    weights: dict[str, np.ndarray] = {}
    for member in range(settings.members):
        start = 0.45 + 0.5 * member / settings.members
        told = part(progress, start, start + 0.5 / settings.members)
        found, history = _member(data, ends, settings, member, folder / f"member{member}", cuda, told)
        weights |= {f"{member}.{name}": value for name, value in found.items()}
        histories[f"member {member + 1}"] = history
    progress(0.96, "calibrating")
    some = slice(ends[1], None)
    about = {
        "kind": KIND,
        "parameters": PARAMETERS,
        "inputs": NAMES,
        "settings": settings.__dict__,
        "intervals": calibrate(weights, _rows(data, some), data.truth[some]),
        "trained_between": np.quantile(data.voxels.told[: ends[0]], (_RANGE, 1.0 - _RANGE), axis=0).round(4).tolist(),
    }
    if head and settings.heads:
        networks, intervals, losses = train_spatial(head, weights, settings, folder, cuda, part(whole, 0.3, 1.0))
        for i, (network, history) in enumerate(zip(networks, losses)):
            weights |= {f"{SPATIAL}{i}.{name}": values for name, values in network.items()}
            histories[f"with neighbours {i + 1}"] = history
        about["tissue_intervals"] = intervals
    about["held_out_loss"] = [rows[-1][2] for rows in histories.values()]
    draw_history(histories, folder / PICTURE)
    return Model(weights, about)


def calibrate(weights: Mapping[str, np.ndarray], voxels: Inputs, truth: np.ndarray) -> dict[str, dict[str, float]]:
    """How many of the network's SDs hold the truth in 50, 90 and 95 % of voxels, by level and parameter (split conformal).

    `truth` is in units of ``voxels.width`` from ``voxels.centre``.

    References
    ----------
    Lei J et al., J Am Stat Assoc 2018;113:1094.
    """
    mean, spread = gaussian(weights, voxels)
    off = np.abs(voxels.centre + voxels.width * truth - mean) / spread
    n = len(off)
    return {
        f"{level:g}": dict(
            zip(PARAMETERS, np.quantile(off, min(np.ceil((n + 1) * level) / n, 1.0), axis=0).round(4).tolist())
        )
        for level in LEVELS
    }


def recalibrate(model: Model, heads: Iterable[Head]) -> Model:
    """The same networks with intervals that hold the truth of other heads, tissue by tissue; voxels that show the fit do not count.

    Parameters
    ----------
    model
        With a stage that looks at neighbours.
    heads
        Whose series the model takes, one at a time.
    """
    within = trained_within(model)
    counts = lambda one: ~beyond(one.voxels.told, *within)
    intervals = calibrate_tissues(of_neighbours(model), model.weights, heads, counts)
    # What was measured of the model was measured with other intervals.
    about = {key: value for key, value in model.about.items() if key != "figures"}
    return Model(model.weights, about | {"tissue_intervals": intervals})


def _rows(data: Examples, rows: slice) -> Inputs:
    return Inputs(data.voxels.told[rows], data.voxels.centre[rows], data.voxels.width[rows])


def _drawn(
    series: Callable[[np.random.Generator, int], Examples],
    settings: SynthesisTraining,
    folder: Path,
    progress: Progress,
) -> tuple[Examples, tuple[int, int]]:
    """All examples, and where those to train on and those held out end; each series from its own seed."""
    path = folder / f"examples-{settings.seed}-{settings.series}-{settings.voxels}.npz"
    if path.exists():
        with np.load(path) as saved:
            data = Examples(Inputs(saved["told"], saved["centre"], saved["width"]), saved["truth"], saved["tissue"])
            return data, (int(saved["ends"][0]), int(saved["ends"][1]))
    parts = []
    for i in range(settings.series):
        progress(i / settings.series, f"simulated series {i + 1} of {settings.series}")
        parts.append(series(np.random.default_rng([settings.seed, i]), settings.voxels))
    sizes = np.cumsum([len(one.truth) for one in parts])
    cut = [round(settings.series * share) - 1 for share in (1 - HELD_OUT - CALIBRATION, 1 - CALIBRATION)]
    ends = (int(sizes[cut[0]]), int(sizes[cut[1]]))
    voxels = Inputs(*(np.concatenate([getattr(p.voxels, k) for p in parts]) for k in ("told", "centre", "width")))
    data = Examples(voxels, np.concatenate([p.truth for p in parts]), np.concatenate([p.tissue for p in parts]))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file, open(file, "wb") as out:
        np.savez(out, **voxels.__dict__, truth=data.truth, tissue=data.tissue, ends=np.array(ends))
    return data, ends


def _member(
    data: Examples,
    ends: tuple[int, int],
    settings: SynthesisTraining,
    member: int,
    folder: Path,
    cuda: bool,
    progress: Progress,
) -> tuple[dict[str, np.ndarray], list[list[float]]]:
    """One network of the ensemble: its weights as `network.layers` reads them, and how its loss went."""
    import torch

    torch.manual_seed(1000 * settings.seed + member)
    sizes = [len(NAMES), *[settings.width] * 3, N_OUT]
    layers: list[Any] = []
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        layers += [torch.nn.Linear(a, b), *([torch.nn.ReLU()] if i < len(sizes) - 2 else [])]
    network = torch.nn.Sequential(*layers)
    # It begins with the product of fit and prior as it is.
    torch.nn.init.zeros_(layers[-1].weight)
    torch.nn.init.zeros_(layers[-1].bias)
    device = "cuda" if cuda else "cpu"
    put = lambda values: torch.from_numpy(np.ascontiguousarray(values)).to(device)
    told, truth = put(data.voxels.told), put(data.truth)

    def loss(model: Any, rows: Any) -> Any:
        out = model(told[rows])
        diagonal = out[:, N:][:, DIAGONAL].clamp(*LOG_LIMITS)
        off = truth[rows] - out[:, :N]
        # The Cholesky factor is of unit-free entries; the residual is solved for row by row.
        entries = out[:, N:]
        solved: list[Any] = []
        for i in range(N):
            value = off[:, i]
            for j in range(i):
                value = value - entries[:, int(np.flatnonzero((LOWER[0] == i) & (LOWER[1] == j))[0])] * solved[j]
            solved.append(value * torch.exp(-diagonal[:, i]))
        square = torch.stack(solved, dim=1) ** 2
        # As of Student's t with few degrees of freedom where the truth is far: one AIF that went wrong must not decide.
        return (DEGREES + 1.0) / 2.0 * torch.log1p(square / DEGREES).sum(1).mean() + diagonal.sum(1).mean()

    def step(model: Any, i: int) -> Any:
        rng = np.random.default_rng([settings.seed, member, i])
        return loss(model, put(rng.integers(0, ends[0], settings.batch)))

    rows = put(np.arange(ends[0], ends[1]))
    folder.mkdir(parents=True, exist_ok=True)
    history = train(
        network,
        step,
        lambda model: float(loss(model, rows)),
        LoopSettings(settings.steps, device=device),
        folder,
        progress,
        f"network {member + 1} of {settings.members}",
    )
    found = {}
    for i, layer in enumerate(m for m in network if isinstance(m, torch.nn.Linear)):
        found[f"{i}.weight"] = np.ascontiguousarray(layer.weight.detach().cpu().numpy().T)
        found[f"{i}.bias"] = layer.bias.detach().cpu().numpy()
    return found, history


def card(model: Model) -> str:
    """The model card as Markdown: what it is, how it was made, what it must not be taken for."""
    about, settings = model.about, model.about["settings"]
    spatial = "tissue_intervals" in about
    if spatial:
        held = about["tissue_intervals"]["0.95"]
        head = " | ".join(("parameter", *GROUPS))
        rows = [" | ".join((name, *(f"{v:.2f}" for v in held[name]))) for name in PARAMETERS]
    else:
        head, rows = "parameter | SDs", [f"{name} | {about['intervals']['0.95'][name]:.2f}" for name in PARAMETERS]
    table = "\n".join(f"| {row} |" for row in (head, " | ".join(["---"] * len(head.split(" | "))), *rows))
    size = sum(values.size for name, values in model.weights.items() if name.startswith(SPATIAL))
    of = settings.get
    anew = about.get("recalibrated")
    by = (
        f"{anew['cases']} simulated cases (`{anew['command']}`)"
        if anew
        else f"the {of('calibration_heads')} after those"
    )
    neighbours = f"""* **Neighbours.** Convolutional networks ({of("spatial_members")}, {size} numbers in all) each give a voxel the
  Gaussian of its surroundings, which is multiplied with its own. They learned from {of("heads")} simulated heads from seed
  {of("first_head")} on; {by} calibrated the intervals, tissue by tissue ("fluid" is CSF and cavity,
  "beside" what lies outside the brain).
"""
    figures = "".join(f"\n{line}" for line in about.get("figures", []))
    return f"""# Posterior of DCE parameters

An ensemble of {settings["members"]} perceptrons that refine a fit of extended Tofts with delay: they read the fit, its standard
deviations and how the series was taken, and give a Gaussian of ktrans, ve, vp and delay.

* **Trained on** simulated curves ({settings["series"]} series, seed {settings["seed"]}) and heads; no patient's data.
{neighbours if spatial else ""}* **Made by** `{about.get("command", "")}`
* **Held-out loss** {", ".join(f"{v:.3f}" for v in about["held_out_loss"])}
* **Intervals** are calibrated on simulated data of their own. SDs on either side of the median that hold 95 % of the truth (a Gaussian's
  would be 1.96):

{table}
{figures}
**Limits.** Frames of 1.5 to 8.5 s, a baseline and 110 s behind the arrival at least; brain; a gadolinium agent. Errors of the AIF that are
larger than those simulated are not in the intervals. What real tissue does that extended Tofts does not is not in them either. Research use
only.
"""
