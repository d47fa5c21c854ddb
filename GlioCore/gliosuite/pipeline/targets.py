"""Target volumes of a case, their comparison with the progression, and the RT structure set."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk

from ..errors import InputError, option
from ..files import plain, write_csv
from ..images import DRAFT, boolean, is_draft, read_image, volume_cc, write_image
from ..steps import Progress
from .context import BARRIERS, PROBABILITY, PROGRESSION, Done, Run, SkippedStep
from .structure import carried_image, carried_mask, mask_says, require_same_place

if TYPE_CHECKING:
    from ..rt.barriers import BarrierMasks
    from ..rt.targets import Structures


LESION = ("cel", "t2l", "cavity", "necrosis")
# Of a probability whose model is not known; chosen, because a voxel is included where a recurrence is more likely than not.
USUAL_THRESHOLD = 0.5
_BRAIN = {"file": "file", "image": "the image's own foreground", "draft": "draft"}  # by its source


def rt(run: Run, folder: Path, progress: Progress) -> Done:
    """CTVs by rule and from a recurrence probability, compared where there is a progression, and the RT structure set."""
    from ..rt.targets import Structures, TargetVolumes, drawn_once, target_volumes

    masks = run.masks()
    if "brain" not in masks:
        raise SkippedStep("there is no brain mask")
    lesion, left_out = usable_lesion(run, masks)
    if not {"cel", "t2l", "cavity"} & set(lesion):
        why = " ".join(left_out) or "CEL, T2L and cavity are all absent or empty"
        raise SkippedStep(f"there is no lesion that a target volume can rest on: {why}")
    cel, t2l, cavity, necrosis = (lesion.get(n) for n in LESION)
    structures = Structures(masks["brain"], cel, t2l, cavity, necrosis)
    progress(0.02, "barriers")
    barriers, lost = _barriers(run, structures)
    source = barriers.source if barriers else "none"
    done = Done(
        {"barriers": {"source": source, "rules": barriers.rules if barriers else {}}},
        {"barriers": source, "critical_structures": "none"},
    )
    if lost:
        done.lose(lost)
    sources = {n: e["source"] for n, e in run.record("lesions").get("summary", {}).items()}
    drafts = [n for n in lesion if sources.get(n) == "draft"]
    accepted_by = run.settings.drafts_accepted_by
    done.notes += left_out
    if drafts and accepted_by:
        done.notes.append(
            f"The target volumes are based on drafts ({', '.join(drafts)}) that {accepted_by} has accepted."
        )
    elif drafts:
        done.notes.append(
            f"The target volumes are based on drafts ({', '.join(drafts)}): check them before comparing anything."
        )
    resting: set[str] = set()  # structures that rest on drafts
    done.notes.append(_said(barriers, run.settings.choice_or_folder("barriers", BARRIERS) == "auto"))
    options, predicted = _prediction(run)
    schemes = [n for n in run.settings.schemes if n != "model"] + (["model"] if options else [])
    if "model" in run.settings.schemes and not options:
        done.lose(
            f"Scheme model was left out: there is no recurrence probability, neither the case's (images.{PROBABILITY}) nor a predicted one."
        )
    done.settings |= {"schemes": schemes} | ({"probability": predicted} if predicted else {})
    ctvs: dict[str, sitk.Image] = {}
    gtvs: dict[str, sitk.Image] = {}
    rules: dict[str, str] = {}
    doses: dict[str, str] = {}
    rest: tuple[str, ...] = ()
    made: list[TargetVolumes] = []
    for i, name in enumerate(schemes):
        progress(0.1 + 0.5 * i / len(schemes), name)
        try:
            more = options if name == "model" else {}
            volumes = target_volumes(name, structures, run.grid, barriers=barriers, **more)
        except InputError as error:
            done.lose(f"Scheme {name} was left out: {error}")
            continue
        made.append(volumes)
        for target in volumes.targets:
            if set(drafts) & {*target.rule.gtv, *(("necrosis",) if "cel" in target.rule.gtv else ())}:
                resting |= {target.rule.gtv_name, target.rule.ctv_name}
        done.notes += [n for n in volumes.notes if n not in done.notes]
        if name == "model":
            rest = tuple(t.rule.ctv_name for t in volumes.targets if t.rule.rest_of)
            done.summary["probability"] = predicted | {"satellites": plain(volumes.satellites)}
    if not made:
        raise InputError("; ".join(done.notes))
    drawn_targets, same = drawn_once(made)
    done.notes += same
    for one in drawn_targets:
        (gtvs if one.interpreted_type == "GTV" else ctvs)[one.name] = one.mask
        rules[one.name], doses[one.name] = one.rule, one.dose
    organs, own_drafts = _own(run, ctvs, rules)
    resting |= own_drafts
    drawn = gtvs | ctvs | organs
    unchecked = set() if accepted_by else resting
    for name, mask in drawn.items():
        write_image(mask, folder / f"{name}.nii.gz", f"{DRAFT}: {rules[name]}" if name in unchecked else rules[name])
    done.summary["rois"] = [
        {"name": n, "volume_cc": round(volume_cc(m), 3), "dose": doses.get(n, ""), "rule": rules[n]}
        | ({"draft": True} if n in unchecked else {})
        for n, m in drawn.items()
    ]
    for name, mask in (barriers.masks if barriers else {}).items():
        write_image(mask, folder / "barriers" / f"{name}.nii.gz", f"{name} ({source})")
    progress(0.65, "comparison")
    # What one CTV leaves over for a lower dose is no CTV to be weighed against others.
    compared = {f"{n} (draft)" if n in unchecked else n: m for n, m in ctvs.items() if n not in rest}
    done.summary |= _compared(run, folder, compared, lesion, masks["brain"])
    progress(0.8, "RT structure set")
    try:
        done.summary |= _exported(run, folder, gtvs, ctvs, organs, rules, sources, resting)
    except InputError as error:  # the target volumes are worth having without it
        done.summary["rtstruct"] = f"not written: {error}"
        done.lose(f"The RT structure set was not written: {error}")
    return done


def usable_lesion(run: Run, masks: dict[str, sitk.Image]) -> tuple[dict[str, sitk.Image], list[str]]:
    """The parts of the lesion that something can rest on, and a sentence for each draft that is too unsure for it."""
    drawn_by = run.record("lesions").get("summary", {})
    lesion = {n: masks[n] for n in LESION if n in masks and boolean(masks[n]).any()}
    if run.settings.drafts_accepted_by:
        return lesion, []
    unsure = {n: drawn_by[n]["unsure"] for n in lesion if "unsure" in drawn_by.get(n, {})}
    if "cel" in unsure and drawn_by.get("necrosis", {}).get("source") == "draft":
        unsure["necrosis"] = "it was found by the draft of cel"
    left_out = [
        f"The draft of {n} is in no target volume ({why}): correct it and give it as a mask, or accept it with "
        f"{option('--drafts-accepted-by')} NAME."
        for n, why in unsure.items()
    ]
    return {n: m for n, m in lesion.items() if n not in unsure}, left_out


def _barriers(run: Run, structures: "Structures") -> tuple["BarrierMasks | None", str]:
    """The barriers that are asked for, on the common grid, or a sentence where they cannot be placed: the CTVs are worth having without."""
    from ..rt.barriers import find_barriers, read_barriers

    wanted, through = run.settings.choice_or_folder("barriers", BARRIERS), run.settings.through
    if wanted == "none":
        return None, ""
    if wanted != "auto":
        return read_barriers(wanted, run.grid, through), ""
    image = run.result("registered", f"{run.reference}.nii.gz")
    if image is None:
        raise InputError(
            "barriers are placed by registration to a structural image, and none was registered; give masks"
        )
    try:
        return find_barriers(read_image(image), structures.brain, structures.lesion, run.grid, through), ""
    except InputError as error:
        return None, f"The margins are straight, with no barriers: {error}"


def _said(barriers: "BarrierMasks | None", placed: bool) -> str:
    """The sentence on barriers for the report."""
    if barriers is None:
        return "No anatomical barrier was applied: margins are distances from the surface, clipped to the brain mask."
    rules = ", ".join(f"{name} ({rule})" for name, rule in barriers.rules.items())
    check = " No person drew them: check them." if placed else ""
    return f"Barriers, {barriers.source}: {rules}. A margin is measured along the shortest path round them.{check}"


def _prediction(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of `target_volumes` that the scheme ``model`` takes from the case, and as they are told; nothing without a probability."""
    from ..rt.targets import told

    settings = run.settings
    if PROBABILITY in run:
        path, image = run.case.path(PROBABILITY), carried_image(run, PROBABILITY)
        source = str(run.case.acquisition(PROBABILITY).get("source") or told(run.case.image(PROBABILITY), path.name))
        threshold = USUAL_THRESHOLD
    elif (made := run.result("recurrence", f"{PROBABILITY}.nii.gz")) is not None:
        image = read_image(made)
        source, threshold = told(image, made.name), run.record("recurrence")["summary"]["threshold"]
    else:
        return {}, {}
    cut: dict[str, Any] = {"like_scheme": settings.like}
    if not settings.like:
        cut = {"threshold": threshold if settings.threshold is None else settings.threshold}
    return {"probability": image, "probability_source": source} | cut, {"source": source} | cut


def _own(run: Run, ctvs: dict[str, sitk.Image], rules: dict[str, str]) -> tuple[dict[str, sitk.Image], set[str]]:
    """The case's own organs at risk, by their TG-263 names, and which structures are drafts; the clinician's own CTV goes to the others."""
    from ..rt.names import structure_name

    organs: dict[str, sitk.Image] = {}
    drafts: set[str] = set()
    for role in run.case.masks:
        known = None if run.settings.skips(role) else structure_name(role)
        if known is not None:
            (ctvs if known[1] == "CTV" else organs)[known[0]] = carried_mask(run, role)
            drafted = is_draft(mask_says(run, role))
            drafts |= {known[0]} if drafted else set()
            rules[known[0]] = "from the case" if drafted else "drawn, from the case"
    return organs, drafts


def _compared(
    run: Run, folder: Path, ctvs: dict[str, sitk.Image], lesion: dict[str, sitk.Image], brain: sitk.Image
) -> dict[str, Any]:
    """The comparison table: against the progression, where there is one, else of the CTVs with each other.

    The target is that of Tran 2025: the lesion at both times.
    """
    from ..rt.compare import PAIR_TITLES, TITLES, agreement_table, comparison_table

    later = [read_image(p) for n in PROGRESSION if (p := run.result("progression", f"{n}.nii.gz"))]
    if not later and len(ctvs) < 2:
        return {}
    if not later:
        rows = agreement_table(ctvs, brain, brain)
        columns = ["first", "second", *PAIR_TITLES]
        table = [[r["first"], r["second"], *(f"{r[k]:.6g}" for k in PAIR_TITLES)] for r in rows]
        write_csv(folder / "comparison.csv", columns, table)
        return {"agreement": plain(rows), "agreement_titles": dict(PAIR_TITLES)}
    target = sitk.Cast(sitk.Image(later[0]), sitk.sitkUInt8)
    for mask in [*later[1:], *(m for n, m in lesion.items() if n in ("cel", "t2l"))]:
        target = target | mask
    rows = comparison_table(ctvs, target, brain)
    write_csv(
        folder / "comparison.csv", ["name", *TITLES], [[r["name"], *(f"{r[k]:.6g}" for k in TITLES)] for r in rows]
    )
    return {
        "comparison": plain(rows),
        "comparison_titles": dict(TITLES),
        "comparison_reference": "The target is the lesion (CEL and T2L) before radiotherapy and at progression, inside the brain, "
        "as in Tran 2025. Coverage is at the volume of the first CTV of the table.",
    }


def _exported(
    run: Run,
    folder: Path,
    gtvs: dict[str, sitk.Image],
    ctvs: dict[str, sitk.Image],
    organs: dict[str, sitk.Image],
    rules: dict[str, str],
    sources: dict[str, str],
    resting: set[str],
) -> dict[str, Any]:
    """The RT structure set in the original series of the reference, where the case has one."""
    from ..dicom.geometry import read_stack
    from ..rt.names import CLINICAL
    from ..rt.rtstruct import Roi, export_rtstruct

    series = run.case.dicom(run.reference) if run.reference else None
    if series is None:
        return {
            "rtstruct": f"not written: the case names no DICOM series for {run.reference}, and contours must refer to one"
        }
    brain = f"brain mask: {_BRAIN[sources['brain']]}"
    rois = [Roi(n, m, "GTV", description=rules[n], draft=n in resting) for n, m in gtvs.items()]
    for name, mask in ctvs.items():
        drawn = name == CLINICAL
        text = rules[name] if drawn else f"{rules[name]}; {brain}"
        algorithm = "MANUAL" if drawn else "SEMIAUTOMATIC"
        rois.append(Roi(name, mask, "CTV", description=text, algorithm=algorithm, draft=name in resting))
    rois += [
        Roi(n, m, "ORGAN", description=rules[n], algorithm="MANUAL", draft=n in resting) for n, m in organs.items()
    ]
    stack = read_stack(series)
    require_same_place(run.case, str(run.reference), stack)
    exported = export_rtstruct(
        folder / "RS.dcm",
        stack,
        rois,
        allow_derived=run.settings.allow_derived,
        drafts_accepted_by=run.settings.drafts_accepted_by,
    )
    written = exported.rois
    return {
        "rtstruct": f"RS.dcm, {len(written)} structures in the DICOM series of {run.reference}, read back and compared",
        "rtstruct_label": exported.label,
        "rtstruct_volumes": [plain(w) for w in written],
        "preflight": [plain(f) for f in exported.findings],
    }
