"""Pictures: no texts over each other, numbers at risk below their times, the same bytes each time."""

import numpy as np
import pytest
from gliosuite.recurrence.survival import pictures
from gliosuite.recurrence.survival.fit import Group
from gliosuite.recurrence.survival.lasso import choose, folds_of
from gliosuite.statistics.agreement import Estimate

pytest.importorskip("matplotlib")
RNG = np.random.default_rng(5)
GROUPS = [
    Group(n, RNG.exponential(900, 150).round(), RNG.random(150) < 0.7)
    for n in ("low risk", "a longer name than others have", "c")
]
RATIOS = {
    "age": (Estimate(1.02, 1.0, 1.04), 0.03),
    "histology: oligodendroglioma (against astrocytoma)": (Estimate(0.2, 0.01, 4000.0), 1e-9),
    "x": (Estimate(3.0, 2.0, 4.5), 0.6),
}


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw, and return the figure and its file."""
    kept = []
    save = pictures.save
    monkeypatch.setattr(pictures, "save", lambda figure, path: (kept.append(figure), save(figure, path)))

    def draw(picture, *args):
        path = tmp_path / "p.png"
        picture(*args, path)
        return kept[-1], path

    return draw


def boxes(figure):
    """The texts of a figure with the boxes that they fill."""
    from matplotlib.axis import Axis
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    FigureCanvasAgg(figure).draw()
    # Labels of ticks beyond the ends of an axis are there and not drawn.
    beyond = set()
    for axis in figure.findobj(Axis):
        low, high = sorted(axis.get_view_interval())
        which = 0 if axis.axis_name == "x" else 1
        beyond |= {t for t in axis.get_ticklabels() if not low <= t.get_position()[which] <= high}
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in beyond]
    return [(t.get_text(), t.get_window_extent()) for t in texts]


def check(figure):
    found = boxes(figure)
    for i, (one, a) in enumerate(found):
        assert a.x0 >= 0
        assert a.y0 >= 0
        assert a.x1 <= figure.bbox.x1, one
        assert a.y1 <= figure.bbox.y1, one
        for other, b in found[i + 1 :]:
            assert not (a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1), f"{one!r} over {other!r}"
    return {text for text, _ in found}


def test_curves_say_units_and_numbers_at_risk(drawn):
    figure, path = drawn(pictures.draw_curves, GROUPS, 0.0312, "time (days)", "days")
    said = check(figure)
    assert {"time (days)", "share without the event", "log-rank P = 0.031", "number at risk"} <= said
    assert any(s.startswith("low risk: n 150, events ") and s.endswith("days") for s in said)
    axes = figure.axes[0]
    ticks = [t for t in axes.get_xticks() if t <= GROUPS[0].times.max()]
    at_risk = {(t.get_position()[0], t.get_text()) for t in axes.texts}
    assert len(ticks) > 3
    for tick in ticks:
        assert (tick, str(int((GROUPS[0].times >= tick).sum()))) in at_risk
    first = path.read_bytes()
    drawn(pictures.draw_curves, GROUPS, 0.0312, "time (days)", "days")
    assert path.read_bytes() == first


def test_a_forest_says_ratios_and_fits(drawn):
    said = check(drawn(pictures.draw_forest, RATIOS, "Cox's model, n 150, events 100, C 0.71")[0])
    assert {
        "1.02 (1.00–1.04)",
        "0.20 (0.01–4e+03)",
        "< 0.001",
        "hazard ratio (log scale)",
        "HR (95 % interval)",
    } <= said


def test_the_choice_of_a_penalty_says_both(drawn):
    x = RNG.standard_normal((80, 10))
    times, events = RNG.exponential(np.exp(-x[:, 0])), RNG.random(80) < 0.8
    choice = choose(times, events, x, folds_of(events, 5, 1))
    said = check(drawn(pictures.draw_choice, choice)[0])
    assert any(s.startswith("lambda.min ") for s in said)
    assert any(s.startswith("lambda.1se ") for s in said)


@pytest.mark.parametrize("p, said", [(0.0004, "P < 0.001"), (0.0341, "P = 0.034"), (0.96, "P = 0.96")])
def test_p_values(p, said):
    assert pictures.p_value(p) == said
