"""A trained model on disk: ``weights.safetensors``; ``model.json``, which says how it was made and what it does; ``card.md`` for people."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import InputError
from ..files import plain, staged, write_bytes, write_json, write_text

WEIGHTS, ABOUT, CARD = "weights.safetensors", "model.json", "card.md"
_TYPES = {
    **{"F16": np.float16, "F32": np.float32, "F64": np.float64},
    **{"U8": np.uint8, "I16": np.int16, "I32": np.int32, "I64": np.int64},
}


class Folder(Protocol):
    """A folder on disk or of a package: `pathlib.Path` or a ``Traversable``."""

    def joinpath(self, name: str) -> Any:
        """A file in it."""
        ...


@dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes
    ----------
    weights
        Arrays by name.
    about
        What model.json says: ``kind``, ``settings``, ``seed``, ``command``, ``weights_sha256``, ``figures``, ``limits`` ...
    """

    weights: dict[str, np.ndarray]
    about: dict[str, Any]


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> bytes:
    """Write arrays in the safetensors format (https://github.com/huggingface/safetensors); returns the bytes."""
    names = {np.dtype(t): name for name, t in _TYPES.items()}
    header: dict[str, Any] = {}
    at = 0
    for name, values in tensors.items():
        header[name] = {"dtype": names[values.dtype], "shape": values.shape, "data_offsets": (at, at + values.nbytes)}
        at += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    body = b"".join(np.ascontiguousarray(values).tobytes() for values in tensors.values())
    content = len(text).to_bytes(8, "little") + text + body
    write_bytes(path, content)
    return content


def read_tensors(content: bytes, name: str = WEIGHTS) -> dict[str, np.ndarray]:
    """Arrays from the bytes of a safetensors file.

    Raises
    ------
    InputError
        If the bytes are no such file, or not all of one.
    """
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        body = content[8 + length :]
        result = {}
        for key, one in header.items():
            if key == "__metadata__":
                continue
            start, end = one["data_offsets"]
            dtype = np.dtype(_TYPES[one["dtype"]])
            if end > len(body) or end - start != dtype.itemsize * math.prod(one["shape"]):
                raise ValueError(f"{key} is cut off")
            result[key] = np.frombuffer(body[start:end], dtype).reshape(one["shape"])
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise InputError(f"{name} is no whole safetensors file ({error}); take the model folder anew") from None
    return result


def write_model(out: str | Path, model: Model, card: str) -> None:
    """Write a model folder, all or nothing; model.json says the hash of the weights."""
    with staged(out) as folder:
        content = write_tensors(folder / WEIGHTS, model.weights)
        write_json(folder / ABOUT, plain({**model.about, "weights_sha256": sha256(content).hexdigest()}))
        write_text(folder / CARD, card)


def read_model(folder: str | Path | Folder, *kinds: str) -> Model:
    """Read a model folder and check that its weights are those that model.json speaks of.

    Parameters
    ----------
    folder
        On disk, or `shipped`.
    kinds
        One of which the model must be, e.g. ``"posterior"``.

    Raises
    ------
    InputError
        If it is no model folder, is one of another kind, or its weights are others.
    """
    where = Path(folder) if isinstance(folder, str) else folder
    try:
        content = where.joinpath(WEIGHTS).read_bytes()
        about = json.loads(where.joinpath(ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} is no model folder ({error}); one with {WEIGHTS} and {ABOUT} is needed, as `train` writes it"
        ) from None
    if not isinstance(about, dict) or about.get("kind") not in kinds:
        found = about.get("kind") if isinstance(about, dict) else about
        raise InputError(
            f"{folder} holds a model of kind {found!r}; one of kind {' or '.join(map(repr, kinds))} is needed"
        )
    if about.get("weights_sha256") != sha256(content).hexdigest():
        raise InputError(f"{folder}: {WEIGHTS} is not the file that {ABOUT} speaks of (its hash differs)")
    return Model(read_tensors(content), about)


def shipped(name: str) -> Any:
    """The folder of a model that travels with the library."""
    return resources.files("gliosuite.resources").joinpath("models").joinpath(name)
