"""What the trained network says of a visit; numpy in and out."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import require
from ..ensemble import usable
from ..inputs import REQUIRED, SEEN, Inputs
from .shown import Shown
from .unet import padded, unet

if TYPE_CHECKING:
    from ...training import Model

_MOST = 30.0  # log odds, at most: beyond, nothing changes but that exponentials overflow


def asked(inputs: Inputs, model: "Model") -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """What each member says of a visit, not calibrated; as `voxelwise.asked`.

    Raises
    ------
    InputError
        If an image that is needed is missing or unlike all that was trained on, or torch is missing.
    """
    one, used, notes = seen(inputs, model)
    return answers(model, one), one.where, used, notes


def seen(inputs: Inputs, model: "Model") -> tuple[Shown, list[str], list[str]]:
    """What a model is shown of a visit, the channels that are looked at, and a sentence for each that is not."""
    needed = model.about.get("channels")  # None: as many as there are
    if needed:
        inputs.need(needed)
    one = Shown.of(inputs, needed or SEEN)
    asked_for = {name: one.near(name) for name in needed or inputs.images}
    used, notes = usable(asked_for, model.about["ranges"], needed or REQUIRED)
    return one.showing(used), used, notes


def answers(model: "Model", one: Shown) -> np.ndarray:
    """Log odds of each member in `Shown.where` (m, n), not calibrated."""
    return np.stack([log_odds(of_member(model.weights, k), one) for k in range(len(members(model.weights)))])


def members(weights: Mapping[str, np.ndarray]) -> list[str]:
    """The names of an ensemble's members."""
    return sorted({name.split(".")[0] for name in weights}, key=int)


def of_member(weights: Mapping[str, np.ndarray], member: int) -> dict[str, np.ndarray]:
    """The weights of one member."""
    start = f"{member}."
    return {name.removeprefix(start): values for name, values in weights.items() if name.startswith(start)}


def log_odds(weights: Mapping[str, np.ndarray], one: Shown) -> np.ndarray:
    """Log odds of one member in `Shown.where` (n,)."""
    torch: Any = require("torch", "the recurrence network")
    state = {n: torch.from_numpy(np.array(v, np.float32)) for n, v in weights.items() if n not in ("low", "high")}
    first = state["down.0.0.weight"]
    network = unet(*first.shape[:2])
    network.load_state_dict(state)
    network.eval()
    x = torch.from_numpy(padded(one.stacked(weights["low"], weights["high"]))[None])
    with torch.no_grad():
        found = network(x)[0].numpy()
    z, y, x_ = one.region.shape
    return found[:z, :y, :x_][one.inner].clip(-_MOST, _MOST)
