"""The probability of recurrence of a case."""

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..images import boolean, write_image
from ..steps import Progress, part
from .context import PROBABILITY, RECURRENCE_MODELS, SHIPPED, Done, Run, SkippedStep
from .diffusion import spectra
from .targets import usable_lesion


def recurrence(run: Run, folder: Path, progress: Progress) -> Done:
    """Where the tumour is likely to recur, from this visit's images alone; not where the case brings a probability of its own."""
    from ..recurrence import predict, read, shipped
    from ..recurrence.inputs import CHANNELS, REQUIRED
    from ..recurrence.output import cautions, write
    from ..recurrence.results import SPECTROSCOPY, gathered

    if PROBABILITY in run:
        raise SkippedStep("the case has a recurrence probability of its own")
    lacking = [CHANNELS[r].title for r in REQUIRED if run.result("registered", f"{r}.nii.gz") is None]
    if lacking:
        raise SkippedStep(f"{' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} needed and not there")
    masks = run.masks()
    if "brain" not in masks:
        raise SkippedStep("there is no brain mask")
    lesion, left_out = usable_lesion(run, masks)
    sick = [lesion[n] for n in ("cel", "t2l") if n in lesion]
    if not sick:
        why = " ".join(left_out) or "CEL and T2L are absent or empty"
        raise SkippedStep(f"there is no lesion around which it could recur: {why}")
    shown, said = spectra(run, SPECTROSCOPY)
    for name, image in shown.items():
        write_image(image, folder / SPECTROSCOPY / f"{name}.nii.gz", name)
    chosen = run.settings.choice_or_folder("recurrence_model", RECURRENCE_MODELS)
    model = shipped(*(() if chosen == SHIPPED else (chosen,))) if chosen in RECURRENCE_MODELS else read(chosen)
    given = {n: m for n, m in lesion.items() if n != "necrosis"} | {"brain": masks["brain"]}
    try:
        inputs = gathered(run.result, given, shown, grid_mm=model.about["grid_mm"])
    except InputError as error:
        raise SkippedStep(str(error)) from None
    found = predict(inputs, model, part(progress, 0.1, 0.8))
    whole = run.grid.image(np.any([boolean(m) for m in sick], axis=0))
    record = write(found, folder, masks["brain"], whole, lesion.get("cavity"))
    drafts = run.record("lesions").get("summary", {})
    resting = [n for n in given if n != "brain" and drafts.get(n, {}).get("source") == "draft"]
    resting = [] if run.settings.drafts_accepted_by else resting
    operated = run.case.clinical.get("resection") is not None or "cavity" in lesion
    notes = [*said, *record.pop("notes"), *cautions(resting, operated)]
    return Done(record, {"model": record["weights_sha256"]}, notes)
