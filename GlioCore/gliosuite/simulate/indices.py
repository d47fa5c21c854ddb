"""Indices that compare two metabolites with what normal tissue has of them."""

from collections.abc import Mapping

import numpy as np

INDICES = {"cni": ("cho", "naa"), "ccri": ("cho", "cre"), "crni": ("cre", "naa")}


def metabolite_index(first: np.ndarray, second: np.ndarray, normal: np.ndarray, sure: bool = False) -> np.ndarray:
    """Distance of voxels from the line that two metabolites follow in normal tissue, in SDs of normal tissue's distance from it.

    CNI is the index of choline and NAA, CCrI of choline and creatine, CrNI of creatine and NAA: positive where the first is high for
    the second. The line is found by least squares; voxels more than two SDs above it are taken out and the line is fitted again until
    none is left to take out, so that tumour among the candidates does not count as normal. It goes through the origin, since both
    peaks vanish together in fluid: brain with fluid in it is normal.

    Parameters
    ----------
    first, second
        Peak heights, arrays of one shape.
    normal
        Boolean, candidates for normal tissue.
    sure
        Whether all candidates are known to be normal: none is taken out then.

    Returns
    -------
    numpy.ndarray
        float32; 0 everywhere where fewer than three candidates are left or normal tissue does not vary.

    References
    ----------
    McKnight TR et al., J Magn Reson Imaging 2001;13:167; J Neurosurg 2002;97:794.
    """
    x, y = second[normal].astype(np.float64), first[normal].astype(np.float64)
    keep = np.ones(x.size, bool)
    for _ in range(50):
        if keep.sum() < 3 or not x[keep].any():
            return np.zeros(first.shape, np.float32)
        slope = (x[keep] * y[keep]).sum() / (x[keep] ** 2).sum()
        away = (y - slope * x) / np.hypot(1, slope)
        sd = np.sqrt((away[keep] ** 2).mean())
        left = keep & (away <= 2 * sd)
        if sure or left.sum() == keep.sum():
            break
        keep = left
    if sd < 1e-9:
        return np.zeros(first.shape, np.float32)
    return ((first - slope * second) / (np.hypot(1, slope) * sd)).astype(np.float32)


def indices(peaks: Mapping[str, np.ndarray], normal: np.ndarray, sure: bool = False) -> dict[str, np.ndarray]:
    """CNI, CCrI and CrNI of peak heights by metabolite; see `metabolite_index`."""
    return {name: metabolite_index(peaks[a], peaks[b], normal, sure) for name, (a, b) in INDICES.items()}
