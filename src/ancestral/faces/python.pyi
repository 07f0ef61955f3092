"""Written by `python docs/hooks/stub.py` from the declarations; a test compares them."""

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from ancestral.base.registries import CustomMetric, MaskPart
from ancestral.config import ConditionSource, Config
from ancestral.config.sweep_values import SweptAxes
from ancestral.declarations import EditTask
from ancestral.diffusion import Diffusion
from ancestral.model import Label, Model, NetSource
from ancestral.objectives import Objective
from ancestral.operators import Operator
from ancestral.results import AveragingResult, ComparisonResult, EvaluationResult, SamplerComparisonResult
from ancestral.results.data_report import DataReport
from ancestral.results.run_result import CleaningResult, ModelInfo, RunFiles, RunList, TrainingResult
from ancestral.results.sampling_result import EditingResult, SamplingResult
from ancestral.samplers import Sampler
from ancestral.schedules import Schedule
from ancestral.targets import Denoiser, Target
from ancestral.training import Progress
from ancestral.training.trackers import Tracker

DistillationName = Literal["consistency", "tuning", "progressive", "energy"]
MetricName = Literal[
    "frechet",
    "kernel",
    "precision_recall",
    "inception_score",
    "memorisation",
    "class_accuracy",
    "captions",
    "colour",
    "spectrum",
]
NetworkName = Literal["unet", "transformer", "mlp"]

def inspect(
    source: Any,
    config: str | Config | None = None,
    *,
    net: NetworkName | None = None,
    steps: int = 5,
    threads: int | None = None,
    json: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    progress: bool = True,
    sampler: str = ...,
    preview_steps: int | None = ...,
    micro_batch: int | None = ...,
    checkpointing: bool | None = ...,
    workers: int | None = ...,
    shard: bool = ...,
    compile: bool | Literal["reduce-overhead", "max-autotune"] = ...,
    memory_format: Literal["auto", "channels-last", "contiguous"] = ...,
    keep: int = ...,
    keep_every: int = ...,
    snapshots: int | None = ...,
    log_every: int = ...,
    trackers: Tracker | Sequence[str | Tracker] | str | Sequence[str] = ...,
    until: Literal["steps", "plateau"] = ...,
    plateau_tolerance: float = ...,
    batch_size: int | None = ...,
    optimiser: Callable[[list[nn.Parameter]], Optimizer] | Literal["adam", "muon"] = ...,
    lr: float | None = ...,
    warmup: int = ...,
    decay: Literal["none", "cosine"] = ...,
    clip_norm: float = ...,
    ema: float = ...,
    label_dropout: float = ...,
    condition_dropout: float = ...,
    times: Literal["uniform", "stratified", "lognormal", "logitnormal", "importance"] = ...,
    continuous: bool = ...,
    weighting: Literal["simple", "p2", "snr", "min-snr", "variational", "edm", "velocity"] = ...,
    coupling: str = ...,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = ...,
    seed: int = ...,
    save_every: int = ...,
    sample_every: int = ...,
    measure_every: int | None = ...,
    schedule: Schedule | str = ...,
    timesteps: int = ...,
    target: Target | Literal["eps", "x0", "v", "score", "flow", "edm", "skip"] = ...,
    sigma_min: float | None = ...,
    sigma_max: float | None = ...,
    zero_terminal_snr: bool = ...,
    learned_variance: bool = ...,
    clip: bool = ...,
    latent: int | str | None = ...,
    latent_channels: int | None = ...,
    latent_width: int = ...,
    latent_steps: int = ...,
    width: int | None = ...,
    blocks: int | None = ...,
    depth: int = ...,
    heads: int = ...,
    patch: int | None = ...,
    bottleneck: int | None = ...,
    dropout: float = ...,
    mults: int | Sequence[int] | None = ...,
    attention: int | Sequence[int] | None = ...,
    groups: int | None = ...,
    narrow: bool | None = ...,
    image_size: int | str | tuple[int, int] | None = ...,
    fit: Literal["crop", "pad"] = ...,
    crop: float | str | int | Sequence[int] = ...,
    channels: int | None = ...,
    dims: Literal[1, 2, 3] | None = ...,
    layout: str | None = ...,
    variables: str | Sequence[str] | None = ...,
    items: str | None = ...,
    weights: str = ...,
    gaps: Literal["shared", "random"] | None = ...,
    periodic: str | bool | Sequence[bool] | None = ...,
    ranges: Literal["channel", "shared"] = ...,
    scale: str | None = ...,
    bits: Literal[8, 16] | None = ...,
    length: int | None = ...,
    rate: int | None = ...,
    flip: bool = ...,
    augment: float = ...,
    background: str = ...,
    class_labels: bool = ...,
    balance: bool = ...,
    leave_out_copies: bool = ...,
    given: ConditionSource | Sequence[ConditionSource] | None = ...,
    shuffle_tags: bool = ...,
    memory: float = ...,
    validation: Any | float | str | None = ...,
) -> DataReport:
    """Inspect a data set before training on it: damage, sizes, classes, duplicates, and what training costs.

        report = ancestral.inspect("photos/", image_size=64)
        print(report); report.findings; report.sheet.show()

    The exit code of the command is 0 if the data can be trained on, 1 if the report says why they cannot, and 2 if
    there is nothing to inspect.

    Further keywords are settings by name, in place of the config's; see `ancestral.config`.

    Args:
        source: Data that training may take, also from Python: a built-in data set (digits, fashion, cifar10,
            scenes, moons, swissroll, checkerboard), a folder or a file. `ancestral help data` lists them.
        config: Preset of the training run that is judged and measured; from Python also a config. Default: the
            preset of training for the source.
        net: Kind of network of the training run; default: the preset's.
        steps: Number of training steps that are measured for the time and memory of training; 0 leaves them out.
        threads: Number of threads that decode files; default: the number of cores, but at most 8.
        json: A .json file for the whole report, with all names. On the command line without a path, the report is
            printed as JSON in place of the tables.
        out: A .png for the contact sheet, or a folder for it; default: none, as a command runs/doctor.
        device: Device on which networks run: auto, cpu, cuda, cuda:N or mps.
        progress: Whether to show the progress.

    Returns:
        The report; str() of it is a page of text, and `sheet` its contact sheet as a Pillow image.

    Raises:
        InputError: If options are out of range, a file cannot be written, or no item can be read.
    """

def train(
    config: str | Config | None = None,
    data: Any = None,
    *,
    file: str | Path | None = None,
    initial: Model | str | Path | None = None,
    net: NetSource | None = None,
    objective: Callable[[Diffusion], Objective] | Objective | str | None = None,
    lr_schedule: Callable[[int], float] | str | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    verbose: bool = False,
    progress: bool = True,
    sampler: str = ...,
    preview_steps: int | None = ...,
    micro_batch: int | None = ...,
    checkpointing: bool | None = ...,
    workers: int | None = ...,
    threads: int | None = ...,
    shard: bool = ...,
    compile: bool | Literal["reduce-overhead", "max-autotune"] = ...,
    memory_format: Literal["auto", "channels-last", "contiguous"] = ...,
    keep: int = ...,
    keep_every: int = ...,
    snapshots: int | None = ...,
    log_every: int = ...,
    trackers: Tracker | Sequence[str | Tracker] | str | Sequence[str] = ...,
    steps: int = ...,
    until: Literal["steps", "plateau"] = ...,
    plateau_tolerance: float = ...,
    batch_size: int | None = ...,
    optimiser: Callable[[list[nn.Parameter]], Optimizer] | Literal["adam", "muon"] = ...,
    lr: float | None = ...,
    warmup: int = ...,
    decay: Literal["none", "cosine"] = ...,
    clip_norm: float = ...,
    ema: float = ...,
    label_dropout: float = ...,
    condition_dropout: float = ...,
    times: Literal["uniform", "stratified", "lognormal", "logitnormal", "importance"] = ...,
    continuous: bool = ...,
    weighting: Literal["simple", "p2", "snr", "min-snr", "variational", "edm", "velocity"] = ...,
    coupling: str = ...,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = ...,
    seed: int = ...,
    save_every: int = ...,
    sample_every: int = ...,
    measure_every: int | None = ...,
    schedule: Schedule | str = ...,
    timesteps: int = ...,
    target: Target | Literal["eps", "x0", "v", "score", "flow", "edm", "skip"] = ...,
    sigma_min: float | None = ...,
    sigma_max: float | None = ...,
    zero_terminal_snr: bool = ...,
    learned_variance: bool = ...,
    clip: bool = ...,
    latent: int | str | None = ...,
    latent_channels: int | None = ...,
    latent_width: int = ...,
    latent_steps: int = ...,
    width: int | None = ...,
    blocks: int | None = ...,
    depth: int = ...,
    heads: int = ...,
    patch: int | None = ...,
    bottleneck: int | None = ...,
    dropout: float = ...,
    mults: int | Sequence[int] | None = ...,
    attention: int | Sequence[int] | None = ...,
    groups: int | None = ...,
    narrow: bool | None = ...,
    image_size: int | str | tuple[int, int] | None = ...,
    fit: Literal["crop", "pad"] = ...,
    crop: float | str | int | Sequence[int] = ...,
    channels: int | None = ...,
    dims: Literal[1, 2, 3] | None = ...,
    layout: str | None = ...,
    variables: str | Sequence[str] | None = ...,
    items: str | None = ...,
    weights: str = ...,
    gaps: Literal["shared", "random"] | None = ...,
    periodic: str | bool | Sequence[bool] | None = ...,
    ranges: Literal["channel", "shared"] = ...,
    scale: str | None = ...,
    bits: Literal[8, 16] | None = ...,
    length: int | None = ...,
    rate: int | None = ...,
    flip: bool = ...,
    augment: float = ...,
    background: str = ...,
    class_labels: bool = ...,
    balance: bool = ...,
    leave_out_copies: bool = ...,
    given: ConditionSource | Sequence[ConditionSource] | None = ...,
    shuffle_tags: bool = ...,
    memory: float = ...,
    validation: Any | float | str | None = ...,
) -> TrainingResult[Model]:
    """Train a model in a run folder.

        run = ancestral.train("digits", out="runs/a", steps=200)
        run = ancestral.train("arrays", data=x, out="runs/b", net=my_module)
        run = ancestral.train("folder", data="photos/", out="runs/c", initial="runs/photos")

    A setting has the value of the first of these that gives it: an option; the run that is resumed, or network and
    process of the model that the run starts from; the file; the preset; the default.

    Further keywords are settings by name, in place of the config's; see `ancestral.config`.

    Args:
        config: Name of a preset (digits, scenes, fashion, cifar10, folder, arrays, latent, photos64, photos128,
            photos256, ddpm256, points, ncsn, ddpm, ddim, improved, edm, flow, ncsn-points, ddpm-points,
            ddim-points, improved-points, edm-points, flow-points); from Python also a config, or a .json file as of
            `file`. A name or path of data is read as `data`. Default: the preset for the data, or digits without
            data.
        data: Data to train on: a built-in data set (digits, fashion, cifar10, scenes, moons, swissroll,
            checkerboard), a folder or a file, here or in object storage (s3://bucket/name or gs://bucket/name).
            `ancestral help data` lists them. From Python also a tensor or array of items (N, C, *sides) or points
            (N, 2), alone or with labels as (items, labels); a list of paths of images, or of Pillow images; or a
            torch Dataset of items, alone or with labels. Default: the preset's.
        file: The config.json of a run, or a JSON file with some settings, which change the preset.
        initial: Run folder, model file or hf:// address of a model whose averaged weights the run starts from; from
            Python also the model. Network, schedule and target are those of the model; the data must be of its
            shape. New classes start a new label embedding. Default: random weights.
        net: Kind of network, or a function of (shape of an item, number of classes) that returns a custom one; from
            Python also a module, which is copied. Default: the preset's.
        objective: What training minimises: denoising (L_simple and its variants, by weighting and times), energy
            (the energy score of some members, by which one evaluation is a sample). energy may have options, as in
            energy:members=8,noise=vector; from Python also an `objectives.EnergyScore`. Or a function that makes an
            objective for the denoiser, whose own parameters (`Objective.trainable`) are trained too.
        lr_schedule: Function of the step 0, 1, ... that returns the factor of the learning rate, in place of
            `warmup` and `decay`.
        out: Run folder; default: runs/ and the preset, or the name of your data.
        device: Device on which networks run: auto, cpu, cuda, cuda:N or mps.
        resume: Resume the run in the folder, or start it if there is none.
        verbose: Print all notes before the first step: threads, snapshots, settings chosen by size.
        progress: Whether to show the progress.

    Returns:
        The result: its `model` samples, and str() of it is a table.

    Raises:
        InputError: If settings, data and parts do not fit, or training cannot go on.
        OSError: If the run folder cannot be written.
    """

def distil(
    run: Model | str | Path,
    data: Any = None,
    *,
    method: DistillationName | None = None,
    stages: int | None = None,
    evaluations: int | None = None,
    out: str | Path | None = None,
    net: NetSource | None = None,
    device: str = "auto",
    resume: bool = False,
    verbose: bool = False,
    progress: bool = True,
    sampler: str = ...,
    preview_steps: int | None = ...,
    micro_batch: int | None = ...,
    checkpointing: bool | None = ...,
    workers: int | None = ...,
    threads: int | None = ...,
    shard: bool = ...,
    compile: bool | Literal["reduce-overhead", "max-autotune"] = ...,
    memory_format: Literal["auto", "channels-last", "contiguous"] = ...,
    keep: int = ...,
    keep_every: int = ...,
    snapshots: int | None = ...,
    log_every: int = ...,
    trackers: Tracker | Sequence[str | Tracker] | str | Sequence[str] = ...,
    steps: int = ...,
    until: Literal["steps", "plateau"] = ...,
    plateau_tolerance: float = ...,
    batch_size: int | None = ...,
    optimiser: Callable[[list[nn.Parameter]], Optimizer] | Literal["adam", "muon"] = ...,
    lr: float | None = ...,
    warmup: int = ...,
    decay: Literal["none", "cosine"] = ...,
    clip_norm: float = ...,
    ema: float = ...,
    label_dropout: float = ...,
    condition_dropout: float = ...,
    times: Literal["uniform", "stratified", "lognormal", "logitnormal", "importance"] = ...,
    continuous: bool = ...,
    weighting: Literal["simple", "p2", "snr", "min-snr", "variational", "edm", "velocity"] = ...,
    coupling: str = ...,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = ...,
    seed: int = ...,
    save_every: int = ...,
    sample_every: int = ...,
    measure_every: int | None = ...,
    schedule: Schedule | str = ...,
    timesteps: int = ...,
    target: Target | Literal["eps", "x0", "v", "score", "flow", "edm", "skip"] = ...,
    sigma_min: float | None = ...,
    sigma_max: float | None = ...,
    zero_terminal_snr: bool = ...,
    learned_variance: bool = ...,
    clip: bool = ...,
    latent: int | str | None = ...,
    latent_channels: int | None = ...,
    latent_width: int = ...,
    latent_steps: int = ...,
    width: int | None = ...,
    blocks: int | None = ...,
    depth: int = ...,
    heads: int = ...,
    patch: int | None = ...,
    bottleneck: int | None = ...,
    dropout: float = ...,
    mults: int | Sequence[int] | None = ...,
    attention: int | Sequence[int] | None = ...,
    groups: int | None = ...,
    narrow: bool | None = ...,
    image_size: int | str | tuple[int, int] | None = ...,
    fit: Literal["crop", "pad"] = ...,
    crop: float | str | int | Sequence[int] = ...,
    channels: int | None = ...,
    dims: Literal[1, 2, 3] | None = ...,
    layout: str | None = ...,
    variables: str | Sequence[str] | None = ...,
    items: str | None = ...,
    weights: str = ...,
    gaps: Literal["shared", "random"] | None = ...,
    periodic: str | bool | Sequence[bool] | None = ...,
    ranges: Literal["channel", "shared"] = ...,
    scale: str | None = ...,
    bits: Literal[8, 16] | None = ...,
    length: int | None = ...,
    rate: int | None = ...,
    flip: bool = ...,
    augment: float = ...,
    background: str = ...,
    class_labels: bool = ...,
    balance: bool = ...,
    leave_out_copies: bool = ...,
    given: ConditionSource | Sequence[ConditionSource] | None = ...,
    shuffle_tags: bool = ...,
    memory: float = ...,
    validation: Any | float | str | None = ...,
) -> TrainingResult[Model]:
    """Distil a model into one that samples in one or two network evaluations, in a run folder of its own.

        fast = ancestral.distil("runs/digits", out="runs/fast").model
        fast.sample(64)
        ancestral.distil("runs/digits", out="runs/steps", method="progressive", evaluations=4)

    The result is a run like any other. Settings that are not given are those of the model and the method.

    Further keywords are settings by name, in place of the config's; see `ancestral.config`.

    Args:
        run: Run folder, model file or hf:// address of a model; from Python also the model.
        data: Data to train on, in any form that training takes; default: those of the model.
        method: consistency (x̂_0 at every noise level is a sample; with the model as a teacher in later stages),
            tuning (the same without a teacher), progressive (each step learns two steps of a teacher, so the same
            noise gives the same sample), energy (one evaluation answers a condition, by the energy score of
            members). Default: consistency, or the method of the run that is resumed.
        stages: Number of stages, each of which halves the step that is learned; default: the method's.
        evaluations: Number of network evaluations of the default sampler, and of the last stage of progressive;
            default: 2, and of the method energy 1.
        out: Run folder; default: runs/, the name of the model's run or repository, and the method.
        net: The custom network that the model was trained with, or the function that builds it.
        device: Device on which networks run: auto, cpu, cuda, cuda:N or mps.
        resume: Resume the run in the folder, or start it if there is none.
        verbose: Print all notes before the first step: threads, snapshots, settings chosen by size.
        progress: Whether to show the progress.

    Returns:
        The result: its `model` samples with two evaluations by default.

    Raises:
        InputError: If the model cannot be distilled, the data do not fit, or training cannot go on.
        OSError: If the run folder cannot be written.
    """

def sample(
    model: Model | str | Path,
    n: int | None = None,
    *,
    sampler: str | Sampler | None = None,
    steps: int | None = None,
    eta: float | None = None,
    variance: str | None = None,
    rollout: int | None = None,
    size: int | str | int | Sequence[int] | None = None,
    seamless: str | None = None,
    then: Model | str | Path | Sequence[Model | str | Path] | None = None,
    like: str | Path | None = None,
    branch: str | Path | None = None,
    at: int | None = None,
    gif: str | Path | bool = False,
    film: str | Path | bool = False,
    fps: int | None = None,
    scale: float | None = None,
    captions: bool | None = None,
    sweep: SweptAxes | None = None,
    by: SweptAxes | None = None,
    index: int | Sequence[int] | None = None,
    seed: int | None = None,
    label: Label = None,
    given: Mapping[str, Any] | None = None,
    guidance: float | Mapping[str, float] | None = None,
    avoid: Mapping[str, Any] | None = None,
    guidance_interval: float | Sequence[float] | None = None,
    guidance_rescale: float | None = None,
    weak: Model | str | Path | int | None = None,
    batch_size: int | None = None,
    out: str | Path | None = None,
    net: NetSource | None = None,
    threads: int | None = None,
    device: str = "auto",
    progress: bool = True,
) -> SamplingResult:
    """Sample images from a trained model, and write files.

    No file is overwritten: where one exists, the new one gets a number, as in seed0-2.png. Each PNG of a model that was
    loaded from a file holds in its metadata how it was made.

    Args:
        model: Run folder, its model.safetensors, or hf://user/repo; from Python also a model.
        n: Number of samples, with indices 0 to n-1 of the seed; default: one for each value of `given` if it has
            several, else 64.
        sampler: Sampler, a name of `registries.SAMPLERS`, with optional settings: heun:churn=10,spacing=logsnr.
            Default: the sampler of the run's config.
        steps: Number of sampling steps; default: 50 for ddim, all for ddpm, 20 for dpm and unipc, 18 for heun.
        eta: Noise of ddim and dpm: 0 is none, 1 that of ddpm; default: the value of the run's config, or 0 with
            `sampler`.
        variance: Variance of ddpm: large, small, analytic (best for the errors of the network, which are measured
            on training items), or learned, where the model has it; default: large.
        rollout: Number of states in time of each sample, of a model that was trained with --given previous:2 or the
            like: the first follows the states that `given` names, the later ones those before them. Default: none.
        size: Height x width of the samples, or one side of all, where they are larger than those that the model was
            trained on: tiles of its own size overlap by half. Structures larger than a tile are not coherent. From
            Python also (height, width). Default: the size of the model.
        seamless: Axes along which samples go around, so that copies of them join without a seam: x, y, z, names of
            axes of fields, or all. Default: those of the model.
        then: Model that continues from the samples of RUN, such as one trained with --given upscale:4; or several,
            in a row. Each gets the seed, and the label and the values of `given` that it knows. A sampler holds for
            all of them. A single scale of guidance holds for RUN; one by name holds for each model with this
            condition. Default: none.
        like: PNG that was sampled from this model, to make the same samples again; options that it holds are
            refused. A grid of the training run gives its noise and settings to the model as it is now.
        branch: PNG that was sampled from this model: its samples up to the state `at`, and from there on with the
            seed of the reverse noise, label, conditions, guidance and sampler that are given. Those that are not
            given, and the number of samples, are those of FILE.png; `index` chooses some of them. Images are given
            again, the same ones.
        at: Number of the state at which `branch` leaves FILE.png, from 0, which is x_T.
        gif: Also write an animation of the reverse process, x_t beside its estimate of x_0, as a .gif, .webp
            (smaller) or .mp4 (the smallest; needs ancestral[video]); without a path, a .gif in the folder samples.
        film: Also write a film strip of x_t above its estimate of x_0; without a path, in the folder samples.
        fps: Number of frames per second of the animation, whose second half is two to three times slower. Fewer
            frames make a smaller file; default: 8.
        scale: Width and height of the animation, as a share of its usual ones; default: 1.
        captions: Whether grids, animations and film strips name the class of each sample, and the last two t;
            default: yes. A single sample is drawn as a grid if this is set, else as its picture alone.
        sweep: Setting or condition with a column for each of its values, in a table of samples of one seed:
            FIRST:LAST:COUNT for evenly spaced numbers, or A,B,C. NAME is a condition, one number of it (pose.yaw),
            steps, eta, variance, seed, sampler, guidance, index, guidance_rescale or guidance.CONDITION. Each cell
            has one sample, or n.
        by: Setting or condition with a row for each of its values, as of `sweep`.
        index: Indices of the samples of the seed, one or several; default: the first n.
        seed: Seed of all noise; sample i of a seed is always the same. Default: 0.
        label: Class to sample, by name or number, or "none"; with several, sample i has label i mod their number.
            Default: all classes in turn, or none with `given`.
        given: Condition of the samples, by name: a class by name or number, numbers joined by commas, or the file
            of an image. A folder of images gives one sample for each; files of several folders are paired by their
            names. From Python a mapping of names to values, as of `Model.sample`. Given several times, sample i has
            value i mod their number. A condition that is not given is absent.
        guidance: Scale of guidance; above 1 strengthens the conditions. Name a condition to scale it alone, as in
            label=2 low=1 (a mapping in Python). Default: 1.
        avoid: Value of a condition that guidance leads away from (negative prompt), in place of its absence: a
            text, a class or numbers, as of `given`. It needs a scale of guidance above 1. Given several times,
            sample i has value i mod their number.
        guidance_interval: Noise levels b_t/a_t at which samples are guided: above LOW, and up to HIGH. Default:
            all.
        guidance_rescale: Share in which the standard deviation of the estimate is brought back to that without
            guidance; default: 0.
        weak: Weaker model of the same data, for autoguidance: guidance leads away from it, and needs no condition.
            A number is a step of RUN itself: the averaged weights of the nearest snapshot. Default: none.
        batch_size: Number of samples in a batch; default: 64, fewer for large items. It changes memory and time,
            not the samples.
        out: A .png for a grid, or of one sample for its picture, .gif, .webp or .mp4 for an animation, .npz for an
            array (images, signals, volumes or points) and labels, .nc, .zarr, .nii.gz, .tif for fields with units
            and coordinates, else a new folder for single PNGs, or .wav files if the model was trained on such;
            default: a .png in the folder samples of the run, or of the working folder for a model outside a run.
        net: The custom network that the model was trained with, or the function that builds it.
        threads: Number of CPU threads; default: one for each physical core.
        device: Device on which networks run: auto, cpu, cuda, cuda:N or mps.
        progress: Whether to show the progress.

    Returns:
        The files, and how the samples were made.

    Raises:
        InputError: If the model cannot be sampled so, the samples cannot be written so, or `like` was made by another
            model, before any work is done.
    """

def edit(
    model: Model | str | Path,
    task: EditTask,
    image: Any = None,
    other: Any = None,
    *,
    n: int | None = None,
    mask: Any = None,
    box: str | Sequence[int] | None = None,
    extend: str | Sequence[int] | None = None,
    changes: MaskPart | None = None,
    window: str | Sequence[int] | None = None,
    soften: float | None = None,
    operator: Operator | str | None = None,
    noise: float | None = None,
    strength: float | None = None,
    t: float | None = None,
    method: str | None = None,
    iterations: int | None = None,
    sampler: str | Sampler | None = None,
    steps: int | None = None,
    like: str | Path | None = None,
    gif: str | Path | bool = False,
    film: str | Path | bool = False,
    sweep: SweptAxes | None = None,
    by: SweptAxes | None = None,
    index: int | Sequence[int] | None = None,
    seed: int | None = None,
    label: Label = None,
    given: Mapping[str, Any] | None = None,
    guidance: float | Mapping[str, float] | None = None,
    avoid: Mapping[str, Any] | None = None,
    guidance_interval: float | Sequence[float] | None = None,
    guidance_rescale: float | None = None,
    weak: Model | str | Path | int | None = None,
    batch_size: int | None = None,
    out: str | Path | None = None,
    net: NetSource | None = None,
    threads: int | None = None,
    device: str = "auto",
    progress: bool = True,
) -> EditingResult:
    """Edit images with a trained model: sample a part anew, restore, vary, or walk between two.

        ancestral.edit("runs/faces", "inpaint", "photo.png", mask="mask.png")
        ancestral.edit("runs/faces", "restore", "small.png", operator="upscale:4", noise=0.05)
        ancestral.edit("runs/faces", "restore", "grainy.png", noise=0.2)
        ancestral.edit("runs/faces", "vary", "photo.png", strength=0.5)
        ancestral.edit("runs/faces", "interpolate", "one.png", "other.png")

    Files hold the samples, the map of their standard deviation, and an overview. An image of another size is edited in
    a window around the mask at the resolution of the model; what the mask leaves stays as it is, to the bit. Which
    method is taken, and why, is said. No file is overwritten, and each PNG holds in its metadata how it was made.

    Args:
        model: Run folder, its model.safetensors, or hf://user/repo; from Python also a model.
        task: Kind of edit: inpaint samples the masked part of an image anew; restore samples images that the given
            image may be a measurement of; vary samples similar images; interpolate walks from one image to another.
        image: Image, signal or volume: a file; from Python also a tensor, an array or a Pillow image. Each image of
            a folder is edited with the same options, into a folder of results. interpolate takes it as the first
            image; without images it walks between the classes or the conditions.
        other: Second image of interpolate. Default: none.
        n: Number of samples; default: 4, for interpolate 9.
        mask: Mask of inpaint, in which white changes: an image file of the proportions of the image, of any size,
            or a .npy file; from Python also a Pillow image, an array or a tensor. In a mask with transparent pixels
            the painted part changes; in a copy of the image with holes, the holes change. A folder of images takes
            one mask for all, or a folder of masks with the same names. Default: the transparent part of the image.
        box: Rectangle that inpaint changes, in place of a mask: the upper left corner, the width and the height, in
            pixels of the image.
        extend: Numbers of pixels that inpaint adds on each side of the image, in place of a mask: windows of the
            size of the model continue what is known, one after another.
        changes: Pixels of the mask that change: white, black, painted or transparent ones; with grey each pixel
            changes in part, by its lightness, or by its opacity in a mask with transparent pixels. Default: as
            described at `mask`, hard-edged.
        window: Part of the image that is edited at the resolution of the model: the upper left corner, the width
            and the height in pixels, in the proportions of the model; outside it the image stays to the bit.
            Default: the whole image; for inpaint a window around the mask.
        soften: Number of pixels of the image over which the samples pass into the image, inside the edge of the
            mask or of the window; pixels outside it stay to the bit. Default: 0.
        operator: Degradation that restore inverts: upscale, grey, mask, crop, blur, noise, as in upscale:4, several
            joined by +; or a custom function (package.module:function). `ancestral help operators` explains them.
            Default: noise alone.
        noise: Standard deviation of the noise of the image, in units of [-1, 1], of inpaint and restore. Default:
            0, with which samples agree with the image exactly; for a blur the noise of rounding.
        strength: Distance of vary from the image, from 0, the image, to 1, a new sample; default: 0.5.
        t: Time from which interpolate walks: a lower one stays nearer to the pixels of both images. Default: the
            last.
        method: Method of inpaint and restore, a name of `registries.RESTORATIONS`; default: auto, a condition that
            the model was trained with if it fits the measurement, else the best method for the operator and the
            noise.
        iterations: Number of iterations of the methods pigdm, mmps and jfps; default: that of the method.
        sampler: Sampler, a name of `registries.SAMPLERS`, with optional settings. Default: that of the task.
        steps: Number of sampling steps; default: 25, for a distilled model 4.
        like: PNG of an edit by this model, to make the same edit again. Options that it holds are refused; give the
            images and the mask again.
        gif: Also write an animation of interpolate; without a path, in the new folder.
        film: Also write a film strip of x_t above its estimate of x_0; without a path, in the new folder.
        sweep: Setting or condition with a column for each of its values, in a table of samples of one seed:
            FIRST:LAST:COUNT for evenly spaced numbers, or A,B,C. NAME is a condition, one number of it (pose.yaw),
            seed, sampler, guidance, index, guidance_rescale, steps, method, operator, noise, strength, t,
            iterations, soften or guidance.CONDITION. Each cell has one sample, or n.
        by: Setting or condition with a row for each of its values, as of `sweep`.
        index: Indices of the samples of the seed, one or several; default: the first n.
        seed: Seed of all noise; sample i of a seed is always the same. Default: 0.
        label: Class to sample, by name or number, or "none"; with several, sample i has label i mod their number.
            Default: none.
        given: Condition of the samples, by name: a class by name or number, numbers joined by commas, or the file
            of an image. A folder of images gives one sample for each; files of several folders are paired by their
            names. From Python a mapping of names to values, as of `Model.sample`. Given several times, sample i has
            value i mod their number. A condition that is not given is absent.
        guidance: Scale of guidance; above 1 strengthens the conditions. Name a condition to scale it alone, as in
            label=2 low=1 (a mapping in Python). Default: 1.
        avoid: Value of a condition that guidance leads away from (negative prompt), in place of its absence: a
            text, a class or numbers, as of `given`. It needs a scale of guidance above 1. Given several times,
            sample i has value i mod their number.
        guidance_interval: Noise levels b_t/a_t at which samples are guided: above LOW, and up to HIGH. Default:
            all.
        guidance_rescale: Share in which the standard deviation of the estimate is brought back to that without
            guidance; default: 0.
        weak: Weaker model of the same data, for autoguidance: guidance leads away from it, and needs no condition.
            A number is a step of RUN itself: the averaged weights of the nearest snapshot. Default: none.
        batch_size: Number of samples in a batch; default: 64, fewer for large items. It changes memory and time,
            not the samples.
        out: A .png for the edited image, or for an overview of several samples; .npz for arrays of the samples and
            their standard deviation, .nc, .zarr, .nii.gz, .tif for fields; else a new folder for all of these.
            Default: a folder in edits of the run, or of the working folder for a model outside a run.
        net: The custom network that the model was trained with, or the function that builds it.
        threads: Number of CPU threads; default: one for each physical core.
        device: Device on which networks run: auto, cpu, cuda, cuda:N or mps.
        progress: Whether to show the progress.

    Returns:
        The files, the method and the reason why it was taken, and the mean standard deviation of the samples.

    Raises:
        InputError: If the model cannot edit this, an option does not apply, or `like` was made otherwise, before any
            work is done.
    """

def evaluate(
    model: str | Path | Model | Denoiser,
    data: Any = None,
    *,
    conditions: int | None = None,
    members: int = 8,
    rollout: int | None = None,
    beside: str | Path | Model | Sequence[str | Path | Model] | None = None,
    likelihood: bool = False,
    n: int | None = None,
    split: Literal["train", "test", "held-out"] | None = None,
    passes: int | None = None,
    variance: Literal["large", "small", "learned", "analytic"] | None = None,
    clip: bool | None = None,
    decoder: Literal["exact", "tanh", "density"] | None = None,
    ode: bool = False,
    ode_steps: int | None = None,
    probes: int | None = None,
    net: NetSource | None = None,
    threads: int | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    held_out: Any = None,
    leave_out_copies: bool = False,
    extractor: str | nn.Module | Callable[[Tensor], Tensor] | None = None,
    batch_size: int | None = None,
    metrics: MetricName | CustomMetric | Sequence[MetricName | CustomMetric] | None = None,
    samples: int | bool | None = None,
    sampler: str | Sampler | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    seed: int = 0,
    given: str | Sequence[str] | None = None,
    trust: str | Sequence[str] | None = None,
    progress: bool = True,
) -> EvaluationResult:
    """Measure how good a model's samples are, its likelihood, or both.

        result = ancestral.evaluate("runs/a", samples=1000)
        result = ancestral.evaluate(run.model, data=x, likelihood=True)

    A model with conditions besides the label is measured on held-out items too: samples of the conditions of each item
    are compared with the item. All other samples are given the conditions of training items.

    Samples of a run are kept in its folder and made only once, so an evaluation that was stopped goes on; the results,
    their pictures, the model card and report.html are written there. For a model in memory nothing is written, unless
    `out` is given. Processes that a launcher started share the sampling.

    Args:
        model: Run folder, its model.safetensors, or hf://user/repo; from Python also a model, saved or not, or any
            denoiser with `schedule` and `predict`.
        conditions: Conditional models: number of held-out items, evenly chosen, whose conditions the samples get; 0
            measures none. Default: 48, or all if there are fewer, whenever samples are measured.
        members: Conditional models: number of samples for each of these items. With 19, or 39, there are intervals
            that cover exactly 90 %.
        rollout: Models that were trained with --given previous:2 or the like: number of states in time that samples
            roll out to from held-out states, for scores by lead time beside the state before and random training
            items. Default: none.
        beside: Conditional models: other runs of the same data and conditions, whose samples answer the same
            conditions, such as a regression network (`objective` energy:members=1) or a diffusion model of equal
            time; the skill says how much better the samples are.
        likelihood: Measure the likelihood: the variational bound in bits/dim over time, and the error of x̂_0 at
            each rate. Samples are then measured only if `samples` is given.
        n: Likelihood: number of items, spread evenly over the data; default: 64, or all if there are fewer.
        split: Likelihood: part of the data; default: held-out if that is given, else test if there is one, else the
            items that the run held out by `validation`.
        passes: Likelihood: number of network evaluations of each item, at random times; default: all T, exact and
            slower.
        variance: Likelihood: variance of the reverse steps; default: learned if the model has it, else large.
        clip: Likelihood: keep x̂_0 within [−1, 1], as sampling does; default: yes.
        decoder: Likelihood: last step. exact is the normal distribution's mass of a grey level, tanh the DDPM
            code's version of it, density a probability density. Default: exact for data of 8 or 16 bits, density
            for points and floats.
        ode: Also measure the likelihood of the probability-flow ODE, of images with uniform noise in their grey
            levels.
        ode_steps: Number of ODE steps, of two network evaluations each; default: 100, or T if that is less.
        probes: Number of random directions that estimate the ODE's divergence; 0 is exact. Default: exact up to 16
            dimensions, else 1.
        net: The custom network that the model was trained with, or the function that builds it.
        threads: Number of CPU threads; default: one for each physical core.
        out: Folder for the results and their pictures; default: evaluation in the run folder, whose README.md (the
            model card) and report.html are updated.
        device: Device on which networks run: auto, cpu, cuda, cuda:N or mps.
        held_out: Data of the same kind that no model was trained on, in any form that `data` has; default: the test
            split, or the items that the run held out by `validation`, if there are any.
        leave_out_copies: Leave out held-out items whose values equal those of a training item; default: they stay,
            and a note names them.
        extractor: Feature extractor: lite0 (EfficientNet-Lite0, small), inception (InceptionV3, whose distance is
            FID), dinov2 (DINOv2, ViT-L/14), pixels (the items themselves, of any shape), or a custom function as
            package.module:function; from Python also a module or function. Default: lite0 for images of 1 or 3
            channels that are no fields, else pixels.
        batch_size: Number of items at a time; default: 64, fewer for large items. It changes memory and time, not
            the results.
        metrics: Metrics of the samples; `ancestral help metrics` explains them; from Python also a function of
            (items, other items), both (N, *shape) in the units of the data, that returns a number, except in
            compare; default: all.
        samples: Number of samples; False measures none. Default: 2500, more than the features of each built-in
            extractor. Those that were made before are used again.
        data: Data that the model was trained on, in any form that training takes; default: the source of the
            (first) run.
        sampler: Sampler, a name with optional settings; from Python also a custom one. Default: the sampler of the
            run.
        steps: Number of sampling steps; default: the sampler's default.
        guidance: Classifier-free guidance: above 1 strengthens the label; default: 1.
        seed: Seed of sample i, and of the noise of item i of the data.
        given: New places of conditions that training found elsewhere, by name, as in sketch=PLACE: a folder, a .npy
            or .npz file, or a column. Default: the places of training.
        trust: Custom functions that may run to make the conditions of a model in a file; no file runs code by
            itself. Default: none.
        progress: Whether to show the progress.

    Returns:
        What was measured; str() of it is its tables.

    Raises:
        InputError: If the model or the data cannot be read or do not fit, or an option does not apply.
    """

def evaluate_samples(
    samples: Any,
    data: Any,
    *,
    n: int | None = None,
    image_size: int | str | tuple[int, int] | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    held_out: Any = None,
    leave_out_copies: bool = False,
    extractor: str | nn.Module | Callable[[Tensor], Tensor] | None = None,
    batch_size: int | None = None,
    metrics: MetricName | CustomMetric | Sequence[MetricName | CustomMetric] | None = None,
    progress: bool = True,
) -> EvaluationResult:
    """Measure how good samples are that are files or in memory, without a model.

    Args:
        samples: A folder of images, a .npy or .npz file; from Python items in any form that training takes. Labels
            are those that the samples were conditioned on, in the numbering of the data's classes or by their
            names.
        data: Data that the samples are compared with, in any form that training takes. Images are brought to the
            size and channels of the samples.
        n: Number of samples, spread evenly; default: all that fit into memory.
        image_size: Height x width to which samples of several sizes are cropped and resized; one number is a
            square.
        out: Folder for samples.json and memorisation.png; default: none is written.
        device: Device on which networks run: auto, cpu, cuda, cuda:N or mps.
        held_out: Data of the same kind that no model was trained on, in any form that `data` has; default: the test
            split, or the items that the run held out by `validation`, if there are any.
        leave_out_copies: Leave out held-out items whose values equal those of a training item; default: they stay,
            and a note names them.
        extractor: Feature extractor: lite0 (EfficientNet-Lite0, small), inception (InceptionV3, whose distance is
            FID), dinov2 (DINOv2, ViT-L/14), pixels (the items themselves, of any shape), or a custom function as
            package.module:function; from Python also a module or function. Default: lite0 for images of 1 or 3
            channels that are no fields, else pixels.
        batch_size: Number of items at a time; default: 64, fewer for large items. It changes memory and time, not
            the results.
        metrics: Metrics of the samples; `ancestral help metrics` explains them; from Python also a function of
            (items, other items), both (N, *shape) in the units of the data, that returns a number, except in
            compare; default: all.
        progress: Whether to show the progress.

    Returns:
        The metrics of the samples; str() of it is their tables.

    Raises:
        InputError: If the samples or the data cannot be read, or do not fit.
    """

def compare(
    runs: str | Path | Model | Sequence[str | Path | Model],
    data: Any = None,
    *,
    samplers: str | Sampler | Sequence[str | Sampler] | None = None,
    most: int | None = None,
    net: NetSource | None = None,
    threads: int | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    held_out: Any = None,
    leave_out_copies: bool = False,
    extractor: str | nn.Module | Callable[[Tensor], Tensor] | None = None,
    batch_size: int | None = None,
    metrics: MetricName | CustomMetric | Sequence[MetricName | CustomMetric] | None = None,
    samples: int | bool | None = None,
    sampler: str | Sampler | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    seed: int = 0,
    given: str | Sequence[str] | None = None,
    trust: str | Sequence[str] | None = None,
    progress: bool = True,
) -> ComparisonResult | SamplerComparisonResult:
    """Compare runs, measured alike on the same data; or the samplers of one run over their network evaluations.

        ancestral.compare(["runs/a", "runs/b"])
        ancestral.compare(["runs/a"], samplers="all")

    Args:
        runs: Run folders, their model.safetensors, or hf://user/repo; from Python also models. Two or more, or one
            with `samplers`.
        samplers: Compare these samplers of one run: the distance of their samples to the data over network
            evaluations (passes), and the fewest that come within 5 % of DDPM with all steps. A name with steps, as
            in heun:steps=5, is tried with these alone. From Python also custom samplers. Default: none, runs are
            compared.
        most: With `samplers`: largest number of passes, of DDPM too; default: 250, and all T steps for DDPM.
        net: The custom network that the model was trained with, or the function that builds it.
        threads: Number of CPU threads; default: one for each physical core.
        out: Folder for the results and their pictures; default: runs/compare, or for samplers evaluation in the run
            folder.
        device: Device on which networks run: auto, cpu, cuda, cuda:N or mps.
        held_out: Data of the same kind that no model was trained on, in any form that `data` has; default: the test
            split, or the items that the run held out by `validation`, if there are any.
        leave_out_copies: Leave out held-out items whose values equal those of a training item; default: they stay,
            and a note names them.
        extractor: Feature extractor: lite0 (EfficientNet-Lite0, small), inception (InceptionV3, whose distance is
            FID), dinov2 (DINOv2, ViT-L/14), pixels (the items themselves, of any shape), or a custom function as
            package.module:function; from Python also a module or function. Default: lite0 for images of 1 or 3
            channels that are no fields, else pixels.
        batch_size: Number of items at a time; default: 64, fewer for large items. It changes memory and time, not
            the results.
        metrics: Metrics of the samples; `ancestral help metrics` explains them; from Python also a function of
            (items, other items), both (N, *shape) in the units of the data, that returns a number, except in
            compare; default: all.
        samples: Number of samples; False measures none. Default: 2500, more than the features of each built-in
            extractor. Those that were made before are used again.
        data: Data that the model was trained on, in any form that training takes; default: the source of the
            (first) run.
        sampler: Sampler, a name with optional settings; from Python also a custom one. Default: the sampler of the
            run.
        steps: Number of sampling steps; default: the sampler's default.
        guidance: Classifier-free guidance: above 1 strengthens the label; default: 1.
        seed: Seed of sample i, and of the noise of item i of the data.
        given: New places of conditions that training found elsewhere, by name, as in sketch=PLACE: a folder, a .npy
            or .npz file, or a column. Default: the places of training.
        trust: Custom functions that may run to make the conditions of a model in a file; no file runs code by
            itself. Default: none.
        progress: Whether to show the progress.

    Returns:
        The comparison; str() of it is its table.

    Raises:
        InputError: If the runs cannot be read or are not alike, or an option does not apply.
    """

def average(
    run: str | Path,
    data: Any = None,
    *,
    lengths: float | Sequence[float] = (0.03, 0.04, 0.05, 0.07, 0.1, 0.14, 0.2),
    most: int | None = None,
    end: int | None = None,
    net: NetSource | None = None,
    threads: int | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    held_out: Any = None,
    leave_out_copies: bool = False,
    extractor: str | nn.Module | Callable[[Tensor], Tensor] | None = None,
    batch_size: int | None = None,
    samples: int | bool | None = None,
    sampler: str | Sampler | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    seed: int = 0,
    given: str | Sequence[str] | None = None,
    trust: str | Sequence[str] | None = None,
    progress: bool = True,
) -> AveragingResult:
    """Choose the length of the average of the weights after training, and write the best average as a model.

        result = ancestral.average("runs/a", lengths=[0.03, 0.05, 0.1])
        model = ancestral.load("runs/a/average")

    The averages are made of the snapshots that training kept. All are sampled with the same noise, so that their
    differences have small errors. The best one becomes a model in the folder `average` of the run, for all that takes a
    run; the model of the run stays as it is.

    Args:
        run: Run folder with snapshots of averages, which training keeps.
        lengths: Lengths of the averages: standard deviations of their profiles as shares of the steps, 0.005 to
            1/√12 (0.2886), the mean of all steps.
        most: Largest number of network evaluations of a sample: a sampler that takes more gets fewer steps.
            Default: no limit.
        end: Last step of the averages, or the last snapshot before it; default: the last snapshot.
        net: The custom network that the model was trained with, or the function that builds it.
        threads: Number of CPU threads; default: one for each physical core.
        out: Folder for the best average, the results and the samples; default: average in the run folder.
        device: Device on which networks run: auto, cpu, cuda, cuda:N or mps.
        held_out: Data of the same kind that no model was trained on, in any form that `data` has; default: the test
            split, or the items that the run held out by `validation`, if there are any.
        leave_out_copies: Leave out held-out items whose values equal those of a training item; default: they stay,
            and a note names them.
        extractor: Feature extractor: lite0 (EfficientNet-Lite0, small), inception (InceptionV3, whose distance is
            FID), dinov2 (DINOv2, ViT-L/14), pixels (the items themselves, of any shape), or a custom function as
            package.module:function; from Python also a module or function. Default: lite0 for images of 1 or 3
            channels that are no fields, else pixels.
        batch_size: Number of items at a time; default: 64, fewer for large items. It changes memory and time, not
            the results.
        samples: Number of samples; False measures none. Default: 2500, more than the features of each built-in
            extractor. Those that were made before are used again.
        data: Data that the model was trained on, in any form that training takes; default: the source of the
            (first) run.
        sampler: Sampler, a name with optional settings; from Python also a custom one. Default: the sampler of the
            run.
        steps: Number of sampling steps; default: the sampler's default.
        guidance: Classifier-free guidance: above 1 strengthens the label; default: 1.
        seed: Seed of sample i, and of the noise of item i of the data.
        given: New places of conditions that training found elsewhere, by name, as in sketch=PLACE: a folder, a .npy
            or .npz file, or a column. Default: the places of training.
        trust: Custom functions that may run to make the conditions of a model in a file; no file runs code by
            itself. Default: none.
        progress: Whether to show the progress.

    Returns:
        The distances by length, and the best length; str() of it is its table.

    Raises:
        InputError: If the run has no snapshots, or an option does not apply.
        OSError: If the folder cannot be written.
    """

def runs(
    folder: str | Path = "runs",
    *,
    clean: bool = False,
    yes: bool = False,
    progress: bool = True,
) -> RunList | CleaningResult:
    """List the runs of a folder, or remove what finished runs no longer need.

    Args:
        folder: Folder that holds run folders, or one run folder.
        clean: Show what finished runs no longer need: all checkpoints but the newest, snapshots, and temporary
            files that a killed process left, in any run. Nothing is removed without `yes`. The newest checkpoint
            stays, from which more steps go on, and those of `keep_every`; without snapshots, no other averages can
            be made.
        yes: Remove what `clean` shows.
        progress: Whether to show the progress.

    Returns:
        The runs, the one that changed last first; or with `clean` the files and folders, with their sizes.

    Raises:
        InputError: If there is no such folder.
        OSError: If something cannot be removed.
    """

def info(
    run: str | Path,
    *,
    verify: bool = False,
    net: NetSource | None = None,
    progress: bool = True,
) -> ModelInfo | RunFiles:
    """Show what a run or a model file holds, or check its files.

    Args:
        run: Run folder, its model.safetensors, or hf://user/repo.
        verify: Check instead that each file of the run has the content that was written (SHA-256), and belongs to
            this run. Files that no run writes are listed. The exit code is 1 if a file is damaged or of another
            run.
        net: The custom network that the model was trained with, or the function that builds it.
        progress: Whether to show the progress.

    Returns:
        The facts; with `verify` the files, each with its state. str() of it is a table.

    Raises:
        InputError: If there is no model.
    """

def export(
    run: str | Path,
    *,
    to: Literal["diffusers", "onnx", "pt2", "html", "space"] | None = None,
    label: int | str | None = None,
    out: str | Path | None = None,
    net: NetSource | None = None,
    progress: bool = True,
) -> Path:
    """Write a model for other programs: a folder for `DDPMPipeline.from_pretrained`, an ONNX file, a file for PyTorch
    alone, or a page that samples it in a browser.

    Args:
        run: Run folder, its model.safetensors, or hf://user/repo.
        to: diffusers: a folder for DDPMPipeline.from_pretrained; onnx: a file with the network and all that
            sampling needs; pt2: the same for PyTorch alone; html: a page that samples the model in any browser,
            offline; space: the folder of a static Hugging Face Space with that page. Default: the format of `out`,
            or diffusers if it can hold the model, else onnx, or pt2 where the packages of onnx are missing.
        label: Class that is built into the folder for diffusers, which takes no classes: a name or a number, or
            "none".
        out: A new folder, or for onnx, pt2 and html a new file that ends so; default: diffusers or space in the run
            folder, or model.onnx, model.pt2 or page.html, which is replaced.
        net: The custom network that the model was trained with, or the function that builds it.
        progress: Whether to show the progress.

    Returns:
        The path.

    Raises:
        InputError: If the format cannot hold the model, or the path cannot be written.
    """

def import_pipeline(
    folder: str | Path,
    *,
    out: str | Path | None = None,
    progress: bool = True,
) -> Path:
    """Make a run folder of a DDPMPipeline or DDIMPipeline that diffusers saved: an unconditional UNet2DModel with its
    scheduler.

    Args:
        folder: Folder that diffusers saved, with its weights as safetensors.
        out: New run folder; default: runs/ and the name of the folder.
        progress: Whether to show the progress.

    Returns:
        The run folder.

    Raises:
        InputError: If the pipeline cannot be imported, or the run folder is not empty.
    """

def studio(
    places: str | Path | Sequence[str | Path] | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    open: bool = True,
    token: bool = True,
    out: str | Path | None = None,
    progress: bool = True,
) -> None:
    """Work with your models in a browser: look at data, train, sample, edit and compare, and keep what was made.

    A server on this machine shows the pages and runs the other commands. No request leaves the machine, and only files
    in the folders that are named here can be read. A training runs in a process of its own, which goes on without the
    studio. Ctrl-C ends the studio.

    Args:
        places: Run folders, folders of runs and folders of data; nothing outside them can be read. Default: the
            working folder with its runs.
        host: Address of this machine at which the studio can be reached. Any but 127.0.0.1 opens it to other
            machines.
        port: Port of the address; 0 takes any that is free.
        open: Whether to open the page in the browser.
        token: Whether visitors need the secret token of the address that is printed; the browser then keeps it in a
            cookie. Without it every user of this machine, and with `host` everyone who reaches it, can use the
            studio with your rights.
        out: Folder for all that is made in the studio; default: runs/studio.
        progress: Whether to show the progress.

    Returns:
        Nothing, when the studio has ended.

    Raises:
        InputError: If the package of the studio is missing, a folder does not exist, another studio keeps what it
            makes in the same folder, or the address is taken.
        OSError: If the folder of the history cannot be written.
    """

def push(
    model: Model | str | Path,
    address: str,
    *,
    private: bool = False,
    net: NetSource | None = None,
    progress: bool = True,
) -> str:
    """Upload a model to the Hugging Face Hub, with a model card.

    The card is the README.md of the run folder of the model, with the user's own text and the evaluations of this
    model, or a new one.

    Args:
        model: Run folder or model file; from Python also a model.
        address: hf://user/repo, hf://user/repo@revision or hf://user/repo/folder; a repository that does not exist
            is created.
        private: Whether a new repository is private.
        net: The custom network that the model was trained with, or the function that builds it.
        progress: Whether to show the progress.

    Returns:
        The URL of the repository.

    Raises:
        InputError: If the address is not valid, or the Hub refuses or cannot be reached.
    """

def train_steps(
    config: str | Config | None = None,
    data: Any = None,
    *,
    file: str | Path | None = None,
    initial: Model | str | Path | None = None,
    net: NetSource | None = None,
    objective: Callable[[Diffusion], Objective] | Objective | str | None = None,
    lr_schedule: Callable[[int], float] | str | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    verbose: bool = False,
    sampler: str = ...,
    preview_steps: int | None = ...,
    micro_batch: int | None = ...,
    checkpointing: bool | None = ...,
    workers: int | None = ...,
    threads: int | None = ...,
    shard: bool = ...,
    compile: bool | Literal["reduce-overhead", "max-autotune"] = ...,
    memory_format: Literal["auto", "channels-last", "contiguous"] = ...,
    keep: int = ...,
    keep_every: int = ...,
    snapshots: int | None = ...,
    log_every: int = ...,
    trackers: Tracker | Sequence[str | Tracker] | str | Sequence[str] = ...,
    steps: int = ...,
    until: Literal["steps", "plateau"] = ...,
    plateau_tolerance: float = ...,
    batch_size: int | None = ...,
    optimiser: Callable[[list[nn.Parameter]], Optimizer] | Literal["adam", "muon"] = ...,
    lr: float | None = ...,
    warmup: int = ...,
    decay: Literal["none", "cosine"] = ...,
    clip_norm: float = ...,
    ema: float = ...,
    label_dropout: float = ...,
    condition_dropout: float = ...,
    times: Literal["uniform", "stratified", "lognormal", "logitnormal", "importance"] = ...,
    continuous: bool = ...,
    weighting: Literal["simple", "p2", "snr", "min-snr", "variational", "edm", "velocity"] = ...,
    coupling: str = ...,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = ...,
    seed: int = ...,
    save_every: int = ...,
    sample_every: int = ...,
    measure_every: int | None = ...,
    schedule: Schedule | str = ...,
    timesteps: int = ...,
    target: Target | Literal["eps", "x0", "v", "score", "flow", "edm", "skip"] = ...,
    sigma_min: float | None = ...,
    sigma_max: float | None = ...,
    zero_terminal_snr: bool = ...,
    learned_variance: bool = ...,
    clip: bool = ...,
    latent: int | str | None = ...,
    latent_channels: int | None = ...,
    latent_width: int = ...,
    latent_steps: int = ...,
    width: int | None = ...,
    blocks: int | None = ...,
    depth: int = ...,
    heads: int = ...,
    patch: int | None = ...,
    bottleneck: int | None = ...,
    dropout: float = ...,
    mults: int | Sequence[int] | None = ...,
    attention: int | Sequence[int] | None = ...,
    groups: int | None = ...,
    narrow: bool | None = ...,
    image_size: int | str | tuple[int, int] | None = ...,
    fit: Literal["crop", "pad"] = ...,
    crop: float | str | int | Sequence[int] = ...,
    channels: int | None = ...,
    dims: Literal[1, 2, 3] | None = ...,
    layout: str | None = ...,
    variables: str | Sequence[str] | None = ...,
    items: str | None = ...,
    weights: str = ...,
    gaps: Literal["shared", "random"] | None = ...,
    periodic: str | bool | Sequence[bool] | None = ...,
    ranges: Literal["channel", "shared"] = ...,
    scale: str | None = ...,
    bits: Literal[8, 16] | None = ...,
    length: int | None = ...,
    rate: int | None = ...,
    flip: bool = ...,
    augment: float = ...,
    background: str = ...,
    class_labels: bool = ...,
    balance: bool = ...,
    leave_out_copies: bool = ...,
    given: ConditionSource | Sequence[ConditionSource] | None = ...,
    shuffle_tags: bool = ...,
    memory: float = ...,
    validation: Any | float | str | None = ...,
) -> Generator[Progress, None, TrainingResult[Model]]:
    """Train as `train` does, and yield the progress."""
