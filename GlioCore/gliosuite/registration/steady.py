"""A series as maps are made of it: moved back where a head moved, left as it is where that cannot be told."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import write_csv
from ..images import Series
from ..steps import Progress, silent
from .motion import Motion, correct_motion
from .motion.head import FARTHEST_MM, no_head
from .pictures import write_motion

_MOST_OUTLYING = 0.25  # of the frames; chosen: where more fit none of the others, the fit is not to be trusted


@dataclass(frozen=True)
class Steady:
    """A `series`, how the head moved in it (None where that was not corrected), and what a reader should know."""

    series: Series
    motion: Motion | None
    notes: tuple[str, ...]

    @property
    def record(self) -> dict[str, Any]:
        """``{"motion": ...}`` with `Motion.summary`; empty where motion was not corrected."""
        return {} if self.motion is None else {"motion": self.motion.summary}

    def write(self, folder: Path) -> list[str]:
        """Write motion.csv and motion.png into a folder, where motion was corrected; their names."""
        if self.motion is None:
            return []
        write_csv(folder / "motion.csv", *self.motion.table())
        try:
            write_motion(self.motion, folder / "motion.png")
        except InputError as error:
            warnings.warn(f"motion.png was not written: {error}", stacklevel=2)
            return ["motion.csv"]
        return ["motion.csv", "motion.png"]


def steady(series: Series, progress: Progress = silent) -> Steady:
    """Correct the motion of a head; leave alone what is no head, or where motion and contrast cannot be told apart.

    A phantom whose blocks fill with contrast agent looks like one that moves, so that a correction which nobody asked for has to be sure:
    the image is as large as a head, no frame lies farther off than a head can move, and nearly all frames fit each other after it.
    `correct_motion` does as it is told.
    """
    if reason := no_head(series):
        return uncorrected(series, reason)
    try:
        motion = correct_motion(series, progress=progress)
    except InputError as error:
        return uncorrected(series, str(error))
    if reason := _doubtful(motion):
        return uncorrected(series, reason)
    said = motion.summary
    note = (
        f"Motion: the head moved by up to {said['max_displacement_mm']:.2f} mm (root mean square over the head) and "
        f"{said['max_rotation_deg']:.2f} degrees against the first frames; {said['frames_corrected']} of {said['frames']} frames were "
        "moved back, before the AIF was chosen (motion.csv)."
    )
    return Steady(motion.series, motion, (note, *motion.notes))


def uncorrected(series: Series, reason: str = "") -> Steady:
    """The series as it is."""
    return Steady(series, None, (f"Motion was not corrected{': ' * bool(reason)}{reason}.",))


def _doubtful(motion: Motion) -> str:
    """Why the motion that was found is not to be trusted; empty where it is."""
    if not motion.told:
        return "hardly any tissue keeps its signal throughout, so that motion and contrast could not be separated"
    share = float(motion.outliers.mean())
    if share > _MOST_OUTLYING:
        return f"{motion.outliers.sum()} of {len(motion.outliers)} frames do not fit the others, however they are moved"
    farthest = float(motion.displacements_mm.max())
    if farthest > FARTHEST_MM:
        return f"frames seemed to lie up to {farthest:.0f} mm off, which is farther than a head moves"
    return ""
