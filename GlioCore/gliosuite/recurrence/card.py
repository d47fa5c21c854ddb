"""The card of a recurrence model: what it is, what it was made from, what it reached, and where it must not be trusted."""

from typing import TYPE_CHECKING

from .inputs import CHANNELS, REACH_MM

if TYPE_CHECKING:
    from ..training import Model

_LIMITS_OF_SIMULATION = """* Trained on simulated patients alone. Growth and scans come from one generator, which shares its physics
  with what the trees look at (cell density raises choline and lowers ADC): figures say that the path works, not that it helps
  a patient.
* Research use only; no clinical claim.
"""
# Trees of other patients were grown for that, so that their figures stand where they are printed.
_WHAT_IMAGES_ADD = """
## What the images add

What PCC trees of this kind reach by what they are shown (T1c, T1, FLAIR; with diffusion, perfusion, spectroscopy) was measured on other
simulated patients, with trees grown anew for each set. The table stands in Docs/validation/recurrence.md of GlioSuite, with the command
that prints it. No set was told from another there.
"""


def card(model: "Model") -> str:
    """The card, in Markdown."""
    about = model.about
    rows = "".join(
        f"| {name} | "
        + " | ".join(f"{values[c][0]:.3f} +- {values[c][1]:.3f}" for c in ("sensitivity", "specificity", "pcc"))
        + f" | {values['ctv_cc'][0]:.0f} |\n"
        for name, values in about["figures"]["mean_and_sd"].items()
    )
    bins = "".join(f"| {r['predicted']:.3f} | {r['recurred']:.3f} | {r['voxels']} |\n" for r in about["reliability"])
    looked_at = ", ".join(CHANNELS[n].title for n in about["ranges"])
    limits = (
        _LIMITS_OF_SIMULATION
        if about["simulated"]
        else "* Trained on the cases of its user; research use only, no clinical claim.\n"
    )
    s = about["settings"]
    return f"""# Recurrence, voxel by voxel

What it gives: the probability that a voxel belongs to the lesion (CEL or T2L) before radiotherapy or at progression, within
{REACH_MM:.0f} mm of it, 1 in the lesion; and the standard deviation among its {s["folds"]} members, each of which was grown
without the patients of one fold.

How: gradient boosted trees ({s["rounds"]} a member, {s["leaves"]} leaves) on voxels of {about["grid_mm"]:g} mm, features
after Tran et al. 2025 (npj Digit Med, 10.1038/s41746-025-01861-2) with perfusion and distances beside them. It was shown:
{looked_at}. T1c and FLAIR are needed; all others may be missing, as they were at random in training.

Trained on: {about["trained_on"]}. Seed {about["seed"]}.

```
{about["command"]}
```

## Held-out patients ({about["figures"]["patients"]}, {"simulated, " * about["simulated"]}each by the member that had not seen them)

Mean and SD over patients. The threshold {about["threshold"]:.4f} was chosen on the same held-out probabilities, for the highest mean PCC.

| target volume | sensitivity | specificity | PCC | cc |
|---|---|---|---|---|
{rows}
Reliability of held-out probabilities, by bins: what was predicted, what share came true, voxels.

| predicted | recurred | voxels |
|---|---|---|
{bins}{_WHAT_IMAGES_ADD * about["simulated"]}
## Limits

{limits}* Before radiotherapy, after surgery or biopsy. It has seen no scan before surgery, no second treatment, no other disease.
* What lies in the cavity, outside the brain or beyond {REACH_MM:.0f} mm is 0 by definition.
* Its masks in training were exact; a wrong lesion makes a wrong map.
"""
