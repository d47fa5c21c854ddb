"""The card of the shipped trees is what its writer writes, and says where figures of other runs stand."""

from pathlib import Path

from gliosuite.recurrence.card import card
from gliosuite.recurrence.voxelwise import shipped

ROOT = Path(__file__).resolve().parents[3]


def test_the_shipped_card_is_written_from_its_model():
    text = (ROOT / "GlioCore/gliosuite/resources/models/voxelwise/card.md").read_text(encoding="utf-8")
    assert text == card(shipped())


def test_what_images_add_is_said_to_be_of_another_run():
    text = card(shipped())
    assert "Docs/validation/recurrence.md" in text
    assert "other\nsimulated patients" in text
    assert "`--modalities`" in (ROOT / "Docs/validation/recurrence.md").read_text(encoding="utf-8")
    model = shipped()
    own = type(model)(model.weights, model.about | {"simulated": False})
    assert "What the images add" not in card(own), "nothing was measured for a user's own model"
