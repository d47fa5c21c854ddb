"""The card of a model of local recurrence: what it is, what it was made from, what it reached, and where it must not be trusted."""

from typing import TYPE_CHECKING, Any

from ..inputs import CHANNELS
from .settings import NNUNET

if TYPE_CHECKING:
    from ...training import Model


def card(model: "Model") -> str:
    """The card, in Markdown."""
    about = model.about
    by, how = (_nnunet if about["kind"] == NNUNET else _network)(about)
    looked_at = ", ".join(CHANNELS[n].title for n in about["channels" if "channels" in about else "ranges"])
    return f"""# Local recurrence by {by}

What it gives: the probability that tumour enhances later where the lesion does not enhance now, after Yoon et al. 2024 (Sci Rep,
10.1038/s41598-024-52841-7); a patient counts as positive where one voxel reaches {about["threshold"]:g}.

How: {how}
It looks at {looked_at}{", all of which are needed" if "channels" in about else ""}.

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


def _nnunet(about: dict[str, Any]) -> tuple[str, str]:
    plan, settings = about["plans"]["configurations"]["3d_fullres"], about["settings"]
    return (
        "nnU-Net",
        f"""nnunetv2, configuration 3d_fullres, planner {settings["planner"]}, trainer {settings["trainer"]},
patch of {plan["patch_size"]} voxels of {about["grid_mm"]:g} mm, batch {plan["batch_size"]}. Networks: fold {", ".join(about["folds"])}.""",
    )


def _network(about: dict[str, Any]) -> tuple[str, str]:
    s = about["settings"]
    ended = ", ".join(f"{m['best']} of {m['epochs']}" for m in about["learning"].values())
    return (
        "the network",
        f"""a 3D U-Net of four stages with {s["base"]} features in the first, on voxels of {about["grid_mm"]:g} mm, loss {s["loss"]};
{s["folds"]} members, each trained without the patients of a fold, and their mean. The epoch of each ({ended}) is the one of the least
cross-entropy on patients of its own that it did not learn from. Values do not say how often it comes true: .5 is put to where held-out
voxels had the highest Dice.""",
    )


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
