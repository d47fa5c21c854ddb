"""One training loop, and one form of a trained model on disk; torch is imported by the loop alone."""

from .loop import LoopSettings, train
from .model_folder import Model, read_model, read_tensors, write_model, write_tensors

__all__ = ["LoopSettings", "Model", "read_model", "read_tensors", "train", "write_model", "write_tensors"]
