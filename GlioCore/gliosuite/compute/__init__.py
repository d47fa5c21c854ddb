"""Where arrays live (numpy or torch) and how work is shared among threads."""

from .arrays import CPU, Device, back, cast, choose_device, dots, product, product_rows, subset
from .memory import forget_peak, keep_memory, peak_gib, release_memory
from .threads import blocks, each

__all__ = [
    "CPU",
    "Device",
    "back",
    "blocks",
    "cast",
    "choose_device",
    "dots",
    "each",
    "forget_peak",
    "keep_memory",
    "peak_gib",
    "product",
    "product_rows",
    "release_memory",
    "subset",
]
