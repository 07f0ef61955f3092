"""The order of training, and its batches."""

from ancestral.data.loading.loader import Batch, Loader, is_worker_death

__all__ = ["Batch", "Loader", "is_worker_death"]
