"""Labels of the values that Yun et al. print, of other numbers of patterns, and where ADC speaks against one."""

import numpy as np
import pytest
from gliosuite.recurrence.habitats.curves import Parameters, parameters
from gliosuite.recurrence.habitats.labels import OF_REGION, counted, label_patterns
from tissuecurves import ADC, PATTERNS, tissue_patient

GREY_AND_WHITE = {n: parameters(c) for n, c in tissue_patient(1, 2)[0].references.items()}


def found(*rows):
    """Parameters of rows of baseline, drop, recovery; the speed is a fifth of the drop."""
    baseline, drop, psr = np.array(rows, float).T
    return Parameters(baseline, drop, drop / 5, psr)


@pytest.mark.parametrize("region", ["cel", "nel"])
def test_published_patterns_have_their_published_labels_in_any_order(region):
    for turn in range(4):
        rows = PATTERNS[region][turn:] + PATTERNS[region][:turn]
        adc = np.array([ADC[r[0]] for r in rows])
        labels = label_patterns(region, found(*(r[1:] for r in rows)), adc, GREY_AND_WHITE)
        assert [label.name for label in labels] == [r[0] for r in rows]
        assert all(0 <= label.margin <= 1 for label in labels)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 6, 8])
@pytest.mark.parametrize("region", ["cel", "nel"])
def test_any_number_of_patterns_is_labelled(region, k):
    rng = np.random.default_rng(k)
    rows = np.column_stack([rng.uniform(0.7, 2.3, k), rng.uniform(0.3, 1.3, k), rng.uniform(0.5, 0.9, k)])
    labels = label_patterns(region, found(*rows), np.full(k, np.nan), GREY_AND_WHITE)
    assert len(labels) == k
    assert {label.name for label in labels} <= set(OF_REGION[region])


def test_a_split_of_perinecrotic_tissue_stays_perinecrotic():
    rows = [(1.26, 1.0, 0.84), (0.75, 0.4, 0.84), (2.17, 0.7, 0.57), (1.95, 0.64, 0.57)]
    names = [x.name for x in label_patterns("cel", found(*rows), np.full(4, np.nan), GREY_AND_WHITE)]
    assert names == ["angiogenic", "cellular", "perinecrotic", "perinecrotic"]


def test_few_patterns_that_hardly_drop_are_not_called_angiogenic():
    labels = label_patterns("nel", found((1.2, 0.3, 0.8), (2.0, 0.2, 0.7)), np.full(2, np.nan), GREY_AND_WHITE)
    assert [x.name for x in labels] == ["cellular", "vasogenic"]


def test_adc_that_is_not_the_lowest_puts_cellular_tumour_in_doubt():
    rows = [r[1:] for r in PATTERNS["nel"]]
    adc = np.array([1.2e-3, 1.4e-3, 1.3e-3, 1.6e-3])
    label = label_patterns("nel", found(*rows), adc, GREY_AND_WHITE)[1]
    assert label.name == "cellular"
    assert label.doubts == ("its ADC is not the lowest",)


def test_several_of_one_name_are_counted():
    assert counted(["angiogenic", "cellular", "angiogenic"]) == ["angiogenic 1", "cellular", "angiogenic 2"]
