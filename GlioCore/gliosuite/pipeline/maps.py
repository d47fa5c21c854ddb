"""DCE and DSC of a case: fitted on their native grids, the maps carried to the common grid."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ..compute import each
from ..curves import before_bolus
from ..errors import InputError, door
from ..files import plain, read_json, write_csv
from ..images import (
    Grid,
    Series,
    array,
    boolean,
    box_around,
    interpolation,
    is_draft,
    read_image,
    resample,
    resample_mask,
    said_of,
    write_image,
)
from ..perfusion.regions import CATEGORIES, leave_out, only_known_ve, share_of_ve
from ..perfusion.settings import T10_TISSUE_S, DceSettings, DscSettings
from ..resources import look
from ..settings import settings_of
from ..statistics import histogram_table, statistics_table
from ..steps import Progress, part
from .context import SERIES_NEEDS, Done, Run, RunSettings, SkippedStep
from .habitats import keep_curves

if TYPE_CHECKING:
    from ..perfusion.result import PerfusionMaps
    from ..registration.steady import Steady

# What a case says of a series, in place of options.
_CASE_KEYS = ("tr_ms", "te_ms", "flip_angle_deg", "hematocrit", "relaxivity")
_NO_MAPS = (*CATEGORIES, "mask", "out_of_distribution")  # of the images of a step: no mean of them says anything
_LESION = ("cel", "t2l", "cavity")  # what is not normal brain


def names_in_run(kind: str) -> dict[str, str]:
    """What a person who started a run calls the options of ``gliosuite dce`` or ``dsc`` (`kind`): the run's own, or a key of the case."""
    own, run = settings_of({"dce": DceSettings, "dsc": DscSettings}[kind]), settings_of(RunSettings)
    names = {one.flag: run[name].flag for name, one in own.items() if name in run}
    names |= {one.flag: run[f"{kind}_{name}"].flag for name, one in own.items() if f"{kind}_{name}" in run}
    names |= {own[key].flag: f"images.{kind}.{key} in case.json" for key in _CASE_KEYS if key in own}
    roles = {"--t10": f"images.{kind}.t10_s or images.vfa", "--b1": "images.b1", "--mask": "masks.brain"}
    return names | {flag: f"{role} in case.json" for flag, role in roles.items()}


def _through_run(kind: str) -> contextlib.AbstractContextManager[None]:
    return door(names_in_run(kind), f"gliosuite {kind}")


def on_native(run: Run, role: str, grid: Grid, names: tuple[str, ...]) -> dict[str, sitk.Image]:
    """Those of the masks that there are, on a series' native grid; none where they cannot be carried."""
    transform = run.transform(role)
    if transform is None:
        return {}
    back = transform.GetInverse()
    return {name: resample_mask(mask, grid, back) for name, mask in run.masks(*names).items()}


def steady_dce(run: Run, progress: Progress) -> "Steady | None":
    """The DCE series, corrected for motion where that is wanted; None without one."""
    return _steady(run, "dce", progress)


def steady_dsc(run: Run, progress: Progress) -> "Steady | None":
    """The DSC series likewise."""
    return _steady(run, "dsc", progress)


def _steady(run: Run, role: str, progress: Progress) -> "Steady | None":
    from ..registration.steady import steady, uncorrected

    if role not in run:
        return None
    run.case.need(role, *SERIES_NEEDS[role])
    series = run.case.series(role)
    with _through_run(role):
        return steady(series, progress) if run.settings.motion else uncorrected(series)


def to_reference(run: Run, role: str, mask: sitk.Image, maps: dict[str, sitk.Image], folder: Path) -> None:
    """Write maps and the mask of what was fitted on the common grid; a voxel is undefined where most of its parts are undefined."""
    transform = run.transform(role)
    if transform is None:
        return
    inside = array(mask) > 0
    native = Grid.of(mask)
    fitted = array(resample(native.image(inside.astype(np.float32)), run.grid, transform)) > 0.5
    write_image(run.grid.image(fitted), folder / "on_t1c" / "mask.nii.gz", f"{role} voxels that were fitted")
    matrix = interpolation(native, run.grid, transform, fitted)
    whole = matrix @ inside.ravel().astype(np.float64)

    def carry(map_: tuple[str, sitk.Image]) -> None:
        name, values = map_[0], array(map_[1])
        defined = inside & np.isfinite(values)
        weight = whole if np.array_equal(defined, inside) else matrix @ defined.ravel().astype(np.float64)
        carried = matrix @ np.where(defined, values, 0).ravel().astype(np.float64)
        result = np.zeros(run.grid.shape, np.float32)
        result[fitted] = np.where(weight > 0.5, carried / np.maximum(weight, 1e-6), np.nan)
        write_image(run.grid.image(result), folder / "on_t1c" / f"{name}.nii.gz", name)

    each(carry, list(maps.items()))


def _with_sd(made: "PerfusionMaps") -> dict[str, sitk.Image]:
    return made.maps | {f"{name}_sd": image for name, image in made.sd.items()}


def dce(run: Run, folder: Path, progress: Progress) -> Done:
    """DCE maps of the case, native and on the common grid."""
    from ..perfusion.dce import dce_maps, preset, preset_settings, write

    if "dce" not in run:
        raise SkippedStep("the case has no DCE series")
    tr_ms, flip, times = run.case.need("dce", *SERIES_NEEDS["dce"])
    known = run.case.acquisition("dce")
    steady: Steady = run.early
    series, notes = steady.series, steady.notes
    steady.write(folder)
    masks = on_native(run, "dce", series.grid, ("brain", "cel"))
    named = preset(run.settings.dce_preset) if run.settings.dce_preset else None
    own = {
        "model": run.settings.dce_model,
        "delay": run.settings.dce_delay,
        "dispersion_s": run.settings.dce_dispersion_s,
    }
    settings = preset_settings(
        run.settings.dce_preset,
        **({} if named else own),
        tr_ms=tr_ms,
        flip_angle_deg=flip,
        hematocrit=known.get("hematocrit", run.settings.hematocrit),
        relaxivity=known.get("relaxivity", run.settings.relaxivity),
        te_ms=known.get("te_ms"),
        baseline=run.settings.dce_baseline,
        arrival_s=run.settings.dce_arrival_s,
    )
    t10, how = _t10(run, series, known, alike=True)
    if named and named.t10_s is not None:
        t10, how = named.t10_s, f"T1 before contrast: {named.t10_s:g} s everywhere, as the preset {named.name} has it."
    with _through_run("dce"):
        maps = dce_maps(
            series,
            times,
            settings,
            aif=named.aif if named else run.settings.dce_aif,
            t10=t10,
            mask=masks.get("brain"),
            progress=part(progress, 0.0, 0.9),
            b1=run.case.image("b1") if "b1" in run else None,
            lesion=masks.get("cel"),
        )
    write(maps, folder)
    to_reference(run, "dce", maps.mask, _with_sd(maps), folder)
    return Done({"aif": maps.aif.how, "t10": how} | plain(steady.record), plain(settings), [how, *notes, *maps.notes])


def synthesis(run: Run, folder: Path, progress: Progress) -> Done:
    """The DCE maps refined by the posterior network, native and on the common grid."""
    from ..perfusion.synthesis import FILES, Fitted, posterior
    from ..perfusion.synthesis.output import images, write

    made = run.result("dce", "fit.json")
    if made is None:
        raise SkippedStep("there are no DCE maps to refine")
    for name in FILES:
        run.result("dce", name)  # seen, so that the step is done anew where one has changed
    try:
        fitted = Fitted.read(made.parent)
    except InputError as error:
        raise SkippedStep(str(error)) from None
    refined = posterior(fitted, None, part(progress, 0.0, 0.6))
    record = write(refined, fitted, folder)
    to_reference(run, "dce", refined.mask, images(refined), folder)
    return Done({"model": record["model"], "outside_share": record["outside_share"]}, {}, record["notes"])


def _t10(run: Run, series: Series, known: dict[str, Any], alike: bool) -> tuple[float | sitk.Image, str]:
    """The T1 before contrast where a series lies: fitted from VFA where there is one, else as given, else 1 s (S0's value).

    `alike`: the series has the contrast of the VFA's volumes, so that each can be laid onto it.
    """
    if "vfa" in run:
        t1, moved = _fitted_t1(run, series, alike)
        with_b1 = " with the case's B1 map" if "b1" in run else ""
        return t1, f"T1 before contrast: fitted from the variable flip angle series{with_b1}, {moved}."
    if "t10_s" in known:
        return float(known["t10_s"]), f"T1 before contrast: {known['t10_s']} s everywhere, as case.json gives it."
    return (
        T10_TISSUE_S,
        f"T1 before contrast: {T10_TISSUE_S:g} s everywhere (Yoon 2024), since the case has no T1 map; ktrans, ve and vp scale with it.",
    )


def _fitted_t1(run: Run, series: Series, alike: bool) -> tuple[sitk.Image, str]:
    """T1 on the grid of a series, and how it came to lie there.

    In enhancing tumour two millimetres make T1, and with it ktrans, wrong by a tenth. Signals are interpolated rather than T1, since a
    voxel of the series has a mean of signals too.
    """
    from ..perfusion.t1 import T1Settings, t1_maps
    from ..registration.motion import align_flip_angles, align_onto, brightest

    flips, tr_ms = run.case.need("vfa", "flip_angle_deg", "tr_ms")
    settings = T1Settings(tr_ms, tuple(flips))
    b1 = run.case.image("b1") if "b1" in run else None
    vfa = run.case.series("vfa")
    if alike:
        try:
            aligned = align_onto(vfa, before_bolus(series))
        except InputError:
            pass  # the way that needs no like contrast is left
        else:
            said = f"each volume aligned to the series (by up to {aligned.largest_mm:.1f} mm)"
            return t1_maps(aligned.series, settings, b1).t1, said
    try:
        aligned = align_flip_angles(vfa)
        vfa, said = aligned.series, f"each volume aligned to the brightest (by up to {aligned.largest_mm:.1f} mm)"
    except InputError as error:
        said = f"its volumes as they are ({error})"
    t1 = t1_maps(vfa, settings, b1).t1
    transform, moved = _between(run, series, brightest(vfa))
    return resample(t1, series.grid, transform), f"{said}, {moved}"


def _between(run: Run, series: Series, moving: sitk.Image) -> tuple[sitk.Transform | None, str]:
    """From points of a series to those of an image that was taken when the head lay elsewhere, and how that was found."""
    from ..registration import RegistrationSettings, register

    try:
        found = register(
            before_bolus(series), moving, RegistrationSettings(stages=("rigid",)), engine=run.settings.engine
        )
    except InputError as error:
        return None, f"used in its own position, since it could not be registered to the series ({error})"
    return found.transform, "rigidly registered to the series"


def dsc(run: Run, folder: Path, progress: Progress) -> Done:
    """DSC maps of the case, native and on the common grid."""
    from ..perfusion.dsc import dsc_maps, write

    if "dsc" not in run:
        raise SkippedStep("the case has no DSC series")
    te_ms, tr_ms = run.case.need("dsc", *SERIES_NEEDS["dsc"])
    steady: Steady = run.early
    series, notes = steady.series, steady.notes
    steady.write(folder)
    masks = on_native(run, "dsc", series.grid, ("brain", *_LESION))
    known = run.case.acquisition("dsc")
    settings = DscSettings(
        te_ms=te_ms,
        tr_ms=tr_ms,
        leakage=run.settings.leakage,
        deconvolution=run.settings.deconvolution,
        baseline=run.settings.dsc_baseline,
        arrival_s=run.settings.dsc_arrival_s,
        flip_angle_deg=known.get("flip_angle_deg"),
        t10_s=known.get("t10_s", DscSettings.t10_s),
    )
    # A leakage fit through the signal equation asks for T1 and flip angle in each voxel.
    asks = settings.leakage in ("residue", "auto") and settings.flip_angle_deg is not None
    t10 = _t10(run, series, known, alike=False)[0] if asks and "vfa" in run else None
    lesion = [boolean(masks[n]) for n in _LESION if n in masks]
    times = known.get("times_s") or [i * tr_ms / 1000.0 for i in range(series.n_times)]
    with _through_run("dsc"):
        maps = dsc_maps(
            series,
            times,
            settings,
            mask=masks.get("brain"),
            nawm="auto" if "brain" in masks and lesion else None,
            brain=masks.get("brain"),
            lesion=series.grid.image(np.any(lesion, axis=0)) if lesion else None,
            progress=part(progress, 0.0, 0.9),
            t10=t10 if isinstance(t10, sitk.Image) else None,
            b1=run.case.image("b1") if asks and "b1" in run else None,
        )
    write(maps, folder)
    to_reference(run, "dsc", maps.mask, _with_sd(maps), folder)
    said = settings.baseline is not None or settings.arrival_s is not None
    masks |= on_native(run, "dsc", series.grid, ("necrosis",))
    keep_curves(masks, series, times, maps, folder, maps.bolus if said else None)
    return Done({"aif": maps.aif.how} | plain(steady.record), plain(settings), [*notes, *maps.notes])


def regions(run: Run, folder: Path, progress: Progress) -> Done:
    """Statistics and histograms of every map in every region on the common grid."""
    masks, drafts = _regions(run)
    maps: dict[str, np.ndarray] = {}
    heads: dict[str, str] = {}
    # Only what lies around the regions is kept of each map.
    somewhere = np.any([*masks.values()], axis=0) if masks else np.zeros(1, bool)
    box = box_around(somewhere) if somewhere.any() else ...
    for kind in ("dce", "dsc", "synthesis", "dti"):
        mask = run.results(f"{kind}/on_t1c", lambda name: name == "mask", lambda image: boolean(image)[box])
        if not mask:
            continue

        def within(image: sitk.Image, fitted: np.ndarray = mask["mask"]) -> np.ndarray:
            # A fitted 0 (ktrans on its bound) counts; a voxel that was not fitted does not.
            return np.where(fitted, array(image)[box], np.nan)

        counts = lambda name: name not in _NO_MAPS and not name.endswith(("_lower", "_upper"))
        found = run.results(f"{kind}/on_t1c", counts, within)
        path = run.result(kind, "fit.json")
        said = read_json(path).get("heads", {}) if path else {}
        # The kep of DSC's leakage is another one than that of DCE.
        names = {name: f"{kind}_{name}" if name in maps else name for name in found}
        maps |= {names[n]: values for n, values in found.items()}
        heads |= {names[n]: said.get(n, look(n).head) for n in found}
    if not masks or not maps:
        raise SkippedStep("there are no maps, or no regions")
    masks = {name: mask[box] for name, mask in masks.items()}
    told = only_known_ve(maps, maps.get("ve_sd"))
    notes = []
    if told is not None:
        inside = {n: m & np.isfinite(maps["ktrans"]) for n, m in masks.items()}
        notes = [share_of_ve(n, told[m]) for n, m in inside.items() if m.any()]
    if run.settings.max_uncertainty is not None:
        sd = {name: maps[f"{name}_sd"] for name in maps if f"{name}_sd" in maps}
        notes += leave_out(maps, sd, run.settings.max_uncertainty)
    write_csv(folder / "regions.csv", *statistics_table(maps, heads, masks, run.grid.spacing, drafts))
    progress(0.8, "histograms")
    write_csv(folder / "regions_histogram.csv", *histogram_table(maps, heads, masks))
    return Done(notes=notes)


def _regions(run: Run) -> tuple[dict[str, np.ndarray], set[str]]:
    """The lesions step's masks, normal brain away from lesions, and the normal white matter of DSC, booleans (z, y, x); which are drafts.

    What is normal was found with the lesions' masks, so that it is a draft where one of them is.
    """
    found = run.masks()
    drafts = {n for n, m in found.items() if is_draft(said_of(m))}
    masks = {n: boolean(m) for n, m in found.items()}
    apart = [n for n in ("cel", "t2l", "necrosis", "cavity", "ventricles") if n in masks]
    drafts |= {"normal", "nawm"} if drafts & {"brain", *apart} else set()
    if "brain" in masks:
        lesion = np.any([masks[n] for n in apart], axis=0)
        near = sitk.BinaryDilate(
            run.grid.image(np.broadcast_to(lesion, run.grid.shape).copy()), [round(10 / s) for s in run.grid.spacing]
        )
        masks["normal"] = masks["brain"] & ~boolean(near)
    transform = run.transform("dsc")
    if masks and transform is not None and (path := run.result("dsc", "nawm.nii.gz")):
        masks["nawm"] = boolean(resample_mask(read_image(path), run.grid, transform))
    return masks, drafts
