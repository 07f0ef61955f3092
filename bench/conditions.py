"""Conditional models at equal CPU time: the energy score of held-out images, given y = A x + σ n.

python bench/conditions.py TASK [--by ours|diffusers|lucidrains] [--seconds 120] [--seeds 1] [--evaluations N] [--out F]

left    the left half of a digit, with noise 0.05      grey        the grey of emoji of 64x64
small   digits 4 times smaller, with noise 0.05        low         emoji of 64x64, 4 times smaller
left and small are measured with 48 conditions and 4 samples of each, low and grey with 48 and 8. The energy score is
proper, lower is better, and its unit is the pixel's range of [−1, 1]; in features it is that of lite0. The CPU time is
that of the training loop alone, of one thread. Beside the model stand the nearest training image (by the condition),
random training images, and the condition itself: enlarged by Pillow's bicubic filter, or as it is.

The peers are the libraries' networks and schedules with the condition concatenated, in the least code: their
documented settings, an average of the weights, channels last, bfloat16 where the processor has it, and as many steps as
the CPU time allows. `make bench` installs them, and loads the data.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import image_sets
from ancestral import config as configs
from ancestral import derived
from ancestral.base.device import pick_dtype
from ancestral.data import InMemoryDataset
from ancestral.data.given import attach
from ancestral.data.spec import inputs
from ancestral.metrics import ensembles, extractors
from ancestral.render import pictures
from ancestral.training import Trainer

Sampler = Callable[[Tensor, int, int], Tensor]
"""(condition as the network gets it, number of evaluations, seed) -> samples in [-1, 1]."""


class Task(NamedTuple):
    """A training set, what its items are conditioned on, and the evaluations and members that are measured."""

    data: str
    given: str
    preset: str
    evaluations: tuple[int, ...]
    members: int


TASKS = {
    "left": Task("digits", "mask:left+noise:0.05", "digits", (4, 25), 4),
    "small": Task("digits", "upscale:4+noise:0.05", "digits", (4, 25), 4),
    "low": Task("emoji-64", "upscale:4", "folder", (8, 25), 8),
    "grey": Task("emoji-64", "grey", "folder", (8, 25), 8),
}
COUNT = 48
CALIBRATION = 16, 6
"""Steps whose CPU time is measured before training, and those of them that are left out."""


class Problem:
    """The items of a task with their conditions."""

    def __init__(self, task: Task) -> None:
        split = image_sets.load(task.data)
        plain = InMemoryDataset(split.train.items, name=task.data)
        self.task = task
        self.data = attach(plain, [task.given], {})
        self.spec = self.data.spec
        ((self.name, self.kind),) = self.spec.further.items()
        reference = split.reference[:: len(split.reference) // COUNT][:COUNT]
        self.truth = self.spec.codec.encode(reference)
        self.condition = self.inputs(self.truth, 1, 0, range(COUNT))

    def inputs(self, x0: Tensor, seed: int, step: int, indices: Any) -> Tensor:
        """What a network gets of the condition of items."""
        return inputs(self.spec, x0, {}, seed, step, indices)[self.name]


# -- training ---------------------------------------------------------------------------------------------------------


def ours(problem: Problem, seconds: float, seed: int, settings: dict[str, Any]) -> tuple[Sampler, str]:
    """The preset of the task, as `ancestral train --given` trains it."""

    def trainer(steps: int) -> Trainer:
        config = configs.preset(problem.task.preset).with_settings(
            **{"class_labels": False, "steps": steps, "seed": seed, "threads": 1, "snapshots": 0, **settings},
        )
        source = dataclasses.replace(config.data, source=configs.FROM_PYTHON, image_size=None, channels=None)
        return Trainer(dataclasses.replace(config, data=source), problem.data, "cpu")

    trial = trainer(CALIBRATION[0])
    steps = _affordable(trial.advance, seconds)
    run = trainer(steps)
    spent = _cpu(run.advance, steps)
    model = run.model()

    def sample(condition: Tensor, evaluations: int, member: int) -> Tensor:
        sampler = model.sampler("ddim:eta=1", steps=evaluations)  # by its name it clips, as the loss does
        x_T = torch.randn(problem.truth.shape, generator=torch.Generator().manual_seed(member))
        return sampler.sample(model.denoiser, x_T, seed=member, **{problem.name: condition})

    return sample, f"{steps} steps in {spent:.0f} CPU-s, {model.parameters:,} parameters, {settings}"


def _plain_loop(
    problem: Problem,
    seconds: float,
    seed: int,
    net: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    batch: int,
    lr: float,
) -> tuple[nn.Module, str]:
    """The loop of a peer's user: AdamW, an average of the weights, a cosine decay."""
    from ema_pytorch import EMA

    torch.manual_seed(seed)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    native = pick_dtype("auto", torch.device("cpu")) == torch.bfloat16
    optimiser = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0, fused=True)
    average = EMA(net, beta=0.995, update_every=1, update_after_step=20)
    step, began = 0, time.process_time()
    while (share := (time.process_time() - began) / seconds) < 1:
        rows = torch.randint(0, len(problem.data), (batch,))
        x = problem.spec.codec.encode(problem.data.items[rows])  # type: ignore[attr-defined]
        for group in optimiser.param_groups:
            group["lr"] = lr * min(1, (step + 1) / 50) * (0.5 + 0.5 * np.cos(np.pi * share))
        with torch.autocast("cpu", torch.bfloat16, enabled=native):
            value = loss(x, problem.inputs(x, seed, step, range(batch)))
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        average.update()
        step += 1
    spent, parameters = time.process_time() - began, sum(p.numel() for p in net.parameters())
    return average.ema_model.eval(), f"{step} steps in {spent:.0f} CPU-s, {parameters:,} parameters"


def diffusers_(problem: Problem, seconds: float, seed: int, settings: dict[str, Any]) -> tuple[Sampler, str]:
    """UNet2DModel with the condition concatenated, DDIM with η = 1."""
    from diffusers import DDIMScheduler, UNet2DModel

    channels = problem.spec.shape[0]
    torch.manual_seed(seed)
    net = UNet2DModel(
        sample_size=problem.spec.shape[1],
        in_channels=channels + problem.condition.shape[1],
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=(32, 64, 128, 128),
        down_block_types=("DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
    )
    scheduler = DDIMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2", prediction_type="sample")

    def loss(x: Tensor, condition: Tensor) -> Tensor:
        eps, t = torch.randn_like(x), torch.randint(0, 1000, (len(x),))
        noisy = scheduler.add_noise(x, eps, t)
        return nn.functional.mse_loss(net(torch.cat([noisy, condition], 1), t).sample.float(), x)

    average, text = _plain_loop(problem, seconds, seed, net, loss, 32, 2e-3)

    @torch.no_grad()
    def sample(condition: Tensor, evaluations: int, member: int) -> Tensor:
        generator = torch.Generator().manual_seed(member)
        x = torch.randn(problem.truth.shape, generator=generator)
        scheduler.set_timesteps(evaluations)
        for t in scheduler.timesteps:
            output = average(torch.cat([x, condition], 1), t).sample
            x = scheduler.step(output, t, x, eta=1.0, generator=generator).prev_sample
        return x

    return sample, f"diffusers: {text}"


def lucidrains(problem: Problem, seconds: float, seed: int, settings: dict[str, Any]) -> tuple[Sampler, str]:
    """denoising-diffusion-pytorch: its Unet takes the condition in place of its self-condition."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    channels, more = problem.spec.shape[0], problem.condition.shape[1]

    class Conditional(Unet):  # type: ignore[misc]
        condition: Tensor

        def forward(self, x: Tensor, time: Tensor, x_self_cond: Tensor | None = None) -> Tensor:
            return super().forward(torch.cat([x, self.condition], 1), time)

    torch.manual_seed(seed)
    net = Conditional(
        dim=32,
        dim_mults=(1, 2, 4, 4),
        channels=channels + more,
        out_dim=channels,
        full_attn=(False, False, False, True),
        flash_attn=False,
    )
    net.channels, net.out_dim = channels, channels
    diffusion = GaussianDiffusion(
        net, image_size=problem.spec.shape[1], timesteps=1000, objective="pred_x0", auto_normalize=False
    )

    def loss(x: Tensor, condition: Tensor) -> Tensor:
        net.condition = condition
        return diffusion(x)

    average, text = _plain_loop(problem, seconds, seed, net, loss, 32, 8e-4)
    diffusion.model = average

    def sample(condition: Tensor, evaluations: int, member: int) -> Tensor:
        torch.manual_seed(member)
        average.condition = condition
        diffusion.sampling_timesteps, diffusion.ddim_sampling_eta, diffusion.is_ddim_sampling = evaluations, 1.0, True
        return diffusion.sample(batch_size=len(condition))

    return sample, f"denoising-diffusion-pytorch: {text}"


def _cpu(advance: Callable[[], object], steps: int) -> float:
    began = time.process_time()
    for _ in range(steps):
        advance()
    return time.process_time() - began


def _affordable(advance: Callable[[], object], seconds: float) -> int:
    """The number of steps that a CPU time allows."""
    count, warm = CALIBRATION
    _cpu(advance, warm)
    return max(1, int(seconds * (count - warm) / _cpu(advance, count - warm)))


CONTESTANTS = {"ours": ours, "diffusers": diffusers_, "lucidrains": lucidrains}


# -- measures ---------------------------------------------------------------------------------------------------------


def scores(samples: Tensor, problem: Problem) -> str:
    """The energy score in pixels and in features, and PSNR of one sample and of the mean, with standard errors."""
    truth, parts = problem.truth, {}
    parts["energy"] = ensembles.energy_scores(samples, truth)
    if problem.spec.shape[1] >= 32:
        codec = problem.spec.codec
        extractor = extractors.extractor("lite0", problem.spec.shape, codec)
        features = [extractor(codec.decode(samples[:, k])).values for k in range(samples.shape[1])]
        parts["in features"] = ensembles.energy_scores(torch.stack(features, 1), extractor(codec.decode(truth)).values)
    parts["PSNR of one"] = ensembles.psnr(samples[:, :1], truth, 2.0)
    parts["of the mean"] = ensembles.psnr(samples.mean(1, keepdim=True), truth, 2.0)
    return ", ".join(f"{name} {v.mean():.4f} ± {v.std() / len(v) ** 0.5:.4f}" for name, v in parts.items())


def stand_ins(problem: Problem, generator: torch.Generator) -> dict[str, Tensor]:
    """What a user has without a model, (N, K, *shape) each."""
    task, truth = problem.task, problem.truth
    train = problem.spec.codec.encode(problem.data.items)  # type: ignore[attr-defined]
    members = torch.randint(0, len(train), (len(truth), task.members), generator=generator)
    nearest, small = [], problem.inputs(train, 1, 1, range(len(train)))
    for one in problem.condition:
        nearest.append((small - one).flatten(1).square().sum(1).argmin())
    parts = {"random training images": train[members], "nearest training image": train[torch.stack(nearest)][:, None]}
    if task.given.startswith("upscale"):
        made = derived.parse(task.given).make(truth, 1, 0, range(len(truth)))  # type: ignore[union-attr]
        parts["bicubic (Pillow)"] = torch.stack([_bicubic(each, truth.shape[3]) for each in made])[:, None]
    elif task.given == "grey":
        parts["the grey image itself"] = problem.condition[:, :1].expand_as(truth)[:, None]
    return parts


def _bicubic(image: Tensor, side: int) -> Tensor:
    pixels = ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    large = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).resize((side, side), Image.BICUBIC)
    return torch.from_numpy(np.array(large).reshape(side, side, -1)).permute(2, 0, 1) / 127.5 - 1


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--by", choices=CONTESTANTS, default="ours")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--evaluations", type=int, nargs="+", help="those that are measured (default: the task's two)")
    parser.add_argument("--out", type=Path)
    parser.add_argument("settings", nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = {}
    for text in arguments.settings:
        name, _, value = text.partition("=")
        try:
            settings[name] = json.loads(value)
        except json.JSONDecodeError:
            settings[name] = value
    problem = Problem(TASKS[arguments.task])
    for name, samples in stand_ins(problem, torch.Generator().manual_seed(0)).items():
        print(f"{arguments.task}, {name}: {scores(samples, problem)}", flush=True)
    for seed in range(arguments.seeds):
        sample, text = CONTESTANTS[arguments.by](problem, arguments.seconds, seed, settings)
        print(f"{arguments.task}, {arguments.by}, seed {seed}: {text}", flush=True)
        for evaluations in arguments.evaluations or problem.task.evaluations:
            members = [
                sample(problem.condition, evaluations, 1000 * seed + k).clamp(-1, 1)
                for k in range(problem.task.members)
            ]
            print(f"  {evaluations} evaluations: {scores(torch.stack(members, 1), problem)}", flush=True)
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
            shown = [
                problem.condition[:, : problem.kind.channels].expand_as(problem.truth),
                *members[:3],
                problem.truth,
            ]
            tiles = problem.spec.codec.decode(torch.stack([each[:12] for each in shown], 1).flatten(0, 1))
            pictures.picture(tiles, len(shown) * 2, 0).save(
                arguments.out / f"{arguments.task}-{arguments.by}-{seed}.png"
            )


if __name__ == "__main__":
    main()
