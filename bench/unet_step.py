"""One training step of the paper's CIFAR-10 network against `diffusers`' UNet2DModel: paired, in one run.

    python bench/unet_step.py [--batch 8] [--rounds 7] [--precision fp32 bf16]

Both take the same batch, loss, clipping and fused Adam. Ours runs as `Trainer` runs it, diffusers as its training
example does, but for the optimiser, which there is the slower default. Both profit from the allocator's setting, for
they share a process. The steps alternate, and the ratio is the median of the ratios of neighbours, so that a noisy
machine disturbs both alike.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F

from ancestral import Diffusion, nets, schedules
from ancestral.device import keep_freed_memory

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import UNet2DModel


Step = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def ours(device: torch.device, bf16: bool) -> Step:
    """The loss of a batch (x0, t, eps) by our network."""
    net = nets.UNet().to(device, memory_format=torch.channels_last)
    diffusion = Diffusion(net, schedules.linear())
    return stepper(net, lambda x0, t, eps: diffusion.errors(x0, t, eps).mean(), torch.channels_last, bf16)


def theirs(device: torch.device, bf16: bool) -> Step:
    """The same by diffusers' network of the same settings."""
    net = UNet2DModel(
        sample_size=32, in_channels=3, out_channels=3, layers_per_block=2, block_out_channels=(128, 256, 256, 256),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"), act_fn="silu", norm_eps=1e-6,
        attention_head_dim=None, flip_sin_to_cos=False, freq_shift=1, downsample_padding=0, dropout=0.1,
    ).to(device)  # fmt: skip
    schedule = schedules.linear()

    def loss(x0: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        output = net(schedule.add_noise(x0, t, eps), (t - 1).to(device)).sample
        return F.mse_loss(output.float(), eps)

    return stepper(net, loss, torch.contiguous_format, bf16)


def stepper(net: torch.nn.Module, loss: Callable[..., torch.Tensor], layout: torch.memory_format, bf16: bool) -> Step:
    """Forward, backward, clip, Adam."""
    parameters = list(net.train().parameters())
    adam = torch.optim.Adam(parameters, lr=1e-6, fused=True)
    device = parameters[0].device.type

    def step(x0: torch.Tensor, t: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            value = loss(x0.contiguous(memory_format=layout), t, eps)
        adam.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        return value.detach()

    return step


def main() -> None:
    """Print seconds a step of each, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8, help="images a step")
    parser.add_argument("--rounds", type=int, default=7, help="pairs that count; one more warms up")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"], help="autocast")
    parser.add_argument("--plain-allocator", action="store_true", help="leave the C library's allocator as it is")
    options = parser.parse_args()
    if not options.plain_allocator:
        keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    x0, eps = torch.randn(2, options.batch, 3, 32, 32, device=device)
    t = torch.randint(1, 1001, (options.batch,))
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, batch {options.batch}")
    for precision in options.precision:
        torch.manual_seed(0)
        pair = [ours(device, precision == "bf16"), theirs(device, precision == "bf16")]
        seconds: tuple[list[float], list[float]] = ([], [])
        for round_ in range(options.rounds + 1):
            for place in (0, 1) if round_ % 2 else (1, 0):
                began = time.perf_counter()
                pair[place](x0, t, eps).item()
                if round_:
                    seconds[place].append(time.perf_counter() - began)
        ratio = statistics.median(b / a for a, b in zip(*seconds, strict=True))
        mine, other = (statistics.median(s) for s in seconds)
        print(
            f"{precision}: ancestral {mine:.3f} s, diffusers {other:.3f} s, diffusers/ancestral {ratio:.2f}", flush=True
        )


if __name__ == "__main__":
    main()
