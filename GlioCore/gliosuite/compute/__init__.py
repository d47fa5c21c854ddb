"""Where arrays live (numpy or torch) and how work is shared among threads."""

from .arrays import back, cast, dots, namespace, product, product_rows, put, subset
from .batch import Device, choose_device
from .memory import keep_memory
from .threads import blocks, each

__all__ = [
    "Device",
    "back",
    "blocks",
    "cast",
    "choose_device",
    "dots",
    "each",
    "keep_memory",
    "namespace",
    "product",
    "product_rows",
    "put",
    "subset",
]
