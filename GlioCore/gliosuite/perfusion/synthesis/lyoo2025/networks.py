"""The networks of S4: a temporal convolutional network of each voxel's curve, and a probabilistic U-Net of the maps that it makes.

Sizes are those of the released code (github.com/kyuchoi/dce2ktrans): the TCN after Bai S et al. (arXiv 1803.01271) has three residual
blocks, the U-Net after Kohl SAA et al. (NeurIPS 2018) a latent of two numbers for a whole slice. Networks are dictionaries of layers, what
they do is functions, so that torch is not needed to read this file.
"""

from typing import Any

from ....errors import require

CHANNELS, KERNEL, DILATIONS = (32, 32, 1), 7, (1, 2, 4)
FILTERS, CONVOLUTIONS, LATENT, COMBINING = (32, 64, 128, 192), 3, 2, 4
FRAMES, MAPS = 60, 3
_LOG_SD = (-6.0, 3.0)  # of the latent; chosen: wider than any that trains
PURPOSE = "the networks of lyoo2025"


def build_tcn(normed: bool = False) -> Any:
    """A new TCN; `normed` with weight norm, as it is trained. `plain` takes that off again."""
    nn = require("torch", PURPOSE).nn
    norm = nn.utils.parametrizations.weight_norm if normed else lambda layer: layer
    layer = lambda a, b, by: norm(nn.Conv2d(a, b, (1, KERNEL), dilation=(1, by)))
    blocks = []
    for before, width, by in zip((1, *CHANNELS), CHANNELS, DILATIONS):
        shortcut = nn.Identity() if before == width else nn.Conv2d(before, width, 1)
        blocks.append(
            nn.ModuleDict({"first": layer(before, width, by), "second": layer(width, width, by), "shortcut": shortcut})
        )
    network = nn.ModuleDict({"blocks": nn.ModuleList(blocks), "last": nn.Linear(FRAMES, MAPS)})
    return quick(network)


def quick(network: Any) -> Any:
    """The network with its weights laid out as convolutions on a processor are quickest with, twice as quick as otherwise."""
    return network.to(memory_format=require("torch", PURPOSE).channels_last)


def plain(network: Any) -> Any:
    """The same TCN without weight norm."""
    parametrize = require("torch", PURPOSE).nn.utils.parametrize
    for block in network["blocks"]:
        for name in ("first", "second"):
            if parametrize.is_parametrized(block[name]):
                parametrize.remove_parametrizations(block[name], "weight")
    return quick(network)


def apply_tcn(network: Any, curves: Any) -> Any:
    """Maps (n, 3) of curves (n, 60), each frame of a layer seeing that frame and earlier ones alone."""
    functional = require("torch", PURPOSE).nn.functional
    # As one image of n rows, which is convolved several times as quickly as n sequences.
    x = curves[None, None]
    for i, (block, by) in enumerate(zip(network["blocks"], DILATIONS)):
        y = x
        for name in ("first", "second"):
            y = functional.relu(block[name](functional.pad(y, ((KERNEL - 1) * by, 0))))
        x = y + block["shortcut"](x)
        # No ReLU behind the last block, so that its numbers may be below 0.
        x = functional.relu(x) if i < len(DILATIONS) - 1 else x
    return network["last"](x[0, 0])


def build_unet(posterior: bool = False) -> Any:
    """A new probabilistic U-Net; with `posterior` the net that training needs and inference must not have."""
    nn = require("torch", PURPOSE).nn

    def level(before: int, width: int, size: int, count: int) -> Any:
        sizes = [before, *[width] * count]
        return nn.ModuleList([nn.Conv2d(a, b, size, padding=size // 2) for a, b in zip(sizes, sizes[1:])])

    def encoder(inputs: int) -> Any:
        widths = zip((inputs, *FILTERS), FILTERS)
        return nn.ModuleList([level(a, b, 3, CONVOLUTIONS) for a, b in widths])

    layers = {
        "down": encoder(MAPS),
        "up": nn.ModuleList([level(a + b, a, 3, CONVOLUTIONS) for a, b in zip(FILTERS, FILTERS[1:])]),
        "combine": nn.ModuleList(
            [
                *level(FILTERS[0] + LATENT, FILTERS[0], 1, COMBINING - 1),
                nn.Conv2d(FILTERS[0], MAPS, 1),
            ]
        ),
        "prior": encoder(MAPS),
        "prior_last": nn.Conv2d(FILTERS[-1], 2 * LATENT, 1),
    }
    if posterior:
        layers |= {"posterior": encoder(2 * MAPS), "posterior_last": nn.Conv2d(FILTERS[-1], 2 * LATENT, 1)}
    network = nn.ModuleDict(layers)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    # It begins with the temporal network's maps as they are: to learn them anew takes longer than a processor's schedule has.
    nn.init.zeros_(network["combine"][-1].weight)
    return quick(network)


def _encoded(encoder: Any, x: Any) -> list[Any]:
    """What each level of an encoder makes of images (n, m, y, x)."""
    functional = require("torch", PURPOSE).nn.functional
    found: list[Any] = []
    for level in encoder:
        # Odd sizes are rounded up, so that no row is lost.
        x = functional.avg_pool2d(x, 2, ceil_mode=True) if found else x
        for layer in level:
            x = functional.relu(layer(x))
        found.append(x)
    return found


def features(network: Any, maps: Any) -> Any:
    """Features (n, 32, y, x) of maps (n, 3, y, x); they know nothing of the latent."""
    torch = require("torch", PURPOSE)
    functional = torch.nn.functional
    *levels, x = _encoded(network["down"], maps)
    for skip, level in zip(levels[::-1], list(network["up"])[::-1]):
        x = functional.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=True)
        x = torch.cat([x, skip], dim=1)
        for layer in level:
            x = functional.relu(layer(x))
    return x


def latent(network: Any, name: str, images: Any) -> tuple[Any, Any]:
    """Mean and logarithm of the SD (n, 2) of the latent by the net ``"prior"`` (of maps) or ``"posterior"`` (of maps and labels)."""
    deepest = _encoded(network[name], images)[-1].mean(dim=(2, 3), keepdim=True)
    numbers = network[f"{name}_last"](deepest)[:, :, 0, 0]
    return numbers[:, :LATENT], numbers[:, LATENT:].clamp(*_LOG_SD)


def combined(network: Any, maps: Any, found: Any, z: Any) -> Any:
    """Maps (n, 3, y, x): those of the temporal network (n, 3, y, x) and what features (n, 32, y, x) and a latent (n, 2) add to them.

    The latent is the same all over a slice.
    """
    torch = require("torch", PURPOSE)
    n, _, height, width = found.shape
    x = torch.cat([found, z[:, :, None, None].expand(n, LATENT, height, width)], dim=1)
    *layers, last = network["combine"]
    for layer in layers:
        x = torch.nn.functional.relu(layer(x))
    return maps + last(x)


def divergence(posterior: tuple[Any, Any], prior: tuple[Any, Any]) -> Any:
    """Kullback-Leibler divergence (n,) of one Gaussian of the latent from another."""
    (mean, log_sd), (to, log_to) = posterior, prior
    square = (2 * (log_sd - log_to)).exp() + ((mean - to) / log_to.exp()) ** 2
    return (log_to - log_sd + 0.5 * square - 0.5).sum(dim=1)
