"""What holds for every page: hints of one line, nothing clipped at 420 px, units in tooltips, widgets that know the scene."""

import xml.etree.ElementTree as ET

import pytest

from Testing.conftest import ROOT

PAGES = ("GlioPerfusion", "GlioRecurrence", "GlioRT")
WIDTH = 420
UNITS = (" ms", " s", "1/(mM s)", "degrees", "mm", "%", "cc", "Fraction", "Frames")
PLAIN = {"nameEdit", "setLabelEdit", "acceptedByEdit"}  # words are typed in, no numbers
NUMERIC = ("QDoubleSpinBox", "QSpinBox", "ctkSliderWidget", "QLineEdit")


@pytest.fixture(params=PAGES)
def page(request, module):
    """The page of a module as it is at 420 px, all its sections open."""
    from PySide6 import QtWidgets

    widget = module(request.param)
    shown = getattr(widget, f"{request.param}Widget")()
    for box in _boxes(shown.panel.ui):
        box.collapsed = False
    if request.param == "GlioPerfusion":
        shown.panel.ui.aifComboBox.currentIndex = 1  # points, which need most room
    shown.panel.onChoice()
    shown.parent.resize(WIDTH, 3000)
    shown.parent.show()
    QtWidgets.QApplication.processEvents()
    yield shown
    shown.parent.hide()


def _boxes(ui):
    return [w for name, w in vars(ui).items() if name.endswith("Box") and hasattr(w, "collapsed")]


def _elements(name):
    return ET.parse(ROOT / name / "Resources" / "UI" / f"{name}.ui").getroot()


def test_hints_are_one_line(page):
    from PySide6 import QtCore

    hints = [w for name, w in vars(page.panel.ui).items() if name.endswith("Hint") and w.isVisible()]
    assert len(hints) > 3
    for hint in hints:
        height = QtCore.QObject.property(hint, "height")
        assert height < 1.7 * hint.fontMetrics().height(), f"{hint.objectName}: {hint.text}"


def test_nothing_is_wider_than_the_panel(page):
    """A page that needs more than 420 px would be cut off or scrolled sideways."""
    hint = page.parent.minimumSizeHint()
    assert hint.width() <= WIDTH
    for name, widget in vars(page.panel.ui).items():
        if (widget.inherits("QPushButton") or widget.inherits("QCheckBox")) and widget.isVisible():
            assert widget.width >= widget.minimumSizeHint().width(), name


@pytest.mark.parametrize("name", PAGES)
def test_numbers_have_their_unit_in_the_tooltip(name):
    for element in _elements(name).iter("widget"):
        if element.get("class") in NUMERIC and element.get("name") not in PLAIN:
            tip = element.find("./property[@name='toolTip']/string")
            assert tip is not None, f"{element.get('name')} has no tooltip"
            assert any(unit in f" {tip.text}" for unit in UNITS), f"{element.get('name')}: {tip.text}"


@pytest.mark.parametrize("name", PAGES)
def test_whatever_a_person_can_touch_says_what_it_does(name):
    for element in _elements(name).iter("widget"):
        kind = element.get("class")
        if kind in NUMERIC or kind in ("QPushButton", "QCheckBox", "QComboBox", "QTableWidget", "ctkPathLineEdit"):
            assert element.find("./property[@name='toolTip']/string") is not None, element.get("name")


@pytest.mark.parametrize("name", PAGES)
def test_selectors_are_given_the_scene(name):
    root = _elements(name)
    told = {c.findtext("receiver") for c in root.find("connections")}
    selectors = {
        w.get("name") for w in root.iter("widget") if w.get("class").startswith("qMRML") and w.get("name") != name
    }
    assert selectors == told
