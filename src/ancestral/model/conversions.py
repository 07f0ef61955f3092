"""Conversions of the weights of a model to other dtypes, by the names that PyTorch has for them."""

from typing import Any, Self

import torch


class Conversions:
    """A model whose weights `to` converts."""

    def to(self, *args: Any, **options: Any) -> Self:
        """Convert the weights, in place."""
        raise NotImplementedError

    def float(self) -> Self:
        """Convert the weights to float32, as `to` does."""
        return self.to(torch.float32)

    def double(self) -> Self:
        """Convert the weights to float64, as `to` does."""
        return self.to(torch.float64)

    def bfloat16(self) -> Self:
        """Convert the weights to bfloat16, as `to` does."""
        return self.to(torch.bfloat16)

    def half(self) -> Self:
        """Convert the weights to float16, as `to` does."""
        return self.to(torch.float16)
