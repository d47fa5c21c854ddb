"""The card of a recurrence model: what it is, what it was made from, what it reached, and where it must not be trusted."""

from typing import TYPE_CHECKING, Any

from .inputs import CHANNELS, REACH_MM
from .settings import BETA, NETWORK

if TYPE_CHECKING:
    from ..training import Model

_TRAN = "Tran et al. 2025 (npj Digit Med, 10.1038/s41746-025-01861-2)"
_LIMITS_OF_SIMULATION = """* Trained on simulated patients alone. Growth and scans come from one generator, which shares its physics
  with what the model looks at (cell density raises choline and lowers ADC): figures say that the path works, not that it helps
  a patient.
* Research use only; no clinical claim.
"""


def _by_images(about: dict[str, Any]) -> str:
    """PCC by what the model is shown; nothing where it was not measured."""
    if "by_images" not in about:
        return ""
    rows = "".join(f"| {name} | {mean:.4f} +- {sd:.4f} |\n" for name, (mean, sd) in about["by_images"].items())
    return f"""PCC of the same patients by what the model is shown; what it is not shown is hidden from it, as it was at random in training.

| shown | PCC |
|---|---|
{rows}
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
    title, how = (_network if about["kind"] == NETWORK else _voxelwise)(about)
    return f"""# {title}

What it gives: the probability that a voxel belongs to the lesion (CEL or T2L) before radiotherapy or at progression, within
{REACH_MM:.0f} mm of it, 1 in the lesion; and the standard deviation among its {s["folds"]} members, each of which was trained
without the patients of one fold.

How: {how} It was shown: {looked_at}. T1c and FLAIR are needed; all others may be missing, as they were at random in training.

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
{bins}
{_by_images(about)}## Limits

{limits}* Before radiotherapy, after surgery or biopsy. It has seen no scan before surgery, no second treatment, no other disease.
* What lies in the cavity, outside the brain or beyond {REACH_MM:.0f} mm is 0 by definition.
* Its masks in training were exact; a wrong lesion makes a wrong map.
"""


def _voxelwise(about: dict[str, Any]) -> tuple[str, str]:
    s = about["settings"]
    return (
        "Recurrence, voxel by voxel",
        f"""gradient boosted trees ({s["rounds"]} a member, {s["leaves"]} leaves) on voxels of {about["grid_mm"]:g} mm, features
after {_TRAN} with perfusion and distances beside them.""",
    )


def _network(about: dict[str, Any]) -> tuple[str, str]:
    s = about["settings"]
    # Of the defaults, which were chosen on the first of the simulated patients.
    chosen = (
        "\nLoss and calibration were chosen on patients of these seeds; figures of others stand in Docs/validation/recurrence.md."
        if about["simulated"]
        else ""
    )
    loss = s["loss"] + (f" (beta {s.get('beta', BETA):g})" if s["loss"] == "tversky" else "")
    ended = ", ".join(f"{m['best']} of {m['epochs']}" for m in about["learning"].values())
    return (
        "Recurrence, by a network",
        f"""a 3D U-Net of four stages with {s["base"]} features in the first, after {_TRAN},
on voxels of {about["grid_mm"]:g} mm. Beside the paper's six images it takes perfusion maps, where each image was measured, and where
lesion, cavity and brain lie. Loss {loss}, optimiser Ranger, batch {s["batch"]}; the epoch of each member ({ended}) is the one of
the highest Tversky index (.02, .98) on patients of its own that it did not learn from. Weights are in half precision: held-out
probabilities differ from those in single precision by {about["half_differs"]:.4f} at most.{chosen}""",
    )
