"""The card of a habitats' model: what it is, what it was made from, and where it must not be trusted."""

from typing import TYPE_CHECKING

from .model import patterns_of
from .output import look_of, names_of

if TYPE_CHECKING:
    from ...training import Model

_SIMULATED = """* Trained on simulated patients alone. Their curves come from one generator, in which patterns were planted: figures
  say that the path works, not that a pattern is what it is called.
"""


def card(model: "Model") -> str:
    """The card, in Markdown."""
    about = model.about
    names = names_of(patterns_of(model))
    rows = "".join(
        f"| {p['value']} | {look_of(names[p['value']])[0]} | {p['margin']:.2f} | {p['curves']} | {p['baseline']:.2f} | {p['drop']:.2f} | "
        f"{p['speed']:.3f} | {p['psr']:.2f} | {'' if p['adc'] is None else format(1e3 * p['adc'], '.2f')} |\n"
        for p in about["patterns"]
    )
    counts = ", ".join(f"{n} of {r.upper()}" for r, n in about["curves"].items())
    tried = "; ".join(
        f"{r.upper()}: " + ", ".join(f"{k}: {float(v):.3f}" for k, v in found.items())
        for r, found in about["silhouette"].items()
    )
    s = about["settings"]
    return f"""# Habitats

What it gives: the pattern of each DSC curve of a lesion, CEL and NEL apart, and what that pattern is called.

How: an autoencoder (one convolution of 32 filters, 5 latents, two layers back) on curves of 60 points, 1 s apart, aligned on the
arrival of the bolus and scaled by white matter; k-means of the latents; labels by ranked rules. After Yun et al. 2023 (AJNR,
10.3174/ajnr.A7853). {s["steps"]} steps of {s["batch"]} curves, rate {s["rate"]:g}, dropout {s["dropout"]:g}.

Trained on: {about["trained_on"]} ({counts} curves). Seed {about["seed"]}.
Mean squared error of curves that were left out: {about["held_out_loss"]:.2g}.

```
{about["command"]}
```

## Patterns of the training cohort

Baseline and drop over the mean of white matter's curve, drop speed per s, recovery as a share of the drop, ADC in 10⁻³ mm²/s.

| value | pattern | margin | curves | baseline | drop | speed | recovery | ADC |
|---|---|---|---|---|---|---|---|---|
{rows}
Silhouette by the number of patterns: {tried}.

## Limits

{_SIMULATED if about["simulated"] else ""}* Before surgery and treatment. Gradient echo; signal, not ΔR2*.
* Research use only; no clinical claim.
"""
