"""How a diffusion-weighted series was taken: b-values and gradient directions, checked, and what they allow to be computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import InputError, option
from ..images import Series, beside

# Chosen, for the largest b-value of a series: what is used in people is 500 to 10 000 s/mm2, the strongest gradients make 40 000.
_SMALL_B, _LARGE_B = 50.0, 50_000.0
NO_WEIGHT_B = 60.0  # s/mm2; chosen: up to this, scanners that have no b = 0 call a volume unweighted (5 to 50)
_LENGTH = 0.02  # of a direction off 1; chosen: files round to three digits and more
_SAME_B = 0.05  # relative; chosen: b-values of one shell differ by less, shells by more
_EVEN = 0.03  # of the mean of g g' off a third of the identity; chosen: rounding makes .001, two directions of three make .2
_RANK = (
    0.02  # smallest over largest singular value; chosen: 6 well spread directions have .2, a plane of directions none
)
_CLOSE = (
    0.75  # smallest over largest b-value, at most; chosen: at it, noise of ADC is four times that of b-values from 0
)
TENSOR, MEAN = "tensor", "mean"


@dataclass(frozen=True)
class Gradients:
    """b-values and directions of the volumes of a series.

    Attributes
    ----------
    b
        (t,) in s/mm2.
    directions
        (t, 3), of length 1, or 0 where a volume has none; in any one frame (that of the image or of the patient): ADC and FA do not
        depend on it.
    """

    b: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(
        cls,
        b_values: Sequence[float] | np.ndarray,
        b_vectors: Sequence[Sequence[float]] | np.ndarray | None = None,
        name: str = "the series",
    ) -> "Gradients":
        """Check numbers as files give them.

        Parameters
        ----------
        b_values
            (t,) in s/mm2.
        b_vectors
            (t, 3); None where no directions are known. Volumes without diffusion weight may have any.
        name
            What messages call the series.

        Raises
        ------
        InputError
            If numbers are missing, in another unit, or directions are not of length 1.
        """
        b, vectors = _numbers(b_values, "b-values", name), None
        b = b.ravel()
        if b_vectors is not None:
            vectors = np.nan_to_num(_numbers(b_vectors, "gradient directions", name))
        if not b.size or not np.isfinite(b).all() or (b < 0).any():
            raise InputError(
                f"{name}: its b-values are not all numbers of 0 or more; one in s/mm2 per volume is needed"
            )
        if 0 < b.max() < _SMALL_B:
            raise InputError(
                f"{name}: its largest b-value is {b.max():g}, which shows no diffusion; were they given in ms/um2 (kilo)? "
                "b-values in s/mm2 are needed, e.g. 1000"
            )
        if b.max() > _LARGE_B:
            raise InputError(
                f"{name}: its largest b-value is {b.max():g}, which no scanner reaches; were they given in s/m2? b-values in s/mm2 are "
                "needed, e.g. 1000"
            )
        if vectors is None:
            return cls(b, np.zeros((b.size, 3)))
        if vectors.shape != (b.size, 3):
            raise InputError(
                f"{name}: there are {len(vectors)} gradient directions and {b.size} b-values; one of each per volume is needed"
            )
        length = np.linalg.norm(vectors, axis=1)
        wrong = np.flatnonzero((b > NO_WEIGHT_B) & (length > 0) & (np.abs(length - 1) > _LENGTH))
        if wrong.size:
            raise InputError(
                f"{name}: the gradient direction of volume {wrong[0] + 1} has a length of {length[wrong[0]]:.3f} (and "
                f"{wrong.size - 1} others are not of length 1 either); directions of length 1 are needed, with b-values that say the weight"
            )
        some = length > 0
        vectors[some] /= length[some, None]
        vectors[b <= NO_WEIGHT_B] = 0.0
        return cls(b, vectors)

    def check_count(self, series: Series) -> None:
        """Refuse a series with another number of volumes."""
        if series.n_times != self.b.size:
            raise InputError(
                f"{series.name} has {series.n_times} volumes and there are {self.b.size} b-values; one per volume is needed"
            )

    @property
    def weighted(self) -> np.ndarray:
        """Which volumes have a diffusion weight, boolean (t,)."""
        return self.b > NO_WEIGHT_B

    def shells(self) -> np.ndarray:
        """A number for each volume (t,), ascending; the same where b-values differ by less than a twentieth, or are next to none."""
        order = np.argsort(self.b, kind="stable")
        b = np.where(self.weighted, self.b, 0.0)[order]
        steps = np.concatenate([[0], np.cumsum(np.diff(b) > _SAME_B * b[1:])])
        result = np.empty(b.size, int)
        result[order] = steps
        return result

    def told(self) -> str:
        """Volumes by b-value, for a sentence: ``1 with b = 0 and 64 with b = 1000 s/mm2``."""
        numbers = self.shells()
        parts = [
            f"{(numbers == k).sum()} with b = {np.median(self.b[numbers == k]):.0f}" for k in range(numbers.max() + 1)
        ]
        return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts) + " s/mm2"


def _numbers(values: Any, what: str, name: str) -> np.ndarray:
    try:
        return np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: its {what} are not numbers ({error}); lists of numbers are needed") from error


@dataclass(frozen=True)
class Plan:
    """What the volumes of a series allow.

    Attributes
    ----------
    kind
        `TENSOR`: ADC and FA; `MEAN`: ADC alone, from means over directions.
    volumes
        Indices of those that are used.
    why
        Why there is no FA, as a sentence; empty with a tensor.
    notes
        What was left out.
    """

    kind: str
    volumes: np.ndarray
    why: str
    notes: tuple[str, ...]


def plan(gradients: Gradients, b_max: float, name: str = "the series") -> Plan:
    """What can be computed from volumes with these b-values and directions, and from which of them.

    Raises
    ------
    InputError
        If not even ADC can be told.
    """
    b, directed = gradients.b, gradients.directions.any(axis=1)
    weighted = gradients.weighted
    if not weighted.any():
        raise InputError(
            f"{name} has no volume with a diffusion weight (largest b-value {b.max():g} s/mm2); b-values are needed"
        )
    notes = []
    usable = np.ones(b.size, bool)
    traces = weighted & ~directed
    if directed.any() and traces.any():
        usable = ~traces
        notes.append(
            f"{traces.sum()} volumes with a b-value and no direction were taken for means over directions (trace-weighted) and left out."
        )
    high = usable & (b > b_max)
    if high.any():
        kept = usable & ~high
        if _determined(gradients, kept) or (not _determined(gradients, usable) and _means(gradients, kept)):
            usable = kept
            notes.append(
                f"{high.sum()} volumes with b above {b_max:g} s/mm2 were left out, where the signal no longer falls exponentially "
                f"({option('--b-max')} takes them)."
            )
        else:
            notes.append(
                f"Volumes with b above {b_max:g} s/mm2 were used, since there are too few others: ADC is lower there than at usual "
                "b-values."
            )
    volumes = np.flatnonzero(usable)
    if _determined(gradients, usable):
        return Plan(TENSOR, volumes, "", tuple(notes))
    levels = len(set(gradients.shells()[usable]))
    if levels < 2:
        raise InputError(
            f"{name} has the one b-value {np.median(b[usable]):g} s/mm2; two at least, one of them 0 or low, are needed for ADC"
        )
    if b[usable].min() > _CLOSE * b[usable].max():
        raise InputError(
            f"{name} has b-values of {b[usable].min():g} to {b[usable].max():g} s/mm2, too close to each other for ADC; one of "
            "0 or low is needed"
        )
    count = _independent(gradients, usable)
    if not directed.any():
        why = (
            "FA was not computed: no gradient directions are known. ADC takes each volume for a mean over directions (trace-weighted), as "
            "scanners make them; of single directions it would be the ADC of those."
        )
        return Plan(MEAN, volumes, why, tuple(notes))
    if _means(gradients, usable):
        why = (
            f"FA was not computed: it needs 6 independent directions, and there are {count}. ADC is the mean over them, which are spread "
            "evenly, so that it is that of the tensor."
        )
        return Plan(MEAN, volumes, why, tuple(notes))
    raise InputError(
        f"{name} has {count} independent gradient directions with a b-value above 0, not spread evenly in space: FA needs 6, ADC 3 at "
        "right angles to each other"
    )


def design(b: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The matrix (t, 7) of ln S = ln S0 - b g' D g for ``ln S0, Dxx, Dyy, Dzz, Dxy, Dxz, Dyz``; D in um2/ms (1e-3 mm2/s).

    A volume without direction counts as a mean over directions, which matters where the lowest b-value is not quite 0.
    """
    x, y, z = directions.T
    third = np.where(directions.any(axis=1), 0.0, 1.0 / 3.0)
    columns = (x * x + third, y * y + third, z * z + third, 2 * x * y, 2 * x * z, 2 * y * z)
    return np.stack([np.ones_like(b), *(-b / 1000.0 * c for c in columns)], axis=1)


def _determined(gradients: Gradients, volumes: np.ndarray) -> bool:
    """Whether volumes (boolean) tell a tensor."""
    if volumes.sum() < 7 or not gradients.b[volumes].any():
        return False
    b, shells = gradients.b[volumes], gradients.shells()[volumes]
    # Each shell counts once, however many volumes it has: one without weight is enough beside hundreds with one.
    rows = design(1000.0 * b / b.max(), gradients.directions[volumes]) / np.sqrt(np.bincount(shells)[shells])[:, None]
    values = np.linalg.svd(rows, compute_uv=False)
    return bool(values[-1] > _RANK * values[0])


def _independent(gradients: Gradients, volumes: np.ndarray) -> int:
    """How many of the six numbers of a tensor the directions tell."""
    chosen = volumes & gradients.weighted & gradients.directions.any(axis=1)
    if not chosen.any():
        return 0
    values = np.linalg.svd(design(np.full(chosen.sum(), 1000.0), gradients.directions[chosen])[:, 1:], compute_uv=False)
    return int((values > _RANK * values[0]).sum())


def _means(gradients: Gradients, volumes: np.ndarray) -> bool:
    """Whether the mean over the directions of every shell is that over all of space, for any tensor."""
    numbers = gradients.shells()
    for shell in set(numbers[volumes & gradients.weighted]):
        g = gradients.directions[volumes & (numbers == shell)]
        if g.any() and np.abs(g.T @ g / len(g) - np.eye(3) / 3).max() > _EVEN:
            return False
    return len(set(numbers[volumes])) > 1


def unweighted(series: Series, gradients: Gradients) -> sitk.Image:
    """The mean of the volumes without diffusion weight, or of those with the least; float32."""
    gradients.check_count(series)
    first = gradients.shells() == 0
    return series.grid.image(series.frames[first].mean(axis=0))


def read_gradients(bval: str | Path, bvec: str | Path | None = None, name: str = "the series") -> Gradients:
    """Read b-values and directions from text files as FSL, dcm2niix and BIDS have them.

    Parameters
    ----------
    bval
        b-values in s/mm2 in a row or a column.
    bvec
        Three rows with a number per volume, or a row of three numbers per volume; None for none.

    Raises
    ------
    InputError
        If a file cannot be read, or its numbers do not fit (`Gradients.of`).
    """
    b = np.concatenate(_rows(bval))
    return Gradients.of(b, None if bvec is None else read_directions(bvec, b.size), name)


def gradients_beside(path: str | Path) -> Gradients:
    """Those of the files ``.bval`` and ``.bvec`` with an image's name.

    Raises
    ------
    InputError
        If there is no ``.bval``, or a file does not fit.
    """
    bval, bvec = (beside(path, ending) for ending in (".bval", ".bvec"))
    if bval is None:
        raise InputError(
            f"{path} has no .bval file beside it, and its b-values are not known; a text file with one in s/mm2 per volume is needed "
            f"({option('--bval')})"
        )
    return read_gradients(bval, bvec, Path(path).name)


def read_directions(path: str | Path, count: int) -> np.ndarray:
    """Directions (count, 3) of a text file, see `read_gradients`."""
    rows = _rows(path)
    widths = {len(r) for r in rows}
    if len(rows) == 3 and widths == {count}:
        return np.asarray(rows).T
    if len(rows) == count and widths == {3}:
        return np.asarray(rows)
    shape = f"{len(rows)} rows of {' or '.join(str(w) for w in sorted(widths))} numbers"
    raise InputError(
        f"{path} has {shape} and there are {count} b-values; three rows with a number per volume are needed"
    )


def read_b_values(path: str | Path) -> np.ndarray:
    """b-values (t,) of a text file, see `read_gradients`."""
    return np.concatenate(_rows(path))


def _rows(path: str | Path) -> list[np.ndarray]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; a text file with a number per volume is needed") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from error
    try:
        rows = [
            np.array([float(v) for v in line.replace(",", " ").split()]) for line in text.splitlines() if line.strip()
        ]
    except ValueError as error:
        raise InputError(f"{path} holds a value that is no number ({error}); a number per volume is needed") from error
    if not rows:
        raise InputError(f"{path} is empty; a number per volume is needed")
    return rows
