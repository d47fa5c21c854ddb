"""Training of ``--kind network``: members over folds of patients, each chosen on patients of its own that it does not learn from."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, option, require
from ...files import plain, write_json
from ...steps import Progress, part, silent
from ...training import LoopSettings, train
from ...training.loop import PICTURE, draw_history
from ..ensemble import Grown, calibrated, check, folds_of, grown, platt
from ..inputs import SEEN, Inputs
from ..settings import LOCAL, NETWORK, NetworkTraining
from .ask import log_odds
from .augment import hidden, noisy, swapped, turned
from .losses import loss_of
from .ranger import ranger
from .shown import Shown, channels_in
from .unet import padded, unet

_APART = 8  # one in so many of a member's patients is not learned from: on these its epoch is chosen
_TAIL = 0.5  # percent left out at either end of what 0 and 1 stand for
_BEGINS = "begun.json"


def train_network(
    patients: Sequence[Inputs],
    settings: NetworkTraining,
    folder: Path,
    cuda: bool = False,
    progress: Progress = silent,
    said: Callable[[str], None] = lambda _sentence: None,
) -> Grown:
    """Train an ensemble on patients whose target is known; no patient is on both sides of a fold. What was done in `folder` is taken up.

    With the target ``local`` patients are `Inputs.local`, some with an empty one. Each member is calibrated on its own fold, then all
    together. Weights are kept in half precision, and what is held out is predicted with these. ``about`` says how far that is from
    single (``half_differs``), of each member how its loss went (``learning``), and what `ensemble.grown` says.

    Parameters
    ----------
    said
        Called with a sentence where the picture of learning could not be drawn.

    Raises
    ------
    InputError
        If torch or scikit-learn is missing, a patient cannot be learned from, or `folder` holds a training of other patients or settings.
    """
    require("torch", "training the recurrence network")
    require("sklearn", "training a recurrence model", "scikit-learn")
    check(patients, settings)
    needed = settings.images()
    for p in patients:
        p.need(needed or ())
    refuse_others(folder, patients, settings)
    fold = folds_of(len(patients), settings.folds, settings.seed)
    views = [Shown.of(p, needed or SEEN) for p in patients]
    weights: dict[str, np.ndarray] = {}
    scores, single = ([np.empty(0)] * len(patients) for _ in range(2))
    histories = {}
    for k in range(settings.folds):
        share = part(progress, k / settings.folds, (k + 1) / settings.folds)
        title = f"member {k + 1} of {settings.folds}"
        whole, histories[f"member {k + 1}"] = train_member(
            [views[i] for i in np.flatnonzero(fold != k)], settings, k, folder / f"member-{k + 1}", cuda, share, title
        )
        own = np.flatnonzero(fold == k)
        whole = _calibrated(whole, [views[i] for i in own])
        half = {n: v if n in ("low", "high") else v.astype(np.float16) for n, v in whole.items()}
        weights |= {f"{k}.{n}": v for n, v in half.items()}
        for i in own:
            scores[i], single[i] = log_odds(half, views[i]), log_odds(whole, views[i])
    found = grown(
        NETWORK,
        settings,
        patients,
        [v.where for v in views],
        scores,
        {n: [v.near(n) for v in views] for n in needed or SEEN},
        weights,
    )
    pairs = [[calibrated(s, found.about["calibration"]) for s in both] for both in zip(scores, single)]
    found.about.update(target=settings.target, **({"channels": list(needed)} if needed else {}))
    found.about["half_differs"] = max(float(np.abs(a - b).max()) for a, b in pairs if a.size)
    found.about["learning"] = {
        name: {
            "epochs": len(rows),
            "best": 1 + int(np.argmin([r[2] for r in rows])),
            "held_out_loss": min(r[2] for r in rows),
        }
        for name, rows in histories.items()
    }
    try:
        draw_history(histories, folder / PICTURE)
    except InputError as error:
        said(str(error))
    return found


def _calibrated(weights: dict[str, np.ndarray], held_out: Sequence[Shown]) -> dict[str, np.ndarray]:
    """A member whose last layer is scaled so that its log odds come true on patients that it has not seen.

    The loss hardly cares for the size of log odds, so that members differ in it and one scale for all would suit none.
    """
    labels = np.concatenate([v.target[v.inner] for v in held_out if v.target is not None])
    if labels.all() or not labels.any():
        return weights
    found = platt(np.concatenate([log_odds(weights, v) for v in held_out]), labels)
    last = {n: np.float32(found["slope"]) * weights[n] for n in ("last.weight", "last.bias")}
    last["last.bias"] = last["last.bias"] + np.float32(found["offset"])
    return weights | last


def train_member(
    views: Sequence[Shown],
    settings: NetworkTraining,
    member: int,
    folder: Path,
    cuda: bool = False,
    progress: Progress = silent,
    title: str = "",
) -> tuple[dict[str, np.ndarray], list[list[float]]]:
    """Train one network on patients with a target, and choose its epoch on one in `_APART` of them.

    Returns
    -------
    tuple
        Weights of `ask.log_odds`, and rows ``step, loss, held_out``; the last is 1 less Tversky's index with Tran 2025's weights, or of
        local recurrence, which some do not have, the cross-entropy of a voxel.
    """
    import torch

    low, high = _limits(views)
    seed = [settings.seed, 3, member]
    order = np.random.default_rng([*seed, 0]).permutation(len(views))
    apart = max(1, len(views) // _APART)
    held, shown = ([views[i] for i in some] for some in (order[:apart], order[apart:]))
    torch.manual_seed(int(np.random.default_rng([*seed, 1]).integers(2**31)))
    network = unet(settings.base, channels_in(views[0].names))
    judge = "bce" if settings.target == LOCAL else "tversky"
    may_be_missing = settings.images() is None
    device = "cuda" if cuda else "cpu"
    # On boxes as small as those of local recurrence torch's bfloat16 now and then gives gradients that are no numbers (2.13, oneDNN).
    half = cuda or (settings.target != LOCAL and _has_bfloat16(torch))
    per_epoch = -(-len(shown) // settings.batch)
    drawn = lambda one: [torch.from_numpy(v).to(device) for v in _tensors(one, low, high)]

    def loss(model: Any, step: int) -> Any:
        epoch, at = divmod(step, per_epoch)
        queue = np.random.default_rng([*seed, 2, epoch]).permutation(len(shown))
        batch = queue[at * settings.batch : (at + 1) * settings.batch]
        varied = lambda i: _varied(torch, [*seed, 3, epoch, int(i)], shown[i], low, high, device, may_be_missing)
        parts = [
            loss_of(settings.loss, model(x), target, region, share, settings.beta)
            for x, target, region, share in map(varied, batch)
        ]
        return sum(parts) / len(batch)

    def outside(model: Any) -> float:
        with torch.autocast(device, torch.bfloat16, enabled=half):
            found = [(model(x), target, region) for x, target, region in map(drawn, held)]
        return float(np.mean([float(loss_of(judge, p, t, r, 0.0)) for p, t, r in found]))

    loop = LoopSettings(
        settings.epochs * per_epoch,
        rate=settings.learning_rate,
        warm_up=per_epoch,
        every=per_epoch,
        device=device,
        half=half,
        patience=settings.patience,
    )
    make = lambda parameters: ranger(parameters, settings.learning_rate, loop.decay)
    history = train(network, loss, outside, loop, folder, progress, title, make)
    state = {name: values.detach().cpu().numpy() for name, values in network.state_dict().items()}
    return state | {"low": low, "high": high}, history


def _limits(views: Sequence[Shown]) -> tuple[np.ndarray, np.ndarray]:
    """By image, what 0 and 1 stand for, of the member's own patients; 0 and 1 where none has it. float32."""
    found = []
    for i in range(len(views[0].names)):
        values = np.concatenate([v.images[i][v.region] for v in views])
        values = values[np.isfinite(values)]
        found.append(np.percentile(values, (_TAIL, 100 - _TAIL)) if values.size else (0.0, 1.0))
    low, high = np.array(found, np.float32).T
    return low, high


def _tensors(one: Shown, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, ...]:
    """Input (1, channels, z, y, x); target and region (1, z, y, x), 0 and 1; float32."""
    assert one.target is not None
    masks = padded(np.stack([one.target, one.region]).astype(np.float32))
    return padded(one.stacked(low, high))[None], masks[:1], masks[1:]


def _varied(
    torch: Any, seed: list[int], one: Shown, low: np.ndarray, high: np.ndarray, device: str, may_be_missing: bool
) -> tuple[Any, Any, Any, float]:
    """Input, target, region as `_tensors` gives them, varied as the seed says; and the target's share of the brain."""
    rng = np.random.default_rng(seed)
    values, target, region = _tensors(hidden(rng, one) if may_be_missing else one, low, high)
    images = swapped(rng, values[0]) if may_be_missing else values[0]
    all_of_it = torch.from_numpy(np.concatenate([images, target, region])[None]).to(device)
    with torch.autocast(device, enabled=False):  # half precision would place voxels too coarsely
        all_of_it = noisy(torch, rng, turned(torch, rng, all_of_it), len(one.names))
    inside = (all_of_it[:, -2:] > 0.5).float()
    return all_of_it[:, :-2], inside[:, 0], inside[:, 1], one.share


def _has_bfloat16(torch: Any) -> bool:
    """Whether the processor multiplies in half precision itself, so that it is faster and not slower."""
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def refuse_others(folder: Path, patients: Sequence[Inputs], settings: NetworkTraining) -> None:
    """Refuse to go on with what was begun on other patients or with other settings.

    Raises
    ------
    InputError
        If it was.
    """
    digest = sha256()
    for p in patients:
        digest.update(np.ascontiguousarray(p.images["t1c"]).tobytes() + np.asarray(p.target).tobytes())
    begun: Mapping[str, Any] = plain({"settings": asdict(settings), "patients": digest.hexdigest()})
    path = folder / _BEGINS
    if path.exists():
        if json.loads(path.read_text(encoding="utf-8")) != begun:
            raise InputError(
                f"{folder} holds a training with other patients or settings; choose another folder ({option('--out')}), or remove it"
            )
        return
    write_json(path, begun)
