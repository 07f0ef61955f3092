"""Custom feature extractors: any callable, given or imported by its name."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ancestral import randomness
from ancestral.arguments import shown
from ancestral.errors import InputError
from ancestral.plugins import import_function
from ancestral.randomness import Stream


@dataclass(frozen=True)
class CustomExtractor:
    """A callable whose output is checked: `width` features for each item, any number if `width` is 0."""

    name: str
    function: Callable[[Tensor], Tensor]
    device: torch.device
    width: int

    def __call__(self, x: Tensor) -> Tensor:
        """Compute the features (B, width) of x (B, C, *space) in [0, 1]. Raises InputError for any other output."""
        modules = [] if not isinstance(self.function, torch.nn.Module) else list(self.function.modules())
        training = [module for module in modules if module.training]
        try:
            for module in training:
                module.training = False
            answer = self.function(x.to(self.device))
        except (Exception, SystemExit) as error:  # it may raise anything
            raise InputError(f"{self.name} failed: {type(error).__name__}: {error}") from error
        finally:
            for module in training:  # it may be one that is being trained
                module.training = True
        if not isinstance(answer, Tensor) or answer.ndim != 2 or len(answer) != len(x) or answer.shape[1] == 0:
            got = f"of shape {tuple(answer.shape)}" if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
            raise InputError(f"{self.name} must answer {len(x)} items with a tensor ({len(x)}, d), not {got}")
        if answer.is_complex():
            raise InputError(f"{self.name} must answer with real numbers, not {answer.dtype}")
        if self.width and answer.shape[1] != self.width:
            raise InputError(f"{self.name} gave {self.width} features an item, and now {answer.shape[1]}")
        return answer


def load(function: str | Callable[[Tensor], Tensor], shape: tuple[int, ...], device: torch.device) -> CustomExtractor:
    """Take a function or module, or import "package.module:callable", and evaluate it on two items of noise, to find
    errors before sampling. What is imported is moved to the device; a module that is given stays on its own.

    Raises:
        InputError: If it cannot be imported or its output is not one feature vector for each item.
    """
    name = function if isinstance(function, str) else getattr(function, "__name__", type(function).__name__)
    given = not isinstance(function, str)
    if given and not callable(function):
        raise InputError(f"extractor cannot be {shown(function)}: give a name, a function or a torch module")
    function = import_function(function) if isinstance(function, str) else function
    if isinstance(function, torch.nn.Module):
        tensors = [*function.parameters(), *function.buffers()]
        device = tensors[0].device if given and tensors else device
        function = function if given else function.to(device)
    noise = (randomness.normal(shape, 0, Stream.EXTRACTOR, 0, range(2), device) / 4 + 0.5).clamp(0, 1)
    with torch.inference_mode():
        answer = CustomExtractor(name, function, device, 0)(noise)
    if not bool(answer.isfinite().all()):
        raise InputError(f"{name} answers images of noise with NaN or infinite numbers")
    if torch.equal(answer[0], answer[1]):
        raise InputError(f"{name} answers two different items alike, so it cannot tell samples from data")
    return CustomExtractor(name, function, device, answer.shape[1])
