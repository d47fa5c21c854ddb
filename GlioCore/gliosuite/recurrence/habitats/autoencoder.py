"""Yun's autoencoder: one block of a convolution to 5 latents, two layers back to the curve. Applied by numpy alone, trained by torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import require
from ...steps import Progress, silent
from .curves import POINTS
from .settings import HabitatTraining

LATENTS, FILTERS, _KERNEL, _POOL, _HIDDEN = 5, 32, 2, 2, 32
_POOLED = (POINTS - _KERNEL + 1) // _POOL
_AT_ONCE = 4096  # curves held in memory as filtered ones


def encode(weights: Mapping[str, np.ndarray], curves: np.ndarray) -> np.ndarray:
    """Latents (n, 5) of curves (n, 60).

    Their axes are those along which decoded curves spread, the widest first (see `train_autoencoder`).
    """
    found = np.empty((len(curves), LATENTS), np.float32)
    for start in range(0, len(curves), _AT_ONCE):
        x = np.asarray(curves[start : start + _AT_ONCE], np.float32)
        pairs = np.stack([x[:, :-1], x[:, 1:]], axis=-1)
        filtered = np.maximum(pairs @ weights["filters"] + weights["filters_offset"], 0)
        pooled = filtered[:, : _POOL * _POOLED].reshape(len(x), _POOLED, _POOL, FILTERS).max(axis=2)
        found[start : start + len(x)] = pooled.reshape(len(x), -1) @ weights["latent"] + weights["latent_offset"]
    return found


def decode(weights: Mapping[str, np.ndarray], latents: np.ndarray) -> np.ndarray:
    """Curves (n, 60) of latents (n, 5)."""
    hidden = np.maximum(latents @ weights["hidden"] + weights["hidden_offset"], 0)
    return hidden @ weights["out"] + weights["out_offset"]


def train_autoencoder(
    curves: np.ndarray, settings: HabitatTraining, folder: Path, progress: Progress = silent
) -> tuple[dict[str, np.ndarray], list[list[float]]]:
    """Train on curves (n, 60); the weights that `encode` and `decode` take, and how the loss went (`training.train`).

    Latents are only known up to an invertible map, which differs from seed to seed and stretches what no curve shows. They are brought to
    one form, which is part of the weights: axes along which decoded curves spread most, in units of their root mean square difference
    over the root of that spread. By curves' own distance k-means would see the baseline alone, in which 60 points differ where the drop
    has a dozen; by axes of one spread, noise would count as much as the baseline.

    Raises
    ------
    InputError
        If torch is missing.
    """
    torch: Any = require("torch", "training")
    from ...training import LoopSettings, train

    torch.manual_seed(settings.seed)
    nn = torch.nn
    mean = curves.mean(axis=0, dtype=np.float64).astype(np.float32)
    network = nn.ModuleDict(
        {
            "filters": nn.Linear(
                _KERNEL, FILTERS
            ),  # of pairs of neighbours: a convolution of two points, twice as fast
            "norm": nn.BatchNorm1d(FILTERS),
            "latent": nn.Linear(FILTERS * _POOLED, LATENTS),
            "hidden": nn.Linear(LATENTS, _HIDDEN),
            "out": nn.Linear(_HIDDEN, POINTS),
        }
    )
    with torch.no_grad():
        network["out"].bias.copy_(torch.from_numpy(mean))
    drop = nn.Dropout(settings.dropout)

    def rebuilt(x: Any) -> Any:
        first, second = (
            network["filters"](
                torch.stack([x[:, i : i + 2 * _POOLED : 2], x[:, i + 1 : i + 1 + 2 * _POOLED : 2]], dim=-1)
            )
            for i in (0, 1)
        )
        pooled = torch.relu(torch.maximum(first, second)).reshape(-1, FILTERS)
        latents = network["latent"](drop(network["norm"](pooled).reshape(len(x), -1)))
        return network["out"](torch.relu(network["hidden"](latents)))

    order = np.random.default_rng([settings.seed, 1]).permutation(len(curves))
    aside = order[: max(1, min(len(curves) // 10, 10000))]
    rest = order[len(aside) :] if len(curves) > 20 else order
    held = torch.from_numpy(curves[aside])
    batch = min(settings.batch, len(rest))

    def loss(net: Any, step: int) -> Any:
        net.train(), drop.train()
        rows = np.random.default_rng([settings.seed, 2, step]).integers(0, len(rest), batch)
        x = torch.from_numpy(curves[rest[rows]])
        return nn.functional.mse_loss(rebuilt(x), x)

    def held_out(net: Any) -> float:
        net.eval(), drop.eval()
        return float(nn.functional.mse_loss(rebuilt(held), held))

    loop = LoopSettings(settings.steps, settings.rate, 0.0, min(50, settings.steps), max(settings.steps // 4, 1))
    history = train(network, loss, held_out, loop, folder, progress, "autoencoder")
    return _plain(network, curves[aside]), history


def _plain(network: Any, some: np.ndarray) -> dict[str, np.ndarray]:
    """A trained network as arrays, normalisation folded into the layer after it and latents brought to one form."""
    w = {name: value.detach().numpy().astype(np.float64) for name, value in network.state_dict().items()}
    scale = w["norm.weight"] / np.sqrt(w["norm.running_var"] + network["norm"].eps)
    shift = w["norm.bias"] - w["norm.running_mean"] * scale
    latent = w["latent.weight"].T.reshape(_POOLED, FILTERS, LATENTS)
    weights = {
        "filters": w["filters.weight"].T,
        "filters_offset": w["filters.bias"],
        "latent": (latent * scale[:, None]).reshape(-1, LATENTS),
        "latent_offset": w["latent.bias"] + np.einsum("pfl,f->l", latent, shift),
        "hidden": w["hidden.weight"].T,
        "hidden_offset": w["hidden.bias"],
        "out": w["out.weight"].T,
        "out_offset": w["out.bias"],
    }
    z = encode(weights, some).astype(np.float64)
    middle = z.mean(axis=0)
    shown = decode(weights, z)
    # What a step along each latent does to the curve, on the whole.
    slopes = np.linalg.lstsq(z - middle, shown - shown.mean(axis=0), rcond=None)[0]
    half = np.linalg.cholesky(slopes @ slopes.T / POINTS + 1e-9 * np.eye(LATENTS))
    _, turn = np.linalg.eigh(np.cov((z - middle) @ half, rowvar=False))
    turn = turn[:, ::-1]
    turn = turn * np.sign((turn.T @ half.T @ np.linalg.pinv(half @ half.T) @ slopes).sum(axis=1))
    form = half @ turn
    form = form / np.sqrt(np.maximum(((z - middle) @ form).std(axis=0), 1e-6))
    back = np.linalg.inv(form)
    weights["latent"] = weights["latent"] @ form
    weights["latent_offset"] = (weights["latent_offset"] - middle) @ form
    weights["hidden_offset"] = weights["hidden_offset"] + middle @ weights["hidden"]
    weights["hidden"] = back @ weights["hidden"]
    return {name: value.astype(np.float32) for name, value in weights.items()}
