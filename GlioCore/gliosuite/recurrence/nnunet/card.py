"""The card of an nnU-Net: what it is, what it was made from, what it reached, and where it must not be trusted."""

from typing import TYPE_CHECKING, Any

from ..inputs import CHANNELS

if TYPE_CHECKING:
    from ...training import Model


def card(model: "Model") -> str:
    """The card, in Markdown."""
    about = model.about
    plan = about["plans"]["configurations"]["3d_fullres"]
    looked_at = ", ".join(CHANNELS[n].title for n in about["channels"])
    settings = about["settings"]
    return f"""# Local recurrence by nnU-Net

What it gives: the probability that tumour enhances later where the lesion does not enhance now, after Yoon et al. 2024 (Sci Rep,
10.1038/s41598-024-52841-7); a patient counts as positive where one voxel reaches {about["threshold"]:g}.

How: nnunetv2, configuration 3d_fullres, planner {settings["planner"]}, trainer {settings["trainer"]},
patch of {plan["patch_size"]} voxels of {about["grid_mm"]:g} mm, batch {plan["batch_size"]}.
It looks at {looked_at}, all of which are needed. Networks: fold {", ".join(about["folds"])}.

Trained on: {about["patients"]} cases of its user, of whom {about["recurred"]} recurred locally. Seed of the folds {about["seed"]}.

```
{about["command"]}
```

## Held-out patients

{_reached(about["figures"])}
## Limits

* Research use only; no clinical claim.
* Sensitivity alone says little: see the specificity beside it.
* It answers where a lesion was seen before; recurrence elsewhere is none to it.
"""


def _reached(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return "None: one network was trained on all patients.\n"
    lines = [f"{figures['patients']} patients, each by the network that had not seen him; 95 % intervals.\n"]
    for name in ("sensitivity", "specificity"):
        if figures[name] is not None:
            value, low, high, hits, n = figures[name]
            lines.append(f"* {name} {100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f}), {hits} of {n}")
    if figures["auc"] is not None:
        value, low, high = figures["auc"]
        lines.append(f"* balanced accuracy {figures['balanced_accuracy']:.3f}")
        lines.append(f"* AUC of the highest probability {value:.3f} ({low:.3f} to {high:.3f})")
    return "\n".join(lines) + "\n"
