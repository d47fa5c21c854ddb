"""Model folders: what is written is read back; damaged or foreign ones are refused in a sentence."""

import numpy as np
import pytest
from gliosuite.errors import InputError
from gliosuite.training import Model, read_model, read_tensors, write_model, write_tensors

WEIGHTS = {"0.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "0.bias": np.array([1, 2, 3, 4], np.float16)}


@pytest.fixture
def folder(tmp_path):
    write_model(tmp_path / "model", Model(WEIGHTS, {"kind": "small", "figures": {"loss": 0.5}}), "# A small model\n")
    return tmp_path / "model"


def test_what_is_written_is_read_back(folder):
    model = read_model(folder, "small")
    assert model.about["figures"] == {"loss": 0.5}
    assert sorted(p.name for p in folder.iterdir()) == ["card.md", "model.json", "weights.safetensors"]
    for name, values in WEIGHTS.items():
        assert model.weights[name].dtype == values.dtype
        np.testing.assert_array_equal(model.weights[name], values)


def test_the_file_is_a_safetensors_file(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    write_tensors(tmp_path / "ours.safetensors", WEIGHTS)
    read = safetensors.load_file(tmp_path / "ours.safetensors")
    theirs = read_tensors(safetensors.save(WEIGHTS))
    for name, values in WEIGHTS.items():
        np.testing.assert_array_equal(read[name], values)
        np.testing.assert_array_equal(theirs[name], values)


@pytest.mark.parametrize("damage", [lambda b: b[:40], lambda b: b[:-3], lambda b: b"", lambda b: b"\xff" * 90])
def test_damaged_weights_are_refused(folder, damage):
    content = (folder / "weights.safetensors").read_bytes()
    with pytest.raises(InputError, match="no whole safetensors file"):
        read_tensors(damage(content))


def test_others_weights_and_other_kinds_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match="holds a model of kind 'small'; one of kind 'posterior' is needed"):
        read_model(folder, "posterior")
    write_tensors(folder / "weights.safetensors", {"0.weight": WEIGHTS["0.weight"] + 1})
    with pytest.raises(InputError, match=r"is not the file that model\.json speaks of"):
        read_model(folder, "small")
    with pytest.raises(InputError, match="is no model folder"):
        read_model(tmp_path / "nothing", "small")
