"""The bolus of a whole series, found or given, and the reasons not to believe one that is found: without a baseline nothing is right."""

from collections.abc import Callable

import numpy as np

from ..curves import Bolus, bolus_after, enhancing_mean, find_bolus, noise_sd
from ..errors import InputError, option
from .settings import DceSettings, DscSettings

_SAMPLE = 20000  # curves at most that are looked at one by one; chosen
_SOON_S = 20.0  # after the arrival a bolus has changed what it changes most; chosen
_LEAST_AFTER = 5  # frames from the arrival on; chosen, fewer show no first pass
_SURE = 4.0  # standard errors by which a curve has changed; chosen, chance does that in 1 of 16 000
# What follows was chosen on simulated patients 7301, 7302, 7411 and 7412, whole and cut at up to 40 frames from the arrival, and on
# phantoms of one tissue with and without vessels; the values of whole series and of cut ones are said.
# Voxels that change with the agent over those that change against it: 14 and more, 2.4 in a body that moves (dce-invivo-vfa, which is no
# simulation); without a bolus up to 2 in 31 of 35.
_ONE_WAY = 2.0
# DCE. The strongest curves have half of their rise within this time (5 to 15 s; cut 20 to 70), or, in a slow infusion, rise for longer from
# a baseline of so many frames, all in steady state, whose own slope with two standard errors is this share of the rise's.
_HALF_S, _SLOW_S, _FLAT, _FLAT_FRAMES = 25.0, 60.0, 0.2, 5
_GLOBAL = 0.2  # of the strongest curves' fall to steady state: all tissue falls like that, arteries that lose agent fall alone
# Frames of a baseline, and a change after it (.4 and more; cut .02 to .2), that tell nothing together.
_SHORT, _WEAK = 10, 0.2
# SD and share of the usual signal by which a voxel falls at once, and the share of such voxels that tells.
_FALLS, _FALL, _FALLING = 6.0, 0.1, 0.003
_FEW = 3  # frames of a baseline; with fewer, or as many, the first may hold agent
# DSC: a change after a short baseline that tells nothing (.2 and more; cut .02 to .07); by what share of its signal a voxel ends
# higher than it begins, and the share of such voxels (up to .06; cut .1 to .9) that tells.
_WEAK_DSC, _RECOVER, _RECOVERING = 0.1, 0.03, 0.15


def locate(
    curves: np.ndarray, times_s: np.ndarray, settings: DceSettings | DscSettings, rising: bool, name: str
) -> Bolus:
    """The bolus in curves (n, t): as the settings give it, or found and believed.

    It is sought in the 5 % of curves that change most; for DSC first in those that change most and come back, since at edges a head that
    moves changes the signal more than a bolus does, but for good. Where what is found there cannot be a bolus, it is sought in the mean of
    all curves, in which a movement does not show.

    Parameters
    ----------
    rising
        Whether contrast agent raises the curves.
    name
        Of the series, for messages.

    Raises
    ------
    InputError
        If none is seen, or the series starts in it or after it; if both or impossible values are given.
    """
    dce = isinstance(settings, DceSettings)
    if settings.baseline is not None or settings.arrival_s is not None:
        # All tissue falls to steady state; in those that change most, arteries that lose agent would look the same.
        return _given(curves.mean(axis=0), times_s, settings, rising, name)
    means: list[Callable[[], np.ndarray]] = [lambda: _strongest(curves, rising, name), lambda: curves.mean(axis=0)]
    if not dce:
        means.insert(0, lambda: _passing(curves, rising))
    sample = np.asarray(curves[:: -(-len(curves) // _SAMPLE)], np.float64)
    refusal = None
    for mean in means:
        try:
            curve = mean()
            bolus = find_bolus(curve, rising, name)
            _believe(bolus, curve if rising else -curve, sample if rising else -sample, times_s, dce, name)
        except InputError as error:
            refusal = refusal or error
        else:
            return bolus
    raise refusal or InputError(f"{name} shows no bolus")


def _strongest(curves: np.ndarray, rising: bool, name: str) -> np.ndarray:
    """The mean of the curves that change most against their baseline."""
    rough = find_bolus(enhancing_mean(curves, rising), rising, name, foot=False)
    return enhancing_mean(curves, rising, baseline=slice(rough.steady, rough.arrival))


def _passing(curves: np.ndarray, rising: bool) -> np.ndarray:
    """The mean of the 5 % of curves that change most and come back."""
    ends = max(2, curves.shape[1] // 8)
    sign = 1.0 if rising else -1.0
    top = sign * (curves.max(axis=1) if rising else curves.min(axis=1))
    passing = np.min([top - sign * np.median(part, axis=1) for part in (curves[:, :ends], curves[:, -ends:])], axis=0)
    some = np.argsort(-passing, kind="stable")[: max(1, round(0.05 * len(curves)))]
    return curves[some].mean(axis=0)


def _given(
    curve: np.ndarray, times_s: np.ndarray, settings: DceSettings | DscSettings, rising: bool, name: str
) -> Bolus:
    """The bolus with the baseline or the arrival of the settings."""
    frames, arrival_s, n = settings.baseline, settings.arrival_s, times_s.size
    if frames is not None and arrival_s is not None:
        raise InputError(f"both {option('--baseline')} and {option('--arrival')} are given; one of them is needed")
    if arrival_s is None:
        frames = frames or 0
        if not 1 <= frames <= n - 2:
            raise InputError(
                f"{option('--baseline')} is {frames} and {name} has {n} frames that can be used; a number from 1 to {n - 2} is needed"
            )
        found = bolus_after(curve, rising, n_baseline=frames)
        if found.arrival > n - 2:
            raise InputError(
                f"{option('--baseline')} is {frames}, and {found.steady} frames of {name} come before steady state; fewer are needed, so "
                "that two frames with contrast agent are left"
            )
        return found
    arrival = int(np.searchsorted(times_s, arrival_s - 1e-6))
    if not 1 <= arrival <= n - 2:
        raise InputError(
            f"{option('--arrival')} is {arrival_s:g} s and {name} runs from {times_s[0]:g} s to {times_s[-1]:g} s; a time after the first "
            f"frame and up to {times_s[-2]:g} s is needed"
        )
    return bolus_after(curve, rising, arrival=arrival)


def _believe(bolus: Bolus, mean: np.ndarray, curves: np.ndarray, times_s: np.ndarray, dce: bool, name: str) -> None:
    """Refuse what was found in a mean curve (t,) if curves (n, t) say that it is none; both rise with agent here.

    Raises
    ------
    InputError
        With the reason, and that ``--baseline`` overrules it.
    """
    if times_s.size - bolus.arrival < _LEAST_AFTER:
        raise InputError(
            f"{name}: its bolus arrives in frame {bolus.arrival + 1} of {times_s.size} that can be used; at least {_LEAST_AFTER} with "
            f"contrast agent are needed (give {option('--baseline')}, if it comes earlier)"
        )
    noise = noise_sd(curves)
    why = _one_way(bolus, curves, noise, times_s, dce)
    if why:
        raise InputError(f"{name} shows no bolus: {why}{_overrule()}")
    why = _dce_begins_late(bolus, mean, curves, noise, times_s) if dce else _dsc_begins_late(bolus, curves, noise)
    if why:
        raise InputError(f"{name} has no baseline: {why}{_overrule()}")


def _overrule() -> str:
    return (
        f"; a series that starts before the contrast agent arrives is needed (give {option('--baseline')}, if it does)"
    )


def _one_way(bolus: Bolus, curves: np.ndarray, noise: np.ndarray, times_s: np.ndarray, dce: bool) -> str:
    """Why the change at the arrival is no contrast agent's; empty where it may be."""
    count, arrival_s = bolus.arrival - bolus.steady, times_s[bolus.arrival]
    soon = (times_s >= arrival_s) & (times_s <= arrival_s + _SOON_S)
    change = curves[:, soon].mean(axis=1) - curves[:, bolus.steady : bolus.arrival].mean(axis=1)
    sure = _SURE * noise * np.sqrt(1.0 / count + 1.0 / soon.sum())
    ways = float(np.mean(change > sure)), float(np.mean(change < -sure))
    if ways[0] >= _ONE_WAY * ways[1]:
        return ""
    rises, falls = ways if dce else ways[::-1]
    return (
        f"from {arrival_s:.1f} s on, where its signal changes most, it rises in {100 * rises:.0f} % of the voxels and falls in "
        f"{100 * falls:.0f} %, as when the head moves or contrast agent leaves"
    )


def _dce_begins_late(bolus: Bolus, mean: np.ndarray, curves: np.ndarray, noise: np.ndarray, times_s: np.ndarray) -> str:
    """Why the frames before the arrival are no baseline; empty where they may be one."""
    count = bolus.arrival - bolus.steady
    first, settled = curves[:, 0], curves[:, bolus.steady]
    if bolus.steady and (settled > 0).any():
        usual = float(np.median(first[settled > 0] / settled[settled > 0])) - 1.0
        alone = usual < _GLOBAL * (mean[0] / mean[bolus.steady] - 1.0)
        if alone and _share_that_falls(first, settled, noise) > _FALLING:
            return "its first frames fall in some voxels and not in most, as when contrast agent leaves the arteries"
    if not _begins(bolus, mean, times_s):
        return (
            f"from {times_s[bolus.arrival]:.1f} s on it rises slowly, and before that it is not seen to be flat, as after a bolus "
            "that came before the series"
        )
    if count < _SHORT and bolus.change < _WEAK:
        return _weak(bolus, "rises")
    if count > _FEW:
        return ""
    # Where the agent is there in the first frame, arteries fall from there on while tissue still rises.
    first = curves[:, bolus.steady]
    since = times_s - times_s[bolus.steady]
    later = np.flatnonzero(since <= max(_SOON_S, 3.1 * float(np.median(np.diff(times_s)))))[-2:]
    share = _share_that_falls(first, curves[:, later].mean(axis=1), noise)
    if share <= _FALLING:
        return ""
    return f"{100 * share:.1f} % of its voxels fall from its first frame on, as when contrast agent is in the arteries already"


def _share_that_falls(first: np.ndarray, later: np.ndarray, noise: np.ndarray) -> float:
    """The share of voxels that are lower later than first by more than noise."""
    return float(np.mean(first - later > np.maximum(_FALLS * noise, _FALL * np.median(np.abs(first)))))


def _dsc_begins_late(bolus: Bolus, curves: np.ndarray, noise: np.ndarray) -> str:
    """The same of DSC; the curves are the signal's, turned upside down."""
    count = bolus.arrival - bolus.steady
    if count < _FEW:
        return (
            f"its bolus begins in frame {bolus.arrival + 1}, so that the frames before may hold contrast agent already"
        )
    if count >= _SHORT:
        return ""
    if bolus.change < _WEAK_DSC:
        return _weak(bolus, "falls")
    end = max(3, curves.shape[1] // 4)
    first = curves[:, bolus.steady : bolus.steady + 2].mean(axis=1)
    gain = first - curves[:, -end:].mean(axis=1)
    sure = np.maximum(_SURE * noise * np.sqrt(0.5 + 1.0 / end), _RECOVER * np.abs(first))
    higher, lower = float(np.mean(gain > sure)), float(np.mean(gain < -sure))
    if higher <= _RECOVERING or higher < _ONE_WAY * lower:
        return ""
    return f"{100 * higher:.0f} % of its voxels are darker in its first frames than in its last, as when the bolus is in the brain already"


def _weak(bolus: Bolus, how: str) -> str:
    many = "frame" if bolus.arrival == 1 else f"{bolus.arrival} frames"
    return f"after its first {many} it {how} by {100 * bolus.change:.0f} % only, as it may when the bolus is over"


def _begins(bolus: Bolus, mean: np.ndarray, times_s: np.ndarray) -> bool:
    """Whether a curve (t,) rises fast after the arrival, or slowly after a baseline that is flat for sure."""
    start = bolus.arrival - 1
    y, t = mean[bolus.steady : bolus.arrival], times_s[bolus.steady : bolus.arrival]
    after = mean[start:] - y.mean()
    half = int(np.argmax(after >= 0.5 * (mean[bolus.peak] - y.mean())))
    time = float(times_s[start + half] - times_s[start])
    if time <= max(_HALF_S, 2.1 * float(np.median(np.diff(times_s)))):
        return True
    if bolus.steady or y.size < _FLAT_FRAMES or time > _SLOW_S:
        return False
    spread = float(((t - t.mean()) ** 2).sum())
    slope = float(((t - t.mean()) * y).sum()) / spread
    return slope + 2.0 * float(noise_sd(mean)) / np.sqrt(spread) <= _FLAT * float(after[half]) / time
