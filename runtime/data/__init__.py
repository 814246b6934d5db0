"""What networks learn from: datasets that give batches of arrays by name."""

from .arrays import Arrays
from .dataset import Batch, Dataset

__all__ = ["Arrays", "Batch", "Dataset"]
