"""Training of the spatial stage on simulated heads, and the calibration of its intervals, tissue by tissue, on heads of their own."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...errors import InputError, require
from ...files import atomic
from ...images import array, boolean
from ...steps import Progress, part, silent
from ...training import LoopSettings, train
from ..settings import SynthesisTraining
from .features import PARAMETERS, PRIOR, Inputs, inputs, to_scale
from .fitted import Fitted
from .network import DEGREES, gaussian
from .spatial import CHANNELS, GROUPS, LAYERS, LEVELS, N_OUT, WIDTH, N, channels, from_torch, product, refine

_PATCH = (12, 48, 48)  # voxels (z, y, x) at a time; chosen, several times the network's reach
_AT_TUMOUR = 0.35  # share of the patches that lie at an enhancing tumour; chosen, one voxel in 500 is one
# Weight of a voxel by tissue; chosen: tumours are small and what maps are read for, what lies outside the brain is not.
_WEIGHT = {"oedema": 2.0, "cel": 4.0, "necrosis": 4.0, "beside": 0.2}
_TISSUE = 0.1  # weight of naming the tissue; chosen, it is for the intervals alone
_HELD_OUT = 12  # patches of heads that are not trained on, for the learning curve
# Fewest voxels of a tissue in the heads for calibration; with fewer, those of all tissues calibrate it.
_FEW = 300


class Head(NamedTuple):
    """A simulated head: what the fit says of the voxels of its `mask` (z, y, x), their T1 in s (n,) or none (0,), the truth (n, 4) on
    scales, the tissue (n,) by `GROUPS`."""

    mask: np.ndarray
    voxels: Inputs
    t10_s: np.ndarray
    truth: np.ndarray
    group: np.ndarray


def head(fitted: Fitted, truth: Mapping[str, np.ndarray], group: np.ndarray) -> Head:
    """From a fit, the truth by parameter and the tissue's index in `GROUPS`, (z, y, x)."""
    mask = boolean(fitted.mask)
    voxels = inputs(*fitted.voxels(), fitted.scan)
    scaled = np.stack([to_scale(name, truth[name][mask]) for name in PARAMETERS], axis=1).astype(np.float32)
    t10 = np.empty(0) if fitted.t10 is None else array(fitted.t10)[mask]
    # Half precision is finer than what any input is known to, and halves what is kept.
    told = voxels.told.astype(np.float16).astype(np.float32)
    return Head(
        mask, Inputs(told, voxels.centre, voxels.width), t10.astype(np.float32), scaled, group[mask].astype(np.uint8)
    )


class _Voxels(NamedTuple):
    """What is trained on of a head: row of each voxel (z, y, x), the last one's beside the mask; by row what the network reads (n, c),
    mean, spread and truth (n, 4), tissue and weight (n,); and where brain and tumour are (n, 3)."""

    row: np.ndarray
    read: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    truth: np.ndarray
    group: np.ndarray
    weight: np.ndarray
    brain: np.ndarray
    tumour: np.ndarray


def train_spatial(
    draw: Callable[[int, bool], Head],
    voxel_weights: Mapping[str, np.ndarray],
    settings: SynthesisTraining,
    folder: Path,
    cuda: bool = False,
    progress: Progress = silent,
) -> tuple[list[dict[str, np.ndarray]], dict[str, Any], list[list[list[float]]]]:
    """Train the spatial stage behind a voxel stage and calibrate its intervals; what was done already in `folder` is taken up again.

    Parameters
    ----------
    draw
        A simulated head of a seed, and whether it is for calibration; an `InputError` where its series cannot be used, and then the next
        is taken.
    voxel_weights
        Of the voxel stage, as `network.gaussian` takes them.

    Returns
    -------
    tuple
        Weights of each network of `spatial.refine`; intervals by level, parameter and tissue; how each network's loss went.
    """
    require("torch", "training")
    drawn = _heads(draw, settings, folder / "heads", part(progress, 0.0, 0.6))
    seen, kept = drawn[: settings.heads], drawn[settings.heads :]
    learned = [_voxels(one, voxel_weights) for one in seen]
    weights, histories = [], []
    for member in range(settings.spatial_members):
        start, end = (0.6 + 0.37 * k / settings.spatial_members for k in (member, member + 1))
        state, history = _fit(learned, settings, member, folder, cuda, part(progress, start, end))
        weights.append(from_torch(state))
        histories.append(history)
    progress(0.97, "calibrating with neighbours")
    return weights, calibrate_tissues(weights, voxel_weights, kept), histories


def _heads(
    draw: Callable[[int, bool], Head], settings: SynthesisTraining, folder: Path, progress: Progress
) -> list[Head]:
    """Heads to train on, then those to calibrate on; each from a seed of its own, read where it was drawn before."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted, seed = settings.heads + settings.calibration_heads, settings.first_head
    found: list[Head] = []
    while len(found) < wanted:
        progress(len(found) / wanted, f"simulated head {len(found) + 1} of {wanted}")
        calibration = len(found) >= settings.heads
        path = folder / f"{'calibration-' * calibration}{seed}.npz"
        if not path.exists():
            try:
                one = draw(seed, calibration)
                saved = {**one.voxels.__dict__, **{k: getattr(one, k) for k in Head._fields if k != "voxels"}}
                saved["told"] = saved["told"].astype(np.float16)
            except InputError as error:  # an artery that cannot be found, as happens in patients
                saved = {"refused": np.array(str(error))}
            with atomic(path) as file, open(file, "wb") as out:
                np.savez_compressed(out, **saved)
        with np.load(path) as saved:
            if "refused" not in saved:
                voxels = Inputs(saved["told"].astype(np.float32), saved["centre"], saved["width"])
                found.append(Head(saved["mask"], voxels, saved["t10_s"], saved["truth"], saved["group"]))
        seed += 1
    return found


def _read(one: Head, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return channels(one.voxels.told, mean, spread, one.t10_s if one.t10_s.size else None)


def _voxels(one: Head, voxel_weights: Mapping[str, np.ndarray]) -> _Voxels:
    mean, spread = gaussian(voxel_weights, one.voxels)
    beside = GROUPS.index("beside")

    def rows(values: np.ndarray, outside: float = 0.0) -> np.ndarray:
        return np.concatenate([values, np.full_like(values[:1], outside)])

    row = np.full(one.mask.shape, -1, np.int32)
    row[one.mask] = np.arange(len(one.group))
    at = np.argwhere(one.mask)
    weight = np.array([_WEIGHT.get(name, 1.0) for name in GROUPS], np.float32)[one.group]
    return _Voxels(
        row,
        rows(_read(one, mean, spread)),
        rows(mean),
        rows(spread, 1.0),
        rows(one.truth),
        rows(one.group.astype(np.int64), beside),
        rows(weight),
        at[one.group != beside],
        at[one.group == GROUPS.index("cel")],
    )


def _cut(one: _Voxels, rng: np.random.Generator) -> list[np.ndarray]:
    """A patch of a head, (channels, z, y, x) each, mirrored half of the time along each axis."""
    at = one.tumour if len(one.tumour) and rng.random() < _AT_TUMOUR else one.brain
    box = []
    for c, size, n in zip(at[rng.integers(len(at))], _PATCH, one.row.shape):
        start = int(np.clip(c - size // 2 + rng.integers(-size // 4, size // 4 + 1), 0, max(n - size, 0)))
        box.append(slice(start, start + min(size, n)))
    row = np.flip(one.row[tuple(box)], tuple(np.flatnonzero(rng.random(3) < 0.5).tolist()))
    return [np.ascontiguousarray(np.moveaxis(values[row], range(3), range(-3, 0))) for values in one[1:7]]


def _network() -> Any:
    """The network of `spatial.refine` in torch; it begins with the voxels' own posterior as it is."""
    torch: Any = require("torch", "training")

    class Network(torch.nn.Module):  # type: ignore[misc]  # torch is imported here alone
        def __init__(self) -> None:
            super().__init__()
            sizes = [CHANNELS, *[WIDTH] * (len(LAYERS) - 1), N_OUT + len(GROUPS)]
            for i, (kernel, dilation) in enumerate(LAYERS):
                reach = tuple((k // 2) * d for k, d in zip(kernel, dilation))
                self.add_module(f"{i}", torch.nn.Conv3d(sizes[i], sizes[i + 1], kernel, 1, reach, dilation))
            last = self.get_submodule(f"{len(LAYERS) - 1}")
            torch.nn.init.zeros_(last.weight)
            torch.nn.init.zeros_(last.bias)

        def forward(self, x: Any) -> Any:
            inside, before = x[:, -1:], None
            for i in range(len(LAYERS) - 1):
                new = torch.relu(self.get_submodule(f"{i}")(x)) * inside
                x, before = (new + before if i == 2 else new), new
            return self.get_submodule(f"{len(LAYERS) - 1}")(x)

    return Network()


def _fit(
    heads: list[_Voxels],
    settings: SynthesisTraining,
    member: int,
    folder: Path,
    cuda: bool,
    progress: Progress,
) -> tuple[dict[str, np.ndarray], list[list[float]]]:
    """A trained network's state, and how its loss went on heads that were and, of the last tenth, were not trained on."""
    import torch

    torch.manual_seed(1000 * settings.seed + member)
    network = _network()
    device = "cuda" if cuda else "cpu"
    apart = max(1, len(heads) // 10)
    shown, held = heads[:-apart], heads[-apart:]

    def batch(some: list[_Voxels], rng: np.random.Generator, n: int) -> list[Any]:
        parts = [_cut(some[rng.integers(len(some))], rng) for _ in range(n)]
        nz, ny, nx = (min(p[0].shape[axis] for p in parts) for axis in (1, 2, 3))
        return [torch.from_numpy(np.stack([p[k][..., :nz, :ny, :nx] for p in parts])).to(device) for k in range(6)]

    each_parameter = lambda values: torch.tensor(values, device=device).view(1, N, 1, 1, 1)
    prior = [each_parameter([PRIOR[name][i] for name in PARAMETERS]) for i in (0, 1)]

    def loss(model: Any, data: list[Any]) -> Any:
        read, mean, spread, truth, group, weight = data
        out = model(read)
        # What naming a tissue does to ktrans must not teach it to name another.
        likely = torch.softmax(out[:, N_OUT:].detach(), 1)
        found, sd = product(torch, out, likely, mean, spread, *prior)
        fits = (DEGREES + 1.0) / 2.0 * torch.log1p(((truth - found) / sd) ** 2 / DEGREES) + torch.log(sd / spread)
        named = torch.nn.functional.cross_entropy(out[:, N_OUT:], group, reduction="none")
        return ((fits.mean(1) + _TISSUE * named) * weight).sum() / weight.sum()

    held_out = [batch(held, np.random.default_rng([settings.seed, 2, i]), 1) for i in range(_HELD_OUT)]
    step = lambda model, i: loss(model, batch(shown, np.random.default_rng([settings.seed, 3, member, i]), 2))
    history = train(
        network,
        step,
        lambda model: float(np.mean([float(loss(model, data)) for data in held_out])),
        LoopSettings(settings.spatial_steps, rate=2e-3, decay=1e-2, device=device),
        folder / f"spatial{member}",
        progress,
        f"network {member + 1} of {settings.spatial_members} with neighbours",
    )
    return {name: values.detach().cpu().numpy() for name, values in network.state_dict().items()}, history


def calibrate_tissues(
    weights: Sequence[Mapping[str, np.ndarray]],
    voxel_weights: Mapping[str, np.ndarray],
    heads: Iterable[Head],
    counts: Callable[[Head], np.ndarray] = lambda one: np.ones(len(one.group), bool),
) -> dict[str, dict[str, list[float]]]:
    """How many SDs hold the truth in 50, 90 and 95 % of a tissue's voxels, by level and parameter, in the order of `GROUPS`.

    `counts` says which voxels (n,) of a head are looked at.

    Split conformal calibration within groups (Mondrian; Vovk V et al., Algorithmic learning in a random world, Springer 2005).
    """
    off, group = (np.concatenate(parts) for parts in zip(*_errors(weights, voxel_weights, heads, counts)))
    result: dict[str, dict[str, list[float]]] = {f"{level:g}": {} for level in LEVELS}
    for level in LEVELS:
        for i, name in enumerate(PARAMETERS):
            everywhere = float(np.quantile(off[group != GROUPS.index("beside"), i], level))
            own = [off[group == k, i] for k in range(len(GROUPS))]
            result[f"{level:g}"][name] = [
                round(float(np.quantile(v, min(np.ceil((v.size + 1) * level) / v.size, 1.0))), 4)
                if v.size >= _FEW
                else round(everywhere, 4)
                for v in own
            ]
    return result


def _errors(
    weights: Sequence[Mapping[str, np.ndarray]],
    voxel_weights: Mapping[str, np.ndarray],
    heads: Iterable[Head],
    counts: Callable[[Head], np.ndarray],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Errors in SDs (n, 4) and tissues (n,) of each head's voxels that count."""
    for one in heads:
        mean, spread = gaussian(voxel_weights, one.voxels)
        mean, spread, _ = refine(weights, one.mask, _read(one, mean, spread), mean, spread)
        some = counts(one)
        yield (np.abs(one.truth - mean) / spread)[some], one.group[some]
