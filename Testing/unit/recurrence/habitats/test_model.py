"""Fitted once, applied frozen: who is evaluated never enters the fit; the shipped model is read without torch."""

import copy
import sys

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.recurrence.habitats.autoencoder import decode, encode
from gliosuite.recurrence.habitats.model import apply, fit, shipped, trained_on
from gliosuite.recurrence.habitats.output import NOT_COMPARABLE, look_of, names_of, record_of
from gliosuite.recurrence.habitats.settings import HabitatTraining
from tissuecurves import tissue_patient


def names(found):
    return np.array(["", *(p.label.name for p in found.patterns)])[found.value]


def test_five_tissue_types_are_told_apart_in_a_patient_that_was_not_trained_on(model):
    lesion, truth = tissue_patient(7, 60, tr_s=2.0, frames=45)
    found = apply(model, lesion)
    assert (names(found) == truth).mean() > 0.95
    assert found.unlike < 0.1


def test_the_patients_that_are_evaluated_never_enter_the_fit(model, cohort, tmp_path):
    before = {n: w.copy() for n, w in model.weights.items()}
    about = copy.deepcopy(model.about)
    one, other = (tissue_patient(s, 20)[0] for s in (7, 8))
    alone = apply(model, one).value
    apply(model, other)
    np.testing.assert_array_equal(apply(model, one).value, alone)  # nor does another patient change a result
    assert model.about == about
    assert all(np.array_equal(w, before[n]) for n, w in model.weights.items())
    # The model knows whom it was trained on, and says so.
    assert model.about["marks"] == [p.mark for p in cohort]
    assert trained_on(model, cohort[0])
    assert not trained_on(model, one)
    assert any("was trained on" in n for n in record_of(apply(model, cohort[0]), model)["notes"])


def test_the_same_seed_gives_the_same_model(cohort, tmp_path):
    pytest.importorskip("torch")
    quick = HabitatTraining(steps=20, batch=64)
    first, second = (fit(cohort[:3], quick, tmp_path / name) for name in "ab")
    assert all(np.array_equal(w, second.weights[n]) for n, w in first.weights.items())


def test_decoded_latents_are_the_curves(model):
    lesion, _ = tissue_patient(9, 20)
    error = decode(model.weights, encode(model.weights, lesion.curves)) - lesion.curves
    assert np.sqrt((error**2).mean()) < 0.1 * lesion.curves.mean()


def test_the_arrays_do_what_the_network_does(cohort, tmp_path):
    """Convolution, pooling and normalisation by torch's own layers, and by the matrix products of `encode`."""
    torch = pytest.importorskip("torch")
    from gliosuite.recurrence.habitats import autoencoder

    curves = np.concatenate([p.curves for p in cohort[:2]])
    seen = {}
    plain = autoencoder._plain
    autoencoder._plain = lambda network, some: seen.update(network=network) or plain(network, some)
    try:
        weights, _ = autoencoder.train_autoencoder(curves, HabitatTraining(steps=5, batch=32), tmp_path)
    finally:
        autoencoder._plain = plain
    n = seen["network"].eval()
    conv = torch.nn.Conv1d(1, 32, 2)
    conv.weight.data, conv.bias.data = n["filters"].weight.data[:, None], n["filters"].bias.data
    with torch.no_grad():
        features = n["norm"](torch.nn.functional.max_pool1d(torch.relu(conv(torch.from_numpy(curves)[:, None])), 2))
        rebuilt = n["out"](torch.relu(n["hidden"](n["latent"](features.transpose(1, 2).flatten(1)))))
    np.testing.assert_allclose(decode(weights, encode(weights, curves)), rebuilt.numpy(), atol=2e-4)


def test_clusters_may_be_as_many_as_the_silhouette_says(cohort, tmp_path):
    pytest.importorskip("torch")
    made = fit(cohort, HabitatTraining(clusters=0, steps=60, batch=256), tmp_path)
    assert set(made.about["silhouette"]["nel"]) == set(range(2, 11))
    assert len(made.about["patterns"]) == sum(max(tried, key=tried.get) for tried in made.about["silhouette"].values())


def test_too_few_curves_are_refused(tmp_path):
    with pytest.raises(InputError, match="CEL has 8 curves; 40 at least are needed"):
        fit([tissue_patient(1, 2)[0]], HabitatTraining(), tmp_path)


def test_the_shipped_model_is_applied_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    model = shipped()
    assert sum(w.nbytes for w in model.weights.values()) < 1e6
    lesion, _ = tissue_patient(7, 20)
    found = apply(model, lesion)
    assert {p.region for p in found.patterns} == {"cel", "nel"}
    record = record_of(found, model)
    assert sum(row["voxels"] for row in record["patterns"]) == len(lesion.curves)
    assert {row["region"]: 0 for row in record["patterns"]}.keys() == {"cel", "nel"}
    assert record["comparable"]
    assert NOT_COMPARABLE in record_of(found, model, comparable=False)["notes"]


def test_every_pattern_has_a_title_and_a_colour_of_its_own():
    patterns = shipped().about["patterns"]
    from gliosuite.recurrence.habitats.model import patterns_of

    looks = [look_of(n) for n in names_of(patterns_of(shipped())).values()]
    assert len(set(looks)) == len(patterns) == len({color for _, color in looks})
