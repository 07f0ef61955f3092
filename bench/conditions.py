"""Conditional models at equal CPU time: the energy score of held-out images, given y = A x + σ n.

python bench/conditions.py TASK [SETTING=VALUE ...] [--by ours|residual|diffusers|lucidrains] [--seconds 120] [--out F]
python bench/conditions.py collect --out F     write bench/results/answers.KIND.json from the rows below a folder

left    the left half of a digit, with noise 0.05      grey, grey32   the grey of emoji of 64x64, or of 32x32
small   digits 4 times smaller, with noise 0.05        low            emoji of 64x64, 4 times smaller
clothes Fashion-MNIST, 4 times smaller, noise 0.05     field          Gaussian fields of 32x32, 4 times smaller
signal  the first half of 64 values of an AR(2) process               volume   porous media of 16x16x16, 4 times smaller
coast   the Gaussian fields, of which all items lack the same 41 %; the other 59 % are scored
Each is measured with 48 held-out conditions and 19 samples of each. The energy score is proper, lower is better, and
its unit is the pixel's range of [−1, 1]; in features it is that of lite0. Coverage is the share of true values in the
interval from the least to the largest sample, 90 % if calibrated. Texture is the root mean square of the Laplacian
beside that of the data; flat is that of the flatter half of each item. The bands are the power of samples beside that
of the data, from coarse to fine. The CPU time is that of the training loop alone, of
one thread. Beside the model stand the nearest training image (by the condition), random training images, and the
condition itself: enlarged by Pillow's bicubic filter, or as it is.

Settings follow, as in objective=energy (one evaluation) or objective=energy:members=1 (a regression network).
--out keeps pictures, a row of JSON for each seed and number of evaluations, and the trained models of this package.

--by residual spends half of the time on a regression network, and half on a diffusion model of what that leaves of the
training items, given the same condition (the training of CorrDiff).

The peers are the libraries' networks and schedules with the condition concatenated, in the least code: their
documented settings, an average of the weights, channels last, bfloat16 where the processor has it, and as many steps as
the CPU time allows. `make bench` installs them, and loads the data.
"""

import argparse
import copy
import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import image_sets
from ancestral import config as configs
from ancestral import data, derived
from ancestral.base.device import pick_dtype
from ancestral.data import InMemoryDataset
from ancestral.data.given import ConditionSource, attach
from ancestral.data.spec import inputs
from ancestral.metrics import ensembles, extractors
from ancestral.model import Model
from ancestral.nets import drawn_noise
from ancestral.render import pictures
from ancestral.training import Trainer
from measure import write_result

Sampler = Callable[[Tensor, int, int], Tensor]
"""(condition as the network gets it, number of evaluations, seed) -> samples in [-1, 1]."""
Trained = tuple[Sampler, dict[str, Any], Model | None]
"""What samples, the facts of its training, and the model of this package."""


class Task(NamedTuple):
    """A training set, what its items are conditioned on, and the evaluations and members that are measured."""

    data: str
    given: str
    preset: str
    evaluations: tuple[int, ...]
    members: int = 19


TASKS = {
    "left": Task("digits", "mask:left+noise:0.05", "digits", (4, 25)),
    "small": Task("digits", "upscale:4+noise:0.05", "digits", (4, 25)),
    "clothes": Task("fashion", "upscale:4+noise:0.05", "digits", (25,)),
    "low": Task("emoji-64", "upscale:4", "folder", (8, 25)),
    "grey": Task("emoji-64", "grey", "folder", (8, 25)),
    "grey32": Task("emoji", "grey", "folder", (25,)),
    "field": Task("field", "upscale:4+noise:0.05", "arrays", (25,)),
    "coast": Task("coast", "upscale:4+noise:0.05", "arrays", (25,)),
    "signal": Task("signal", "mask:left", "arrays", (25,)),
    "volume": Task("volume", "upscale:4", "arrays", (25,)),
}
COUNT = 48
BANDS = 4
"""Bands of the power spectrum, equally wide, of frequencies up to half of one a value along an axis."""
CALIBRATION = 16, 6
"""Steps whose CPU time is measured before training, and those of them that are left out."""


class Problem:
    """The items of a task with their conditions."""

    def __init__(self, task: Task) -> None:
        split = synthetic(task.data) if task.data in SYNTHETIC else image_sets.load(task.data)
        plain = split.train if task.data in SYNTHETIC else InMemoryDataset(split.train.items, name=task.data)
        self.task = task
        self.data = attach(plain, [ConditionSource("", task.given)], {})
        self.spec = self.data.spec
        ((self.name, self.kind),) = self.spec.further.items()
        reference = split.reference[:: len(split.reference) // COUNT][:COUNT]
        self.truth = self.spec.codec.encode(reference)
        self.there = self.spec.codec.present(self.spec.shape)
        self.condition = self.inputs(self.truth, 1, 0, range(COUNT))

    def inputs(self, x0: Tensor, seed: int, step: int, indices: Any) -> Tensor:
        """What a network gets of the condition of items."""
        return inputs(self.spec, x0, {}, seed, step, indices)[self.name]


def synthetic(name: str) -> image_sets.Split:
    """Make 5,000 training items and 240 others."""
    items = SYNTHETIC[name](np.random.default_rng(7), 5240).astype(np.float32)
    train = data.load(items[:5000], dims=items.ndim - 2, gaps="shared" if np.isnan(items).any() else None)
    return image_sets.Split(train, torch.from_numpy(items[5000:]))


def _amplitude(sides: tuple[int, ...]) -> Any:
    """The root of the power of a field at each frequency."""
    squares = sum(np.square(one) for one in np.meshgrid(*map(np.fft.fftfreq, sides), indexing="ij"))
    amplitude = (squares + 1 / max(sides) ** 2) ** -0.75
    return amplitude * np.sqrt(math.prod(sides) / np.square(amplitude).sum())


def _field(generator: np.random.Generator, count: int, sides: tuple[int, ...] = (32, 32)) -> Any:
    """Gaussian fields, periodic, whose power falls with the third power of the frequency; variance 1."""
    axes, amplitude = tuple(range(1, 1 + len(sides))), _amplitude(sides)
    white = np.fft.fftn(generator.standard_normal((count, *sides)), axes=axes)
    return np.fft.ifftn(white * amplitude, axes=axes).real[:, None]


def _coast(generator: np.random.Generator, count: int) -> Any:
    """Gaussian fields with a coast: 26 of the 64 blocks of 4x4 values are missing."""
    items = _field(generator, count)
    items[:, :, np.kron(LAND, np.ones((4, 4), dtype=bool))] = np.nan
    return items


LAND = np.add.outer(np.arange(8), [0, 1, 1, 2, 3, 2, 1, 0]) < 5
"""The blocks of land of a coast."""


def _signal(generator: np.random.Generator, count: int) -> Any:
    """Values of x_k = 1.8 x_{k−1} − 0.9 x_{k−2} + noise, in standard deviations."""
    x = generator.standard_normal((count, 200))
    for k in range(2, 200):
        x[:, k] += 1.8 * x[:, k - 1] - 0.9 * x[:, k - 2]
    return (x[:, -64:] / x[:, -64:].std())[:, None]


def _volume(generator: np.random.Generator, count: int) -> Any:
    """Two materials with a soft border: where a Gaussian field is above and below 0."""
    return np.tanh(4 * _field(generator, count, (16, 16, 16)))


SYNTHETIC = {"field": _field, "coast": _coast, "signal": _signal, "volume": _volume}


# -- training ---------------------------------------------------------------------------------------------------------


def ours(problem: Problem, seconds: float, seed: int, settings: dict[str, Any]) -> Trained:
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
    one = drawn_noise(model.diffusion.net) is not None or run.config.train.energy is not None

    def sample(condition: Tensor, evaluations: int, member: int) -> Tensor:
        # by its name it clips, as the loss of a diffusion model does
        sampler = model.sampler("consistency" if one else "ddim:eta=1", steps=evaluations)
        generator = torch.Generator().manual_seed(member)
        x_T = torch.randn(problem.truth.shape, generator=generator)
        keys = {"keys": torch.randint(2**62, (len(x_T),), generator=generator)} if one else {}
        return sampler.sample(model.denoiser, x_T, seed=member, **{problem.name: condition}, **keys)

    return sample, {"steps": steps, "seconds": spent, "parameters": model.parameters, "settings": settings}, model


def residual(problem: Problem, seconds: float, seed: int, settings: dict[str, Any]) -> Trained:
    """A regression network, and a diffusion model of what it leaves of an item, given the same condition."""
    regression, spent, _ = ours(problem, seconds / 2, seed, {"objective": "energy:members=1", **settings})
    degradation, spec = derived.parse(problem.task.given), problem.spec
    assert degradation is not None
    x = spec.codec.encode(problem.data.items)  # type: ignore[attr-defined]
    means = []
    for rows in torch.split(torch.arange(len(x)), COUNT):
        condition = problem.inputs(x[rows], 2, 0, rows.tolist())
        whole = torch.cat([condition, condition[:1].expand(COUNT - len(rows), *condition.shape[1:])])
        means.append(regression(whole, 1, 0)[: len(rows)])
    low = degradation.make(x, 2, 0, range(len(x)))
    with TemporaryDirectory() as folder:
        np.save(Path(folder) / "low.npy", low.numpy())
        plain = data.load((x - torch.cat(means)).numpy(), dims=x.ndim - 2)
        left = copy.copy(problem)
        left.data = attach(plain, [ConditionSource("low", f"{folder}/low.npy")], {})
    left.spec, left.name = left.data.spec, "low"
    sample, facts, model = ours(left, seconds / 2, seed, settings)
    test = degradation.make(problem.truth, 1, 0, range(COUNT))
    given = left.spec.further["low"].encode(test, spec.x_shape[1:])
    made: dict[int, Tensor] = {}

    def total(condition: Tensor, evaluations: int, member: int) -> Tensor:
        if 0 not in made:
            made[0] = regression(condition, 1, 0)
        return made[0] + left.spec.codec.decode(sample(given, evaluations, member))

    return total, {**facts, "seconds": facts["seconds"] + spent["seconds"]}, model


def _plain_loop(
    problem: Problem,
    seconds: float,
    seed: int,
    net: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    batch: int,
    lr: float,
) -> tuple[nn.Module, dict[str, Any]]:
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
    return average.ema_model.eval(), {"steps": step, "seconds": spent, "parameters": parameters}


def diffusers_(problem: Problem, seconds: float, seed: int, settings: dict[str, Any]) -> Trained:
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

    average, facts = _plain_loop(problem, seconds, seed, net, loss, 32, 2e-3)

    @torch.no_grad()
    def sample(condition: Tensor, evaluations: int, member: int) -> Tensor:
        generator = torch.Generator().manual_seed(member)
        x = torch.randn(problem.truth.shape, generator=generator)
        scheduler.set_timesteps(evaluations)
        for t in scheduler.timesteps:
            output = average(torch.cat([x, condition], 1), t).sample
            x = scheduler.step(output, t, x, eta=1.0, generator=generator).prev_sample
        return x

    return sample, facts, None


def lucidrains(problem: Problem, seconds: float, seed: int, settings: dict[str, Any]) -> Trained:
    """denoising-diffusion-pytorch: its Unet takes the condition in place of its self-condition."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    (channels, side, *others), more = problem.spec.shape, problem.condition.shape[1]
    if others != [side]:
        raise SystemExit("denoising-diffusion-pytorch has conditions of square images alone")
    mults = (1, 2, 4, 4) if side % 8 == 0 else (1, 2, 4)  # each level but the last halves the side

    class Conditional(Unet):  # type: ignore[misc]
        condition: Tensor

        def forward(self, x: Tensor, time: Tensor, x_self_cond: Tensor | None = None) -> Tensor:
            return super().forward(torch.cat([x, self.condition], 1), time)

    torch.manual_seed(seed)
    net = Conditional(
        dim=32,
        dim_mults=mults,
        channels=channels + more,
        out_dim=channels,
        full_attn=(*[False] * (len(mults) - 1), True),
        flash_attn=False,
    )
    net.channels, net.out_dim = channels, channels
    diffusion = GaussianDiffusion(net, image_size=side, timesteps=1000, objective="pred_x0", auto_normalize=False)

    def loss(x: Tensor, condition: Tensor) -> Tensor:
        net.condition = condition
        return diffusion(x)

    average, facts = _plain_loop(problem, seconds, seed, net, loss, 32, 8e-4)
    diffusion.model = average

    def sample(condition: Tensor, evaluations: int, member: int) -> Tensor:
        torch.manual_seed(member)
        average.condition = condition
        diffusion.sampling_timesteps, diffusion.ddim_sampling_eta, diffusion.is_ddim_sampling = evaluations, 1.0, True
        return diffusion.sample(batch_size=len(condition))

    return sample, facts, None


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


CONTESTANTS = {"ours": ours, "residual": residual, "diffusers": diffusers_, "lucidrains": lucidrains}


# -- measures ---------------------------------------------------------------------------------------------------------


def scores(samples: Tensor, problem: Problem) -> dict[str, float]:
    """Measure samples (N, K, *shape) by pixels and features; an energy score has its standard error beside it."""
    truth, several, whole = problem.truth, samples.shape[1] > 1, samples
    if problem.there is not None:  # what is missing is no part of the scores
        truth, samples = truth[:, problem.there][:, None], samples[:, :, problem.there][:, :, None]
    energy = {"energy": ensembles.energy_scores(samples, truth)}
    if problem.spec.shape[1] >= 32 and problem.spec.shape[0] == 3:
        codec = problem.spec.codec
        extractor = extractors.extractor("lite0", problem.spec.shape, codec)
        features = [extractor(codec.decode(samples[:, k])).values for k in range(samples.shape[1])]
        seen = extractor(codec.decode(truth)).values
        energy["in features"] = ensembles.energy_scores(torch.stack(features, 1), seen)
    found = {name: float(value.mean()) for name, value in energy.items()}
    found |= {f"{name} ±": float(value.std()) / len(value) ** 0.5 for name, value in energy.items()}
    found["PSNR of one"] = float(ensembles.psnr(samples[:, :1], truth, 2.0).mean())
    found["PSNR of the mean"] = float(ensembles.psnr(samples.mean(1, keepdim=True), truth, 2.0).mean())
    if several:
        codec = problem.spec.codec  # members are rounded, as integers are
        floats = codec.kind == "float"
        rounded = samples if floats else codec.encode(codec.decode(samples.flatten(0, 1))).view(samples.shape)
        calibration = ensembles.calibration(rounded, truth)
        assert calibration.coverage is not None
        assert calibration.ratio is not None
        found |= {"coverage": calibration.coverage.value, "coverage ±": calibration.coverage.error or 0.0}
        found["spread/error"] = calibration.ratio.value
    if problem.there is not None:
        return found
    bent, data_bent = laplacian(whole.flatten(0, 1)), laplacian(truth)
    found["texture"] = float((bent.square().mean() / data_bent.square().mean()).sqrt())
    found["flat"] = float(flat_ground(bent) / flat_ground(data_bent))
    powers = [power(one) for one in (whole.flatten(0, 1), truth)]
    return found | {f"band {k}": float(one / other) for k, (one, other) in enumerate(zip(*powers, strict=True))}


def laplacian(x: Tensor) -> Tensor:
    """The discrete Laplacian of x (N, C, *sides), within the border."""
    inner = tuple([slice(None)] * 2 + [slice(1, -1)] * (x.ndim - 2))
    total = 2 * (x.ndim - 2) * x[inner]
    for axis in range(2, x.ndim):
        for shift in (-1, 1):
            total = total - x.roll(shift, axis)[inner]
    return total


def flat_ground(bent: Tensor) -> Tensor:
    """The root mean square of the smaller half of the Laplacian of each item, at least half a grey level."""
    size = bent.abs().flatten(1)
    return size.sort(1).values[:, : size.shape[1] // 2].square().mean().sqrt().clamp(min=1 / 255)


def power(x: Tensor) -> Tensor:
    """The mean power of x (N, C, *sides) in BANDS of frequency; the mean of an item, and corners, are in none."""
    axes, sides = tuple(range(2, x.ndim)), x.shape[2:]
    squares = torch.fft.fftn(x.double(), dim=axes).abs().square().mean((0, 1))
    frequency = torch.stack(torch.meshgrid(*map(torch.fft.fftfreq, sides), indexing="ij")).square().sum(0).sqrt()
    band = (frequency * 2 * BANDS).ceil().long() - 1
    return torch.stack([squares[band == k].mean() for k in range(BANDS)])


def written(found: dict[str, float]) -> str:
    """Write measures in one line."""
    return ", ".join(f"{name} {value:.4f}" for name, value in found.items()).replace(" ± ", " ± ")


def stand_ins(problem: Problem, generator: torch.Generator) -> dict[str, Tensor]:
    """What a user has without a model, (N, K, *shape) each."""
    task, truth = problem.task, problem.truth
    train = problem.spec.codec.encode(problem.data.items)  # type: ignore[attr-defined]
    members = torch.randint(0, len(train), (len(truth), task.members), generator=generator)
    nearest, small = [], problem.inputs(train, 1, 1, range(len(train)))
    for one in problem.condition:
        nearest.append((small - one).flatten(1).square().sum(1).argmin())
    parts = {"random training images": train[members], "nearest training image": train[torch.stack(nearest)][:, None]}
    if task.given.startswith("upscale") and truth.ndim == 4:
        made = derived.parse(task.given).make(truth, 1, 0, range(len(truth)))  # type: ignore[union-attr]
        parts["bicubic (Pillow)"] = torch.stack([_bicubic(each, truth.shape[3]) for each in made])[:, None]
    if task.data in ("field", "coast"):
        parts["the exact posterior"] = _exact_fields(problem, generator)
    elif task.given == "grey":
        parts["the grey image itself"] = problem.condition[:, :1].expand_as(truth)[:, None]
    return parts


def _exact_fields(problem: Problem, generator: torch.Generator) -> Tensor:
    """Samples of the posterior of Gaussian fields, of which y = A x + σ n is known, (N, K, *shape)."""
    (side, _), codec, made = problem.spec.shape[1:], problem.spec.codec, derived.parse(problem.task.given)
    y = made.make(problem.truth, 1, 0, range(len(problem.truth))).flatten(1).double()  # type: ignore[union-attr]
    zero, one = (codec.encode(torch.full((1, 1, 1, 1), value)).double() for value in (0.0, 1.0))
    column = np.fft.ifft2(np.square(_amplitude((side, side)))).real
    shifts = np.arange(side)[:, None] - np.arange(side)
    covariance = torch.from_numpy(column[shifts][:, :, shifts].transpose(0, 2, 1, 3).reshape(side**2, side**2))
    covariance = covariance * float(one - zero) ** 2
    A = nn.functional.avg_pool2d(torch.eye(side**2).view(-1, 1, side, side), side // 8).flatten(1).double().T
    if problem.there is not None:  # blocks of land say nothing
        sea = torch.from_numpy(~LAND.ravel())
        A, y = A[sea], y[:, sea]
    seen = A @ covariance @ A.T + made.noise**2 * torch.eye(len(A))  # type: ignore[union-attr]
    gain = torch.linalg.solve(seen, A @ covariance).T
    mean = float(zero) + (y - float(zero)) @ gain.T
    values, vectors = torch.linalg.eigh(covariance - gain @ A @ covariance)
    root = vectors * values.clamp(min=0).sqrt()
    z = torch.randn(len(y), problem.task.members, side**2, generator=generator, dtype=torch.float64)
    return (mean[:, None] + z @ root.T).float().view(len(y), -1, *problem.spec.shape)


def _bicubic(image: Tensor, side: int) -> Tensor:
    pixels = ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    large = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).resize((side, side), Image.BICUBIC)
    return torch.from_numpy(np.array(large).reshape(side, side, -1)).permute(2, 0, 1) / 127.5 - 1


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=[*TASKS, "collect"])
    parser.add_argument("--by", choices=CONTESTANTS, default="ours")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--evaluations", type=int, nargs="+", help="those that are measured (default: the task's two)")
    parser.add_argument("--out", type=Path)
    parser.add_argument("settings", nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.task == "collect":
        files = sorted(arguments.out.rglob("rows.jsonl"))
        rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        print(write_result("answers", torch.device("cpu"), {}, rows))
        return
    settings = {}
    for text in arguments.settings:
        name, _, value = text.partition("=")
        try:
            settings[name] = json.loads(value)
        except json.JSONDecodeError:
            settings[name] = value
    problem = Problem(TASKS[arguments.task])
    if arguments.out is None:
        for name, samples in stand_ins(problem, torch.Generator().manual_seed(0)).items():
            print(f"{arguments.task}, {name}: {written(scores(samples, problem))}", flush=True)
    for seed in arguments.seeds:
        sample, facts, model = CONTESTANTS[arguments.by](problem, arguments.seconds, seed, settings)
        print(f"{arguments.task}, {arguments.by}, seed {seed}: {facts}", flush=True)
        one = str(settings.get("objective", "")).startswith("energy")
        for evaluations in arguments.evaluations or ([1] if one else problem.task.evaluations):
            began = time.process_time()
            members = [
                sample(problem.condition, evaluations, 1000 * seed + k).clamp(-1, 1)
                for k in range(problem.task.members)
            ]
            each = 1000 * (time.process_time() - began) / len(members) / len(problem.truth)
            found = scores(torch.stack(members, 1), problem)
            print(f"  {evaluations} evaluations, {each:.2f} ms a sample: {written(found)}", flush=True)
            if arguments.out is not None:
                head = {
                    "task": arguments.task,
                    "by": arguments.by,
                    "seed": seed,
                    "evaluations": evaluations,
                    "budget": arguments.seconds,
                }
                keep(arguments.out, head | facts | {"sample_ms": each} | found, members, problem, model)


def keep(folder: Path, row: dict[str, Any], members: list[Tensor], problem: Problem, model: Model | None) -> None:
    """Keep a row of results, a picture of the condition, three members and the truth, and the model."""
    folder.mkdir(parents=True, exist_ok=True)
    objective = str(row.get("settings", {}).get("objective", "")).replace(":", "-") or "denoising"
    name = f"{row['task']}-{row['by']}-{objective}-{row['seconds']:.0f}s-{row['seed']}"
    with (folder / "rows.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    if problem.truth.ndim == 4:
        condition = problem.condition[:, :1].expand_as(problem.truth)
        shown = torch.stack([each[:12] for each in (condition, *members[:3], problem.truth)], 1)
        tiles = ((shown.flatten(0, 1).clamp(-1, 1) + 1) * 127.5).round().byte()
        pictures.picture(tiles, 10, 0).save(folder / f"{name}.png")
    if model is not None:
        (folder / name).mkdir(exist_ok=True)
        model.save(folder / name / "model.safetensors")


if __name__ == "__main__":
    main()
