"""Restoration and inpainting by the models of runs, beside azula and deepinv on the same weights.

python bench/editing.py compare RUN --data digits|emoji-64|FOLDER [--tasks left small] [--images 48] [--noise 0.05]
python bench/editing.py classes RUN [--images 200]
python bench/editing.py few RUN [--images 48]
python bench/editing.py files RUN --data digits|emoji-64|FOLDER [--widths 1 2 3] [--methods pigdm mmps jfps]

`compare` draws four samples of each of some held-out images, given y = A x + σ n: left (the left half is known), box
(all but a box of a quarter of the area is known), small (4 times smaller). It prints the energy score in pixels with
its standard error (lower is better; the unit is the pixel's range of [−1, 1]), the difference to `auto` over the same
images, the root mean square of A x − y, the network evaluations of a sample, and the CPU seconds of a sample with one
thread. All contestants draw the samples of a few images, then those of the next ones, in an order that changes.

Every contestant has 25 evaluations. The peers get our network as their denoiser, our schedule and times, DDIM with
η = 1 where they have a choice, and our covariance of the training data. Their further settings are their defaults.
"raw" are those whose x̂_0 is not clipped to [−1, 1]; ours always is, as the models are trained by the clipped loss.

`files` blurs held-out images by Gaussians of some widths in pixels, writes them as PNGs of 8 bits, and restores them
without an option but the operator. It prints the energy score beside those of methods and noises by hand, and for how
many images a message says that they are not what the blur makes of the data: of the right blur (false alarms), and of
images whose blur was half as wide or twice as wide.

`classes` (digits only) gives samples of inpainted right halves to a classifier of whole digits; `few` edits with a
distilled model in 2 and 4 evaluations. Pictures are written to bench/out/editing.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import ancestral
import digit_classifier
import digits
import image_sets
import measure
from ancestral import data
from ancestral.guidance import Clipped
from ancestral.metrics import ensembles
from ancestral.model.editing import restoration
from ancestral.operators import Blur, Downsample, Identity, Mask, Operator
from ancestral.render import pictures

MEMBERS, STEPS, FACTOR = 4, 25, 4
CHUNK = 8
"""Number of images of a round."""
EPOCHS = 8
"""Epochs of the classifiers of digits: one has 98 % of held-out digits after 8."""
OURS = ("auto", "jfps", "pigdm", "mmps", "ddnm", "replacement", "dps")
OUT = measure.OUT / "editing"


class Problem(NamedTuple):
    """Held-out images in [−1, 1] and what is measured of them."""

    truth: Tensor
    operator: Operator
    noise: float
    y: Tensor


Contestant = Callable[[Problem, int], Tensor]
"""(problem, seed) -> samples (MEMBERS · N, *shape), of which sample i has image i modulo N."""


def operator_of(task: str, shape: tuple[int, ...]) -> Operator:
    """The operator of a task for items of a shape."""
    height, width = shape[1:]
    known = torch.zeros(height, width, dtype=torch.bool)
    if task == "left":
        known[:, : width // 2] = True
    elif task == "box":
        known |= True
        known[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = False
    return Downsample(FACTOR) if task == "small" else Mask(known)


def problem_of(task: str, truth: Tensor, noise: float) -> Problem:
    """The measurements of images."""
    operator = operator_of(task, tuple(truth.shape[1:]))
    y = operator.apply(truth)
    z = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    return Problem(truth, operator, noise, y + noise * (operator.apply(z) if isinstance(operator, Mask) else z))


def held_out(name: str, model: Any, count: int) -> Tensor:
    """Images that no model was trained on, in [−1, 1]: evenly spread over those of a data set or a folder."""
    if Path(name).is_dir():
        images = data.load(Path(name), image_size=model.spec.shape[1], channels=model.spec.shape[0]).items
    else:
        images = image_sets.load(name).reference
    return model.spec.codec.encode(images[:: len(images) // count][:count])


# -- ours -------------------------------------------------------------------------------------------------------------


def ours(model: Any, method: str) -> Contestant:
    """The public function."""
    label = {"label": "none"} if model.spec.classes else {}

    def sample(problem: Problem, seed: int) -> Tensor:
        edited = model.restore(
            problem.y, problem.operator, problem.noise, MEMBERS * len(problem.y), method,
            steps=STEPS, seed=seed, batch_size=MEMBERS * CHUNK, decode=False, **label,
        )  # fmt: skip
        sample.method = edited.method
        return edited.as_subclass(Tensor)

    return sample


class Network:
    """The denoiser of a model, without a label, by its number of the time or the ratio of noise to signal."""

    def __init__(self, model: Any, clipped: bool) -> None:
        self.model, self.schedule, self.steps = model, model.denoiser.schedule, model.denoiser.schedule.steps
        self.denoiser = Clipped(model.denoiser) if clipped else model.denoiser
        scales = [self.schedule.at(t) for t in range(self.steps + 1)]
        self.signal, self.noise = torch.tensor(scales, dtype=torch.float64).T
        self.sigmas = self.noise / self.signal

    def x0(self, x_t: Tensor, t: int) -> Tensor:
        """x̂_0 of x_t."""
        labels = self.model.labels(range(len(x_t)), "none") if self.model.spec.classes else None
        return self.denoiser.predict(x_t, t, **({} if labels is None else {"labels": labels})).x0

    def of_sigma(self, x: Tensor, sigma: Any) -> Tensor:
        """x̂_0 of x_t/a at the time whose b/a is nearest to σ."""
        sigma = torch.as_tensor(sigma, dtype=torch.float64).flatten()[0]
        t = max(int((self.sigmas - sigma).abs().argmin()), 1)
        return self.x0(self.signal[t].float() * x, t)


# -- azula ------------------------------------------------------------------------------------------------------------


def azulas(model: Any, clipped: bool) -> Iterator[tuple[str, Contestant]]:
    """Those of azula."""
    from azula import denoise, guidance, noise, sample
    from azula.linalg.covariance import DPLRCovariance, FullCovariance, IsotropicCovariance

    network, shape = Network(model, clipped), tuple(model.spec.shape)
    ours_ = model.covariance
    if ours_.axes.shape[0] == ours_.axes.shape[1]:
        covariance = FullCovariance(ours_.axes.reshape(*shape, -1), ours_.variances)
    else:
        axes = ours_.axes * (ours_.variances - ours_.rest).sqrt()
        covariance = DPLRCovariance(torch.full(shape, ours_.rest), axes.reshape(*shape, -1))

    class Schedule(noise.Schedule):
        def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
            rows = (t * network.steps).round().long()
            return network.signal[rows].float(), network.noise[rows].float()

    class Denoiser(denoise.Denoiser):
        schedule = Schedule()

        def forward(self, x_t: Tensor, t: Tensor) -> denoise.DiracPosterior:
            return denoise.DiracPosterior(network.x0(x_t, round(float(t) * network.steps)))

    def contestant(make: Callable[[Problem, Any, Tensor, Callable[[Tensor], Tensor]], Any]) -> Contestant:
        def run(problem: Problem, seed: int) -> Tensor:
            torch.manual_seed(seed)
            y = problem.y.repeat(MEMBERS, 1, 1, 1).flatten(1)
            sampler = make(problem, Denoiser(), y, lambda x: problem.operator.apply(x).flatten(1))
            return sampler(torch.randn(len(y), *shape))

        return run

    def ddim(denoiser: Any) -> Any:
        return sample.DDIMSampler(denoiser, eta=1.0, steps=STEPS, silent=True)

    def inverse(problem: Problem) -> Callable[[Tensor], Tensor]:
        return lambda v: problem.operator.pseudo_inverse(v.reshape(-1, *problem.y.shape[1:]), shape)

    options = {"steps": STEPS, "silent": True}
    yield (
        "JFPS",
        contestant(
            lambda p, d, y, A: ddim(guidance.JFPSDenoiser(d, y, A, IsotropicCovariance(p.noise**2), covariance))
        ),
    )
    yield "MMPS", contestant(lambda p, d, y, A: ddim(guidance.MMPSDenoiser(d, y, A, IsotropicCovariance(p.noise**2))))
    yield "PGDM", contestant(lambda p, d, y, A: guidance.PGDMSampler(d, y, A, inverse(p), eta=1.0, **options))
    yield "DiffPIR", contestant(lambda p, d, y, A: ddim(guidance.DiffPIRDenoiser(d, y, A, max(p.noise, 1e-2) ** 2)))
    yield "DPS", contestant(lambda p, d, y, A: guidance.DPSSampler(d, y, A, **options))


# -- deepinv ----------------------------------------------------------------------------------------------------------


def deepinvs(model: Any, clipped: bool) -> Iterator[tuple[str, Contestant]]:
    """Those of deepinv."""
    import deepinv

    network, shape = Network(model, clipped), tuple(model.spec.shape)

    class Denoiser(deepinv.models.Denoiser):
        def __init__(self, unit: bool = False) -> None:
            super().__init__()
            self.unit = unit

        def forward(self, x: Tensor, sigma: Any, *_: Any, **__: Any) -> Tensor:
            if self.unit:  # [0, 1]
                return (network.of_sigma(2 * x - 1, 2 * torch.as_tensor(sigma)) + 1) / 2
            return network.of_sigma(x, sigma)

    def physics_of(problem: Problem, scale: float = 1.0) -> Any:
        noise = deepinv.physics.GaussianNoise(problem.noise * scale)
        if isinstance(problem.operator, Mask):
            return deepinv.physics.Inpainting(shape, problem.operator.mask.float().expand(shape), noise_model=noise)
        return means(shape, noise)

    def means(shape: tuple[int, ...], noise: Any) -> Any:
        """Means of blocks with their singular vectors: an orthonormal basis of each block."""
        channels, height, width = shape
        start = torch.eye(FACTOR**2)
        start[:, 0] = 1
        basis = torch.linalg.qr(start).Q
        basis = basis * basis[0, 0].sign()
        unfold, fold = nn.PixelUnshuffle(FACTOR), nn.PixelShuffle(FACTOR)
        rows = height // FACTOR, width // FACTOR

        def to_basis(x: Tensor, matrix: Tensor) -> Tensor:
            blocks = unfold(x).reshape(-1, channels, FACTOR**2, *rows)
            return fold(torch.einsum("ij,bcjhw->bcihw", matrix.to(x), blocks).flatten(1, 2))

        def first(x: Tensor) -> Tensor:
            return x[..., ::FACTOR, ::FACTOR]

        def placed(y: Tensor) -> Tensor:
            x = y.new_zeros(len(y), *shape)
            first(x)[:] = y
            return x

        return deepinv.physics.DecomposablePhysics(
            U=first, U_adjoint=placed, V=lambda x: to_basis(x, basis), V_adjoint=lambda x: to_basis(x, basis.T),
            mask=placed(torch.full((1, channels, *rows), 1 / FACTOR)), noise_model=noise,
        )  # fmt: skip

    def diffusion(fidelity: Callable[[], Any]) -> Contestant:
        def run(problem: Problem, seed: int) -> Tensor:
            times = torch.linspace(network.steps, 0, STEPS + 1)
            sde = deepinv.sampling.EDMDiffusionSDE(
                sigma_t=lambda t: network.sigmas[t.round().long()],
                scale_t=lambda t: network.signal[t.round().long()],
                sigma_prime_t=lambda t: t, scale_prime_t=lambda t: t,  # not used by its DDPM
                T=float(network.steps), denoiser=Denoiser(), minus_one_one=False,
            )  # fmt: skip
            solver = deepinv.sampling.DDPMSolver(times, rng=torch.Generator().manual_seed(seed))
            sampler = deepinv.sampling.PosteriorDiffusion(
                fidelity(), Denoiser(), sde, solver, minus_one_one=False, denoise_output=False
            )
            y = problem.y.repeat(MEMBERS, 1, 1, 1)
            return sampler(y, physics_of(problem), x_init=(len(y), *shape), denoise_output=False).float()

        return run

    def unit(make: Callable[[Problem], Any]) -> Contestant:
        def run(problem: Problem, seed: int) -> Tensor:
            torch.manual_seed(seed)
            y = (problem.y.repeat(MEMBERS, 1, 1, 1) + 1) / 2
            if isinstance(problem.operator, Mask):
                y = problem.operator.apply(y)
            physics = physics_of(problem, 0.5)
            with torch.no_grad():
                return 2 * make(problem)(y, physics) - 1

        return run

    sampling = deepinv.sampling
    yield "moment matching", diffusion(sampling.MomentMatchingDataFidelity)
    yield "ΠGDM", diffusion(sampling.PiGDMDataFidelity)
    yield "DPS", diffusion(sampling.DPSDataFidelity)
    sigmas = torch.linspace(1, 0, STEPS).tolist()
    yield "DDRM", unit(lambda p: sampling.DDRM(Denoiser(unit=True), sigmas))
    L2 = deepinv.optim.data_fidelity.L2
    yield "DiffPIR", unit(lambda p: sampling.DiffPIR(Denoiser(unit=True), L2(), p.noise / 2, STEPS))


# -- parts ------------------------------------------------------------------------------------------------------------


def contestants(model: Any) -> dict[str, Contestant]:
    """All contestants, by name."""
    found = {f"ours, {method}": ours(model, method) for method in OURS}
    for library, make, clipped in (("azula", azulas, True), ("azula", azulas, False), ("deepinv", deepinvs, True)):
        for name, contestant in make(model, clipped):
            found[f"{library}, {name}{'' if clipped else ', raw'}"] = contestant
    return found


def compare(options: argparse.Namespace) -> None:
    """Print the figures of all contestants, record them, and write sheets of samples."""
    model = ancestral.load(options.run)
    truth = held_out(options.data, model, options.images)
    for task in options.tasks:
        problem = problem_of(task, truth, options.noise)
        jobs = contestants(model, options.noise)
        jobs = {name: job for name, job in jobs.items() if any(word in name for word in options.only)}
        jobs = {name: job for name, job in jobs.items() if not any(word in name for word in options.skip)}
        seconds: dict[str, list[float]] = {name: [] for name in jobs}
        parts: dict[str, list[Tensor]] = {name: [] for name in jobs}
        passes: dict[str, int] = dict.fromkeys(jobs, 0)
        now = measure.timer()
        model.covariance  # noqa: B018  # it is computed once for a model
        for round_, rows in enumerate(torch.arange(len(truth)).split(CHUNK)):
            part = Problem(truth[rows], problem.operator, problem.noise, problem.y[rows])
            names = list(jobs)[round_ % len(jobs) :] + list(jobs)[: round_ % len(jobs)]
            for name in names:
                with measure.count_evaluations() as counted:
                    began = now()
                    samples = jobs[name](part, round_)
                    seconds[name].append((now() - began) / len(samples))
                passes[name] += counted()
                shaped = samples.detach().clamp(-1, 1).view(MEMBERS, len(rows), *truth.shape[1:])
                parts[name].append(shaped.transpose(0, 1))
        samples_of = {name: torch.cat(pieces) for name, pieces in parts.items()}
        for name in [name for name, samples in samples_of.items() if not bool(samples.isfinite().all())]:
            print(f"{name}: samples are NaN or infinite", flush=True)
            del samples_of[name]
        scores = {name: ensembles.energy_scores(samples, truth) for name, samples in samples_of.items()}
        base = next(iter(jobs))
        chosen = getattr(jobs[base], "method", "")
        print(f"\n{options.run}, {task}, noise {options.noise:g}, {len(truth)} images, {base} takes {chosen}\n")
        print("| by | energy score | less that of auto | residual | evaluations | CPU-s a sample | times auto's |")
        print("|---|---|---|---|---|---|---|")
        for name, samples in samples_of.items():
            flat = samples.transpose(0, 1).flatten(0, 1)
            misfit = problem.operator.apply(flat) - problem.y.repeat(MEMBERS, 1, 1, 1)
            if isinstance(problem.operator, Mask):
                misfit = misfit[..., problem.operator.mask]
            difference = scores[name] - scores[base]
            row = {
                "run": options.name or Path(options.run).name, "task": task, "noise": options.noise, "by": name,
                "images": len(truth), "method": chosen if name == base else None,
                "energy": mean_error(scores[name]), "less auto": mean_error(difference),
                "residual": float(misfit.square().mean().sqrt()), "evaluations": passes[name] / len(flat),
                "seconds": sum(seconds[name]) / len(seconds[name]),
                "ratio": measure.paired_ratio(seconds[name], seconds[base]),
            }  # fmt: skip
            print(
                f"| {name} | {text(row['energy'])} | {text(row['less auto'], '+')} | {row['residual']:.3f} "
                f"| {row['evaluations']:.0f} | {row['seconds']:.3f} | {row['ratio']['median']:.2f} |",
                flush=True,
            )
            if math.isfinite(row["energy"][0]):
                measure.record_row("editing", row, ["run", "task", "noise", "by"], torch.get_num_threads())
            sheet(model, problem, samples, f"{row['run']}-{task}-{options.noise:g}-{name.replace(', ', '-')}")


def mean_error(values: Tensor) -> tuple[float, float]:
    """The mean and its standard error."""
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def text(estimate: Any, sign: str = "") -> str:
    """A mean with its error."""
    return f"{estimate[0]:{sign}.4f} ± {estimate[1]:.4f}"


def sheet(model: Any, problem: Problem, samples: Tensor, name: str, count: int = 10) -> None:
    """Write a picture: a row for each image, of the truth, what is measured, the samples, and their deviation."""
    shape = tuple(problem.truth.shape[1:])
    seen = problem.operator.pseudo_inverse(problem.y, shape)
    if isinstance(problem.operator, Mask):
        seen = torch.where(problem.operator.mask, seen, 0.0)
    deviation = 2 * samples.std(1) - 1
    columns = [problem.truth, seen, *samples.unbind(1), deviation]
    tiles = torch.stack([column[:count] for column in columns], 1).flatten(0, 1).clamp(-1, 1)
    OUT.mkdir(parents=True, exist_ok=True)
    pictures.picture(model.spec.codec.decode(tiles), len(columns), 0).save(OUT / f"{name}.png")


def classes(options: argparse.Namespace) -> None:
    """Print how often samples of an inpainted right half have the class of the digit whose left half is known."""
    model = ancestral.load(options.run)
    train = data.load("digits")
    assert train.labels is not None
    by_class = digits.load_by_class()
    each = options.images // len(by_class)
    images = torch.cat([of_class[:: len(of_class) // each][:each] for of_class in by_class])
    labels = torch.arange(len(by_class)).repeat_interleave(each)
    half = images.shape[3] // 2
    whole_net = digit_classifier.train_classifier(train.items, train.labels, EPOCHS)
    left, left_images = train.items.clone(), images.clone()
    left[..., half:] = left_images[..., half:] = 0
    left_net = digit_classifier.train_classifier(left, train.labels, EPOCHS)
    _, whole = digit_classifier.classify(whole_net, images)
    confidence, by_left = digit_classifier.classify(left_net, left_images)
    mask = torch.zeros(images.shape[2:], dtype=torch.bool)
    mask[:, half:] = True
    label = {"label": labels.tolist() if options.labels else "none"} if model.spec.classes else {}
    edited = model.inpaint(images, mask, MEMBERS * len(images), seed=0, **label)
    samples = edited.as_subclass(Tensor)
    assert bool((samples[..., :half] == images.repeat(MEMBERS, 1, 1, 1)[..., :half]).all())
    _, found = digit_classifier.classify(whole_net, samples)
    kept = (found.view(MEMBERS, -1) == labels).double().mean(0)
    print(f"{options.run}: {edited.method}, {edited.evaluations} evaluations, {len(images)} images, {MEMBERS} samples")
    print(f"the classifier of whole digits is right for {(whole == labels).double().mean():.1%} of the originals")
    print(f"the classifier of left halves is right for {(by_left == labels).double().mean():.1%}")
    for limit in (0.0, 0.9, 0.99, 0.999):
        rows = (confidence > limit) & (by_left == labels) & (whole == labels)
        mean, error = mean_error(kept[rows])
        print(
            f"recognised by both, the left half with a probability above {limit:g}: {int(rows.sum())} images; "
            f"{mean:.1%} ± {error:.1%} of their samples keep the class"
        )
    mean, error = mean_error(kept)
    print(f"all images: {mean:.1%} ± {error:.1%} of the samples keep the class")
    problem = problem_of("left", model.spec.codec.encode(images), 0.0)
    shaped = model.spec.codec.encode(samples).view(MEMBERS, len(images), *images.shape[1:]).transpose(0, 1)
    order = torch.arange(len(images)).view(-1, each)[:, :2].flatten()
    some = Problem(problem.truth[order], problem.operator, 0.0, problem.y[order])
    sheet(model, some, shaped[order], f"classes-{edited.method}", len(order))


def few(options: argparse.Namespace) -> None:
    """Print the energy scores of edits of digits in 2 and 4 evaluations, and write sheets of them."""
    model = ancestral.load(options.run)
    label = {"label": "none"} if model.spec.classes else {}
    truth = held_out("digits", model, options.images)
    for task in ("left", "small"):
        for noise in (0.0, 0.05):
            problem = problem_of(task, truth, noise)
            for method in ("ddnm", "jfps"):
                for steps in (2, 4):
                    edited = model.restore(
                        problem.y, problem.operator, noise, MEMBERS * len(truth), method,
                        steps=steps, decode=False, **label,
                    )  # fmt: skip
                    samples = edited.as_subclass(Tensor).clamp(-1, 1)
                    misfit = problem.operator.apply(samples) - problem.y.repeat(MEMBERS, 1, 1, 1)
                    shaped = samples.view(MEMBERS, *truth.shape).transpose(0, 1)
                    print(
                        f"{task}, noise {noise:g}, {method}, {edited.evaluations} evaluations: energy score "
                        f"{text(mean_error(ensembles.energy_scores(shaped, truth)))}, "
                        f"rms of A x − y {misfit.square().mean().sqrt():.3f}",
                        flush=True,
                    )
                    sheet(model, problem, shaped, f"few-{task}-{noise:g}-{method}-{steps}")


def files(options: argparse.Namespace) -> None:
    """Print energy scores of blurred files of 8 bits, by default and by hand, and how often a message comes."""
    model = ancestral.load(options.run)
    truth = held_out(options.data, model, options.images)
    label = {"label": "none"} if model.spec.classes else {}

    def scored(samples: Tensor) -> tuple[Tensor, Tensor]:
        shaped = model.spec.codec.encode(samples.as_subclass(Tensor)).view(MEMBERS, *truth.shape).transpose(0, 1)
        return shaped, ensembles.energy_scores(shaped, truth)

    for width in options.widths:
        for factor in (1.0, 0.5, 2.0):
            operator, paths = Blur(width * factor), list[Path]()
            for i, image in enumerate(model.spec.codec.decode(operator.apply(truth))):
                paths.append(OUT / f"files-{options.name}/{width * factor:g}-{i}.png")
                paths[-1].parent.mkdir(parents=True, exist_ok=True)
                pictures.picture(image[None], 1, 0).save(paths[-1])
            text_of = f"blur:{width:g}"
            edited = model.restore(paths, text_of, n=MEMBERS * len(paths), **label)
            shaped, scores = scored(edited)
            notes = [" ".join(restoration(model, path, text_of, **label).notes) for path in paths]
            said = sum("The image is" in note for note in notes)
            print(
                f"blur {width:g} of images of blur {width * factor:g}: {text(mean_error(scores))}; a message for "
                f"{said} of {len(paths)} images; {edited.method}: {edited.reason}",
                flush=True,
            )
            y = model.spec.codec.encode(model.spec.codec.decode(operator.apply(truth)))
            sheet(model, Problem(truth, Identity(), 0.0, y), shaped, f"files-{options.name}-{width:g}-{factor:g}")
            for method in options.methods if factor == 1 else ():
                for noise in options.noises:
                    edited = model.restore(paths, operator, noise, MEMBERS * len(paths), method, **label)
                    other = scored(edited)[1]
                    print(
                        f"  {method}, noise {noise:g}: {text(mean_error(other))}, default / this "
                        f"{scores.mean() / other.mean():.3f}",
                        flush=True,
                    )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["compare", "classes", "few", "files"])
    parser.add_argument("run", help="a run folder, or its model.safetensors")
    parser.add_argument("--data", default="digits", help="a data set of image_sets, or a folder of held-out images")
    parser.add_argument("--tasks", nargs="+", choices=["left", "box", "small"], default=["left", "small"])
    parser.add_argument("--noise", type=float, default=0.05)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the names of contestants (default: all)")
    parser.add_argument("--skip", nargs="+", default=[], help="parts of the names of those that are left out")
    parser.add_argument("--name", help="name of the run in the results (default: that of its folder)")
    parser.add_argument("--labels", action="store_true", help="classes: give the model the class of each digit too")
    parser.add_argument("--widths", nargs="+", type=float, default=[1, 2, 3], help="files: pixels of the blurs")
    parser.add_argument("--methods", nargs="+", default=["pigdm", "mmps", "jfps"], help="files: methods by hand")
    parser.add_argument(
        "--noises", nargs="+", type=float, default=[0.0023, 0.005, 0.01, 0.02, 0.05, 0.1], help="files: noises by hand"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    {"compare": compare, "classes": classes, "few": few, "files": files}[options.part](options)


if __name__ == "__main__":
    main()
