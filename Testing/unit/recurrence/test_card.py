"""The card of a recurrence model."""

from dataclasses import replace

from gliosuite.recurrence import shipped
from gliosuite.recurrence.card import card
from gliosuite.training.model_folder import shipped as folder


def test_the_shipped_cards_are_what_the_code_writes():
    for kind in ("voxelwise", "network"):
        assert folder(kind).joinpath("card.md").read_text(encoding="utf-8") == card(shipped(kind)), kind


def test_it_says_what_the_model_reaches_by_what_it_is_shown():
    for kind in ("voxelwise", "network"):
        model = shipped(kind)
        text, by_images = card(model), model.about["by_images"]
        assert list(by_images) == ["anatomy alone", "with diffusion", "with perfusion", "with spectroscopy", "all"]
        assert all(f"| {name} | {mean:.4f} +- {sd:.4f} |" in text for name, (mean, sd) in by_images.items())
        # With everything it is what the table of target volumes says.
        assert abs(by_images["all"][0] - model.about["figures"]["mean_and_sd"]["model"]["pcc"][0]) < 1e-6
        unknown = replace(model, about={k: v for k, v in model.about.items() if k != "by_images"})
        assert "by what the model is shown" not in card(unknown)
