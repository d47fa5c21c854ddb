"""The model card of Lyoo 2025."""

from ....training import Model
from .cases import NAMES


def card(model: Model) -> str:
    """The model card as Markdown: what it is, how it was made, what it must not be taken for."""
    about = model.about
    settings, found = about["settings"], about["figures"]
    shown = lambda key: " | ".join(f"{found[key][name]:.2f}" for name in NAMES)
    rows = "\n".join(
        f"| {place}, {said} | {shown(f'nrmse_{place}_{stage}')} |"
        for place in ("head", "lesion")
        for stage, said in (("tcn", "temporal network alone"), ("both", "both stages"))
        if f"nrmse_{place}_{stage}" in found
    )
    return f"""# Lyoo 2025: DCE maps from raw signal without an AIF

The two networks of Lyoo YW et al. (Eur Radiol 2025, doi 10.1007/s00330-025-11588-z): a temporal convolutional network of each voxel's 60
frames, and a probabilistic U-Net that adds to its maps, slice by slice. They give ktrans, vp and ve as the mean of four samples, and
their SD.

* **Trained on** {settings["patients"]} simulated patients (seed {settings["seed"]}), {settings["slices"]} slices of each, the last
  eighth of them held out; the labels are the truth of the simulation. No patient's data, and not the weights of the paper.
* **Made by** `{about.get("command", "")}`
* **Weights** float16, without the posterior net, which sees the label and which inference must not use.
* **Loss on patients held out** temporal network {about["held_out_loss"]["tcn"]:.3f}, U-Net {about["held_out_loss"]["unet"]:.3f}
* **Measured** on the patients held out with these weights on a processor, NRMSE in % of the truth's range:

| where | ktrans | vp | ve |
|---|---|---|---|
{rows}

**Limits.** One protocol: frames of 5 s over 5 min, TR 3.5 ms, 10 degrees, voxels of 1.9 x 1.9 x 3 mm, one dose at a rate; anything else is
unlike what it was trained on, and much of it cannot be seen in the signal. The four samples differ by a latent of two numbers for a whole
slice: their SD says nothing of the noise of a voxel. Simulated patients alone; research use only.
"""
