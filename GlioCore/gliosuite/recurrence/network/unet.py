"""The network in torch: four stages of two 3 x 3 x 3 convolutions down, three up, joined to those of their size."""

from typing import Any

import numpy as np

from ...errors import require

STAGES = 4
STEP = 2 ** (STAGES - 1)  # a side of the box must be a multiple of so many voxels
_GROUPS = (
    4  # of channels, for normalisation; a batch is one patient, so that there is nothing to normalise over but itself
)


def unet(base: int, channels: int) -> Any:
    """An untrained network (torch.nn.Module): (b, `channels`, z, y, x) to logits (b, z, y, x), sides multiples of `STEP`.

    Raises
    ------
    InputError
        If torch is missing.
    """
    torch: Any = require("torch", "the recurrence network")
    nn = torch.nn

    def twice(n_in: int, n_out: int) -> Any:
        layers: list[Any] = []
        for n in (n_in, n_out):
            layers += [nn.Conv3d(n, n_out, 3, padding=1, bias=False), nn.GroupNorm(_GROUPS, n_out), nn.ReLU()]
        return nn.Sequential(*layers)

    class UNet(nn.Module):  # type: ignore[misc, name-defined]  # torch is imported here alone
        def __init__(self) -> None:
            super().__init__()
            widths = [base * 2**i for i in range(STAGES)]
            self.down = nn.ModuleList(twice(i, o) for i, o in zip([channels, *widths], widths))
            up = widths[-2::-1]
            self.larger = nn.ModuleList(nn.ConvTranspose3d(2 * n, n, 2, 2) for n in up)
            self.up = nn.ModuleList(twice(2 * n, n) for n in up)
            self.last = nn.Conv3d(base, 1, 1)

        def forward(self, x: Any) -> Any:
            beside: list[Any] = []
            for i, stage in enumerate(self.down):
                x = stage(nn.functional.max_pool3d(x, 2) if i else x)
                beside.append(x)
            for larger, stage, same in zip(self.larger, self.up, beside[-2::-1]):
                x = stage(torch.cat([same, larger(x)], 1))
            return self.last(x)[:, 0]

    return UNet()


def padded(values: np.ndarray) -> np.ndarray:
    """(..., z, y, x) with zeros at the end of each axis, up to a multiple of `STEP`."""
    more = [(0, -n % STEP) for n in values.shape[-3:]]
    return np.pad(values, [(0, 0)] * (values.ndim - 3) + more)
