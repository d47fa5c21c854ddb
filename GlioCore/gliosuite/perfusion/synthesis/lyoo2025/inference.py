"""The trained networks at work on arrays: the temporal network's maps, and samples of the U-Net's from its prior."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....compute import blocks
from ....errors import require
from ....training import Model
from .cases import UNITS
from .networks import LATENT, PURPOSE, apply_tcn, build_tcn, build_unet, combined, features, latent, quick

SAMPLES = 4  # as the paper
_BLOCK = 1024  # curves at a time; chosen: their layers stay in a processor's cache, three times as quick as with 8192
_SEED = 2025  # of the samples


@dataclass(frozen=True)
class Networks:
    """Both networks, ready to be applied, and the torch device that they are on."""

    tcn: Any
    unet: Any
    device: str = "cpu"

    @classmethod
    def of(cls, model: Model, device: str = "cpu") -> "Networks":
        """From a model's weights, which hold no posterior net.

        Raises
        ------
        InputError
            If torch is missing.
        """
        require("torch", PURPOSE)
        return cls(
            loaded(build_tcn(), model.weights, "tcn.", device),
            loaded(build_unet(), model.weights, "unet.", device),
            device,
        )

    def first(self, curves: np.ndarray) -> np.ndarray:
        """The temporal network's maps (n, 3) of curves (n, 60), in `cases.UNITS`."""
        torch: Any = require("torch", PURPOSE)
        found = np.empty((len(curves), len(UNITS)), np.float32)
        with torch.inference_mode():
            for rows in blocks(len(curves), _BLOCK):
                some = torch.from_numpy(np.ascontiguousarray(curves[rows], np.float32)).to(self.device)
                found[rows] = apply_tcn(self.tcn, some).cpu().numpy()
        return found

    def samples(self, maps: np.ndarray) -> np.ndarray:
        """Samples (`SAMPLES`, n, 3, y, x) of slices from the temporal network's maps (n, 3, y, x), in `cases.UNITS`.

        The latent is drawn from the prior, which sees the maps alone; a sample's draw is the same in all slices, so that neighbouring
        slices belong together, and the same each time.
        """
        torch: Any = require("torch", PURPOSE)
        draws = np.random.default_rng(_SEED).standard_normal((SAMPLES, LATENT)).astype(np.float32)
        found = np.empty((SAMPLES, *maps.shape), np.float32)
        with torch.inference_mode():
            for i in range(len(maps)):
                x = torch.from_numpy(np.ascontiguousarray(maps[i : i + 1], np.float32)).to(self.device)
                x = x.contiguous(memory_format=torch.channels_last)
                seen = features(self.unet, x)
                mean, log_sd = latent(self.unet, "prior", x)
                for k, draw in enumerate(draws):
                    z = mean + log_sd.exp() * torch.from_numpy(draw).to(self.device)
                    found[k, i] = combined(self.unet, x, seen, z)[0].cpu().numpy()
        return found


def loaded(network: Any, weights: Mapping[str, np.ndarray], prefix: str, device: str) -> Any:
    """A network with those of the weights whose name begins with `prefix`, as float32."""
    torch: Any = require("torch", PURPOSE)
    own = {
        name.removeprefix(prefix): torch.from_numpy(np.array(value, np.float32))
        for name, value in weights.items()
        if name.startswith(prefix)
    }
    network.load_state_dict(own)
    return quick(network).to(device).eval()


def values_of(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD over samples (k, n, 3, y, x), in 1/min and fractions; no sample is below 0."""
    real = np.maximum(samples, 0.0) * UNITS[:, None, None]
    return real.mean(axis=0), real.std(axis=0, ddof=1) if len(real) > 1 else np.zeros_like(real[0])
