"""``--kind voxelwise``: what gradient boosted trees say of voxels, each by itself."""

from typing import TYPE_CHECKING

import numpy as np

from .ensemble import usable
from .features import NAMES, feature_of, features, features_of
from .inputs import Inputs
from .trees import Trees

if TYPE_CHECKING:
    from ..training import Model


def asked(inputs: Inputs, model: "Model") -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """What each member says of a visit, not calibrated.

    Returns
    -------
    tuple
        Log odds (m, n); the n voxels, boolean (z, y, x); the channels that are looked at; and a sentence for each that is not.

    Raises
    ------
    InputError
        If T1c or FLAIR is unlike all that was trained on.
    """
    values, where, used, notes = seen(inputs, model)
    return raw_log_odds(model, values), where, used, notes


def seen(inputs: Inputs, model: "Model") -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """What a model is shown of a visit.

    Returns
    -------
    tuple
        Values and voxels as `features.features` gives them, NaN in the channels that are left out; the channels that are looked at; and
        a sentence for each that is not.

    Raises
    ------
    InputError
        As `asked`.
    """
    values, where = features(inputs)
    near = {name: values[:, NAMES.index(feature_of(name))] for name in inputs.images}
    used, notes = usable(near, model.about["ranges"])
    left_out = near.keys() - set(used)
    values[:, [NAMES.index(f) for name in left_out for f in features_of(name)]] = np.nan
    return values, where, used, notes


def raw_log_odds(model: "Model", values: np.ndarray) -> np.ndarray:
    """What each member says of voxels with all features (n, `features.NAMES`), not calibrated: log odds (m, n)."""
    return Trees.of(model.weights).log_odds(values[:, [NAMES.index(n) for n in model.about["features"]]])
