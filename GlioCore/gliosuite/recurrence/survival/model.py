"""A risk score: a sum of features, each scaled by its mean and SD in training; its folder on disk, and those that papers print."""

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError, option
from ...steps import version
from .settings import SHIPPED
from .table import Covariate

if TYPE_CHECKING:
    from ...training import Model

KIND = "survival"
_FAR_SD = 6.0  # from the mean in training; features this far out are likely in another unit; chosen
_FAR_SHARE = 0.1  # of the rows; chosen


@dataclass(frozen=True)
class RiskScore:
    """A linear score.

    Attributes
    ----------
    covariates
        What it takes of a table, p in number.
    coef
        (p,) log hazard ratio of one SD.
    mean, sd
        (p,) of the features in training; None where a paper does not print them.
    cut
        Above it the risk is called high; None where it is not known.
    about
        What else model.json says.
    """

    covariates: tuple[Covariate, ...]
    coef: np.ndarray
    mean: np.ndarray | None
    sd: np.ndarray | None
    cut: float | None
    about: dict[str, Any] = field(default_factory=dict)

    def scaled(self, x: np.ndarray) -> "RiskScore":
        """This score with the means and SDs of features (n, p), gaps left out: for scores that come without a scaler.

        Raises
        ------
        InputError
            If a feature has fewer than 3 values, or one value alone.
        """
        for one, values in zip(self.covariates, x.T):
            if np.isfinite(values).sum() < 3 or np.nanstd(values) == 0:
                raise InputError(f"{one.name} has too few different values for a mean and an SD of this table")
        return replace(self, mean=np.nanmean(x, axis=0), sd=np.nanstd(x, axis=0))

    def unscaled(self) -> "RiskScore":
        """This score for features that are z-scores already."""
        p = len(self.covariates)
        return replace(self, mean=np.zeros(p), sd=np.ones(p))

    def cut_at(self, cut: float) -> "RiskScore":
        """This score with a cut."""
        return replace(self, cut=cut)

    def told(self, about: dict[str, Any]) -> "RiskScore":
        """This score with more for model.json."""
        return replace(self, about=self.about | about)

    def of(self, x: np.ndarray) -> np.ndarray:
        """The score (n,) of features (n, p), NaN where one is missing.

        Raises
        ------
        InputError
            If there is no scaler.
        """
        if self.mean is None or self.sd is None:
            raise InputError(
                "this score takes z-scored features and comes without the means and SDs to make them: raw values would be summed up in "
                "their own units, and the largest would drown the others; give z-scores, or let this table's own means and SDs be taken "
                f"({option('--scale')})"
            )
        return (x - self.mean) / self.sd @ self.coef

    def cautions(self, x: np.ndarray) -> list[str]:
        """Features (n, p) that are far from what they were in training, one sentence each."""
        assert self.mean is not None
        assert self.sd is not None
        said = []
        for j, one in enumerate(self.covariates):
            values = x[np.isfinite(x[:, j]), j]
            far = int((np.abs(values - self.mean[j]) > _FAR_SD * self.sd[j]).sum())
            if far > _FAR_SHARE * values.size:
                said.append(
                    f"{one.name}: {far} of {values.size} values lie more than {_FAR_SD:g} SD from the mean in training "
                    f"({self.mean[j]:.4g}, SD {self.sd[j]:.4g}); is it in the same unit?"
                )
        return said

    def model(self) -> "Model":
        """As it is kept on disk."""
        from ...training import Model

        arrays = {"coef": self.coef, "mean": self.mean, "sd": self.sd}
        about = {
            "kind": KIND,
            "version": version(),
            "inputs": [{"name": c.name, **asdict(c)} for c in self.covariates],
            "normalisation": "each input less its mean, divided by its SD (n in the denominator), both in training",
            "cut": self.cut,
            **self.about,
        }
        return Model({n: np.asarray(v, np.float64) for n, v in arrays.items() if v is not None}, about)


def score_of(model: "Model", name: str) -> RiskScore:
    """The score that a model folder holds.

    Raises
    ------
    InputError
        If its scaler is missing or its arrays do not fit its inputs; `name` says whose.
    """
    about, weights = dict(model.about), model.weights
    if "mean" not in weights or "sd" not in weights:
        raise InputError(
            f"{name} holds no means and SDs of its features in training: without them its coefficients fit no table; fit it anew"
        )
    try:
        inputs = tuple(
            Covariate(i["column"], i["level"], i["reference"], tuple(i["levels"])) for i in about.pop("inputs")
        )
        coef, mean, sd = (np.asarray(weights[n], np.float64) for n in ("coef", "mean", "sd"))
        cut = about.pop("cut")
    except (KeyError, TypeError) as error:
        raise InputError(f"{name} is no whole survival model ({error} is missing or wrong); fit it anew") from None
    if not (len(inputs) == coef.size == mean.size == sd.size) or not (sd > 0).all():
        raise InputError(f"{name} is no whole survival model (its arrays do not fit its inputs); fit it anew")
    return RiskScore(inputs, coef, mean, sd, cut, about)


def shipped() -> RiskScore:
    """The score that travels with the library (`settings.SHIPPED`); fitted to simulated patients."""
    from ...training import read_model
    from ...training.model_folder import shipped as folder

    return score_of(read_model(folder(SHIPPED), KIND), SHIPPED)


def published(name: str) -> RiskScore:
    """The score of a paper, by a name of `settings.PUBLISHED`; none comes with a scaler or a cut.

    References
    ----------
    shim2021: Shim KY et al., Sci Rep 2021;11:9974, eq. 1. It prints the first feature as ``gldm_MCC``; MCC is a GLCM feature, and the
    paper's table 3 and discussion say so. Features are pyradiomics' of the CBV map, bin width 5, whose ``wavelet-LHH`` is ``wavelet_LHH``.
    """
    features = {
        "shim2021": {
            "CE_wavelet_LHH_glcm_MCC": 0.219,
            "CE_wavelet_HHH_gldm_DependenceNonUniformity": 0.121,
            "NE_wavelet_LLL_firstorder_Kurtosis": 0.068,
        }
    }[name]
    return RiskScore(
        tuple(Covariate(n) for n in features), np.array(list(features.values())), None, None, None, {"published": name}
    )


def card(score: RiskScore) -> str:
    """The card of a model folder, in Markdown."""
    about = score.about
    assert score.mean is not None
    assert score.sd is not None
    rows = "".join(
        f"| {c.name} | {f'1 where it is {c.level}, else 0 ({c.reference} is compared with)' if c.level else 'number'} | "
        f"{m:.6g} | {s:.6g} | {b:+.6g} |\n"
        for c, m, s, b in zip(score.covariates, score.mean, score.sd, score.coef)
    )
    low, high = about["concordance_interval"]
    held_out = (
        f"; {about['concordance_held_out']:.3f} by the folds' models for the patients that they had not seen"
        if about.get("concordance_held_out") is not None
        else ""
    )
    simulated = " simulated" if about.get("simulated") else ""
    unit = f" in {about['unit']}" if about["unit"] else ""
    return f"""# A risk score of survival

What it gives: a score for each row of a table, higher where `{about["event"]}` is expected earlier, and whether it is above the median
of the patients that it was fitted to ({score.cut:.6g}).

How: {about["how"]}. The score is the sum of coefficient x (value - mean) / SD, with mean and SD of training.

| input | | mean | SD | coefficient of one SD |
|---|---|---|---|---|
{rows}
Fitted to: {about["n"]}{simulated} rows, {about["events"]} events, times `{about["time"]}`{unit}. Harrell's C
{about["concordance"]:.3f} ({low:.3f} to {high:.3f}) for the same patients{held_out}.

```
{about["command"]}
```

## Limits

* Fitted to {"simulated patients alone: it shows how a score is used" if simulated else "a table of its user"}; research
  use only, no clinical claim.
* Figures of the patients that it was fitted to are better than those of others will be: `gliosuite survival score`, given their times
  and events, says how it does on others.
* Inputs must be measured as they were in training: same unit, same scanner's scale, same definition.
"""
