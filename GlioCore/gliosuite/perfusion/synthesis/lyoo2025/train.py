"""Training of Lyoo 2025 in two stages: the temporal network on patches, and then, on its maps of whole slices, the probabilistic U-Net."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import require
from ....files import atomic
from ....steps import Progress, part, silent
from ....training import LoopSettings, Model, train
from ....training.loop import PICTURE, draw_history
from ...settings import Lyoo2025Training
from .batches import patches, slices
from .cases import KIND, NAMES, UNITS, Labelled, TrainingCase, load_case, save_case, training_case
from .figures import calibrated, figures, range_of
from .inference import Networks
from .networks import LATENT, PURPOSE, apply_tcn, build_tcn, build_unet, combined, divergence, features, latent, plain

HELD_OUT = 8  # one patient in so many, the last ones
# How much more an error counts where there is more of a parameter, by map of `NAMES`, as in the released code; the U-Net's is 40 in each.
TCN_ALPHA, UNET_ALPHA = (35.0, 35.0, 5.0), (40.0, 40.0, 40.0)
# Chosen: three times the 3e-4 of the released code with a cosine to 0, since the schedule for a processor has fewer steps.
_RATE = 1e-3
_HELD_PATCHES, _HELD_SLICES = 16, 24  # for the held-out loss while training
_FROM = (0.2, 0.6)  # of the progress at which the stages begin


def train_lyoo2025(
    cases: Callable[[int], Labelled],
    settings: Lyoo2025Training,
    folder: Path,
    cuda: bool = False,
    progress: Progress = silent,
) -> Model:
    """Make the cases, train both networks, measure them on the patients held out; what was done already in `folder` is taken up again.

    Parameters
    ----------
    cases
        The i-th patient.
    folder
        For cases, checkpoints and pictures.
    cuda
        Train on a CUDA device.

    Raises
    ------
    InputError
        If torch is missing, or a case cannot be used.
    """
    require("torch", "training")
    found = _made(cases, settings, folder, part(progress, 0.0, _FROM[0]))
    held = max(settings.patients // HELD_OUT, 1)
    device = "cuda" if cuda else "cpu"
    some = "-".join(str(v) for v in (settings.patients, settings.tcn_steps, settings.tcn_patches))
    tcn, first = _tcn(found[:-held], found[-held:], settings, folder / f"tcn-{some}", device, part(progress, *_FROM))
    maps = _maps(tcn, found, folder / f"tcn-{some}", device)
    some += f"-{settings.unet_steps}-{settings.unet_slices}-{settings.divergence:g}"
    unet, second = _unet(found, maps, held, settings, folder / f"unet-{some}", device, part(progress, _FROM[1], 0.95))
    draw_history({"temporal network": first, "U-Net": second}, folder / PICTURE)
    progress(0.95, "measuring on the patients held out")
    weights = {f"tcn.{k}": _half(v) for k, v in tcn.state_dict().items()}
    weights |= {f"unet.{k}": _half(v) for k, v in unet.state_dict().items() if not k.startswith("posterior")}
    model = Model(weights, {})
    networks = Networks.of(model)
    model.about.update(
        {
            "kind": KIND,
            "parameters": NAMES,
            "units_of_the_networks": UNITS.tolist(),
            "settings": settings.__dict__,
            "trained_between": range_of(found[:-held]),
            "intervals": calibrated(networks, found[-held:]),
            "held_out_loss": {"tcn": first[-1][2], "unet": second[-1][2]},
            "figures": figures(networks, found[-held:]),
        }
    )
    return model


def _half(values: Any) -> np.ndarray:
    return np.ascontiguousarray(values.detach().cpu().numpy(), np.float16)


def _made(
    cases: Callable[[int], Labelled], settings: Lyoo2025Training, folder: Path, progress: Progress
) -> list[TrainingCase]:
    """All cases, each from its own seed."""
    own = folder / f"cases-{settings.seed}-{settings.slices}"
    own.mkdir(parents=True, exist_ok=True)
    found = []
    for i in range(settings.patients):
        path = own / f"{i}.npz"
        if not path.exists():
            progress(i / settings.patients, f"patient {i + 1} of {settings.patients}")
            rng = np.random.default_rng([settings.seed, i])
            save_case(training_case(cases(i), rng, settings.slices), path)
        found.append(load_case(path))
    return found


def weighted(error: Any, truth: Any, alpha: Sequence[float], inside: Any = None) -> Any:
    """The loss of S4, summed over maps: the mean of abs(error), and `alpha` times that of abs(error) times the truth.

    Parameters
    ----------
    error
        (n, 3) or (n, 3, y, x), in `cases.UNITS`.
    truth
        Of the same shape, in 1/min and fractions.
    inside
        (n, 1, y, x): 1 in the head, whose voxels alone count.
    """
    torch: Any = require("torch", PURPOSE)
    shape = (1, -1, *[1] * (error.dim() - 2))
    each = error.abs() * (1.0 + torch.tensor(alpha, device=error.device).view(shape) * truth)
    count = len(error) if inside is None else inside.sum()
    return (each if inside is None else each * inside).sum() / count


def _tcn(
    cases: list[TrainingCase],
    held: list[TrainingCase],
    settings: Lyoo2025Training,
    folder: Path,
    device: str,
    progress: Progress,
) -> tuple[Any, list[list[float]]]:
    """The first stage: the network without weight norm, and how its loss went."""
    import torch

    torch.manual_seed(1000 * settings.seed)
    network = build_tcn(normed=True)
    put = lambda values: torch.from_numpy(values).to(device)
    units = put(UNITS)

    def loss(model: Any, curves: np.ndarray, labels: np.ndarray) -> Any:
        truth = put(labels)
        return weighted(apply_tcn(model, put(curves)) - truth / units, truth, TCN_ALPHA)

    def step(model: Any, i: int) -> Any:
        return loss(model, *patches(cases, np.random.default_rng([settings.seed, 1, i]), settings.tcn_patches))

    outside = patches(held, np.random.default_rng([settings.seed, 2]), _HELD_PATCHES)
    folder.mkdir(parents=True, exist_ok=True)
    history = train(
        network,
        step,
        lambda model: float(loss(model, *outside)),
        LoopSettings(settings.tcn_steps, rate=_RATE, device=device),
        folder,
        progress,
        "temporal network",
    )
    return plain(network).eval(), history


def _maps(tcn: Any, cases: list[TrainingCase], folder: Path, device: str) -> list[np.ndarray]:
    """The first stage's maps (n, 3) of all cases, kept in a folder."""
    path = folder / "maps.npz"
    if path.exists():
        with np.load(path) as saved:
            return [saved[str(i)] for i in range(len(cases))]
    networks = Networks(tcn, None, device)
    maps = [networks.first(case.curves) for case in cases]
    with atomic(path) as file, open(file, "wb") as out:
        np.savez(out, allow_pickle=False, **{str(i): values for i, values in enumerate(maps)})
    return maps


def _unet(
    cases: list[TrainingCase],
    maps: list[np.ndarray],
    held: int,
    settings: Lyoo2025Training,
    folder: Path,
    device: str,
    progress: Progress,
) -> tuple[Any, list[list[float]]]:
    """The second stage: the network with its posterior net, and how its loss went."""
    import torch

    torch.manual_seed(1000 * settings.seed + 1)
    network = build_unet(posterior=True)
    units = torch.from_numpy(UNITS).to(device)[:, None, None]
    every = [(c, s) for c, case in enumerate(cases) for s in range(len(case.rows))]
    own = [one for one in every if one[0] < len(cases) - held]
    others = [one for one in every if one[0] >= len(cases) - held]

    def put(values: np.ndarray) -> Any:
        return torch.from_numpy(values).to(device).contiguous(memory_format=torch.channels_last)

    def step(model: Any, i: int) -> Any:
        rng = np.random.default_rng([settings.seed, 3, i])
        chosen = [own[k] for k in rng.integers(0, len(own), settings.unet_slices)]
        x, y, inside = (put(v) for v in slices(cases, maps, chosen, rng.random(len(chosen)) < 0.5))
        prior = latent(model, "prior", x)
        mean, log_sd = latent(model, "posterior", torch.cat([x, y / units], dim=1))
        noise = torch.from_numpy(rng.standard_normal((len(chosen), LATENT)).astype(np.float32)).to(device)
        out = combined(model, x, features(model, x), mean + log_sd.exp() * noise)
        apart = divergence((mean, log_sd), prior).mean()
        return weighted(out - y / units, y, UNET_ALPHA, inside) + settings.divergence * apart

    rng = np.random.default_rng([settings.seed, 4])
    seen = [others[k] for k in np.sort(rng.permutation(len(others))[:_HELD_SLICES])]

    def outside(model: Any) -> float:
        """At the prior's mean, since the posterior has seen the label."""
        total = 0.0
        for one in seen:
            x, y, inside = (put(v) for v in slices(cases, maps, [one]))
            out = combined(model, x, features(model, x), latent(model, "prior", x)[0])
            total += float(weighted(out - y / units, y, UNET_ALPHA, inside))
        return total / len(seen)

    folder.mkdir(parents=True, exist_ok=True)
    loop = LoopSettings(settings.unet_steps, rate=_RATE / 2, every=250, device=device)
    history = train(network, step, outside, loop, folder, progress, "U-Net")
    return network.eval(), history
