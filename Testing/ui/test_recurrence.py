"""The GlioRecurrence panel says that nothing is predicted yet, and so does its logic."""

import pytest
from gliosuite.errors import InputError


def test_the_room_is_empty_and_says_so(module, grab):
    loaded = module("GlioRecurrence")
    widget = loaded.GlioRecurrenceWidget()
    labels = [w.text for w in widget.parent.findChildren(type(widget.parent.findChild(object, "statusLabel")))]
    assert any("Nothing is predicted yet" in text for text in labels)
    assert any("No recurrence model is installed" in text for text in labels)
    assert grab(widget.parent) > 5
    widget.parent.hide()


def test_its_logic_refuses(module):
    logic = module("GlioRecurrence").GlioRecurrenceLogic()
    with pytest.raises(InputError, match="No recurrence model is installed"):
        logic.predict("T1c")
