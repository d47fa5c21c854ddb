import numpy as np
import pytest
from gliosuite.perfusion.dsc import DscSettings
from gliosuite.perfusion.dsc.protocol import protocol_notes, t1_effect, t1_notes


def test_a_protocol_as_recommended_needs_no_word():
    assert protocol_notes(DscSettings(te_ms=30.0, flip_angle_deg=30.0), 1.5, 120, 35) == []
    assert protocol_notes(DscSettings(te_ms=None, input="dr2star"), 1.5, 120, 35) == []


@pytest.mark.parametrize(
    ("settings", "rest", "sentence"),
    [
        ({"te_ms": 30.0, "flip_angle_deg": 60.0}, (1.5, 120, 35), "flip angle 60 degrees needs a full-dose preload"),
        (
            {"te_ms": 30.0, "flip_angle_deg": 90.0},
            (1.5, 120, 35),
            "flip angle 90 degrees; 60 with a preload or 30 without",
        ),
        ({"te_ms": 60.0}, (1.5, 120, 35), "echo time 60 ms; 20-35 ms at 3 T and 40-50 ms at 1.5 T"),
        ({"te_ms": 30.0}, (2.0, 120, 35), "a frame every 2 s; 1.5 s or less is recommended"),
        ({"te_ms": 30.0}, (1.5, 60, 12), "60 frames (120 recommended), 12 of them baseline (30 recommended): short"),
    ],
)
def test_each_departure_is_said(settings, rest, sentence):
    notes = protocol_notes(DscSettings(**settings), *rest)
    assert len(notes) == 1
    assert notes[0].startswith(sentence)


def curves(tail):
    bolus = np.zeros(60)
    bolus[20:30] = 5.0
    noise = np.random.default_rng(0).normal(0, 0.1, (40, 60))
    return bolus + np.where(np.arange(60) >= 30, tail, 0.0) + noise


def test_a_signal_that_ends_above_its_baseline_is_counted():
    known = np.ones(40, bool)
    strong, weak = curves(-3.0), curves(-0.5)
    assert t1_effect(strong, strong + 1.0, 20, 10, 30.0, known) == {
        "signal_above_baseline": 40,
        "leakage_exceeds_bolus": 0,
    }
    gone = np.where(np.arange(60) >= 30, 0.0, 0.2 * strong)
    assert t1_effect(strong, gone, 20, 10, 30.0, known)["leakage_exceeds_bolus"] == 40
    assert t1_effect(weak, weak, 20, 10, 30.0, known)["signal_above_baseline"] == 0
    assert t1_effect(strong, strong, 20, 10, None, known)["signal_above_baseline"] == 0
    assert t1_effect(strong, strong, 20, 10, 30.0, ~known)["signal_above_baseline"] == 0


def test_the_sentence_says_what_to_do():
    found = {"signal_above_baseline": 300, "leakage_exceeds_bolus": 100}
    (text,) = t1_notes(found, 1000, "of the lesion ", "bsw", False)
    assert text.startswith(
        "strong T1 effect of leaked agent: in 300 of 1000 voxels of the lesion the signal ends more than 5 %"
    )
    assert "in 100 of them the correction is larger than the bolus" in text
    assert "use --leakage residue and --flip-angle with --tr-ms, or a preload" in text
    (text,) = t1_notes(found, 1000, "", "residue", True)
    assert "went through the signal equation and may still be too low" in text
    (text,) = t1_notes(found, 1000, "", "residue", False)
    assert "use --flip-angle with --tr-ms" in text
    (text,) = t1_notes(found, 1000, "", "none", False)
    assert "too low without leakage correction" in text
    assert t1_notes({"signal_above_baseline": 10, "leakage_exceeds_bolus": 0}, 1000, "", "bsw", False) == []
    assert t1_notes({"signal_above_baseline": 30, "leakage_exceeds_bolus": 0}, 100000, "", "bsw", False) == []
