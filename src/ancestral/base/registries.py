"""Tables of the parts that have a name: the only place where a name stands, with what is said of it.

The choices in the help, in error messages, in the check of a config and in the docs are read from them. Reading one
imports no part: `load` does.
"""

import contextlib
import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from ancestral.base.arguments import describe, fits, nearest, shown
from ancestral.base.errors import InputError, whole

TEXT_KINDS = ("words", "classes")
"""What a column of text may be read as, before a colon and its name: words:title, classes:title."""


@dataclass(frozen=True)
class Entry:
    """A part that a name stands for.

    Attributes:
        name: The name.
        place: Where the part is, as module:attribute of this package; or the part itself.
        text: What it is, in a few words.
        paper: Where it comes from.
        arguments: Arguments of a function or class in place of its defaults.
    """

    name: str
    place: str | Callable[..., Any]
    text: str
    paper: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Any:
        """Import the part."""
        if not isinstance(self.place, str):
            return self.place
        module, _, attribute = self.place.partition(":")
        return getattr(importlib.import_module(f"ancestral.{module}"), attribute)

    def make(self, *values: Any, **options: Any) -> Any:
        """Call the part with its arguments, and others."""
        return self.load()(*values, **{**self.arguments, **options})

    def defaults(self) -> dict[str, Any]:
        """The options of the part, with their defaults."""
        parameters = inspect.signature(self.load()).parameters.values()
        values = {one.name: self.arguments.get(one.name, one.default) for one in parameters}
        return {name: value for name, value in values.items() if value is not inspect.Parameter.empty}

    def check_options(self, kind: str, options: Mapping[str, Any]) -> None:
        """Raise InputError for an option that the part does not have, and a value that it cannot have."""
        part = self.load()
        defaults, hints = self.defaults(), typing.get_type_hints(part.__init__ if isinstance(part, type) else part)  # type: ignore[misc]
        for key, option in options.items():
            if key not in defaults:
                raise InputError(f"{kind} {self.name} has no option {key}; it has {', '.join(defaults)}")
            if not fits(option, hints[key]):
                raise InputError(
                    f"{key} of the {kind} {self.name} cannot be {shown(option)}: give {describe(hints[key])} (default: "
                    f"{defaults[key]})"
                )


E = TypeVar("E", bound=Entry)


class Registry(dict[str, E]):
    """Entries by their names.

    Args:
        kind: What they are, in the singular.
        entries: The entries, in the order in which they are listed.
    """

    def __init__(self, kind: str, *entries: E) -> None:
        super().__init__({entry.name: entry for entry in entries})
        self.kind = kind

    @property
    def names(self) -> str:
        """The names, as a text lists them."""
        return ", ".join(self)

    @property
    def described(self) -> str:
        """The names, each with what it is."""
        return ", ".join(f"{entry.name} ({entry.text})" for entry in self.values())

    @property
    def rows(self) -> str:
        """The table as Markdown."""
        lines = [f"| {self.kind} | | |", "|---|---|---|"]
        return "\n".join([*lines, *(f"| `{one.name}` | {one.text} | {one.paper} |" for one in self.values())])

    def find(self, name: object) -> E:
        """Return the entry of a name. Raises InputError, with the nearest name, if there is none."""
        if not isinstance(name, str) or name not in self:
            near = nearest(str(name), self)
            hint = f"did you mean {near}? There" if near else "there"
            raise InputError(f"unknown {self.kind} {shown(name)}; {hint} are {self.names}")
        return self[name]

    def read(self, text: str) -> tuple[E, dict[str, Any]]:
        """Read a name with options or without, as in "heun:steps=18,churn=10".

        Raises:
            InputError: For an unknown name, and an option that is given twice. The options themselves are not checked.
        """
        name, _, option_text = text.partition(":")
        entry = self.find(name)
        parts = (part.partition("=") for part in option_text.split(",") if part)
        pairs = [(key.strip(), _value(value.strip())) for key, _, value in parts]
        if len(dict(pairs)) < len(pairs):
            raise InputError(f"{option_text!r} gives an option of the {self.kind} {name} twice")
        return entry, dict(pairs)

    def load(self) -> dict[str, Any]:
        """Import all parts, by their names."""
        return {name: entry.load() for name, entry in self.items()}


def _value(text: str) -> object:
    """Parse None, a truth value, an integer or a number; other text stays text."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    words: dict[str, object] = {"none": None, "true": True, "false": False}
    return words.get(text.lower(), text)


SCHEDULES = Registry(
    "schedule",
    Entry("linear", "schedules:linear", "DDPM: β rises linearly", "Ho et al. (2020)"),
    Entry("cosine", "schedules:cosine", "Improved DDPM: less noise in the first half", "Nichol and Dhariwal (2021)"),
    Entry("sigmoid", "schedules:sigmoid", "ᾱ falls along a sigmoid", "Jabri et al. (2022)"),
    Entry("geometric", "schedules:geometric", "NCSN: noise levels in equal ratios", "Song and Ermon (2019)"),
    Entry("karras", "schedules:karras", "EDM's noise levels", "Karras et al. (2022)"),
    Entry("flow", "schedules:flow", "rectified flow: a straight line from data to noise", "Liu et al. (2022)"),
)
TARGETS = Registry(
    "target",
    Entry("eps", "targets:EPS", "the noise ε", "Ho et al. (2020)"),
    Entry("x0", "targets:X0", "the clean item x_0"),
    Entry("v", "targets:V", "the rotation v of noise and item", "Salimans and Ho (2022)"),
    Entry("score", "targets:SCORE", "the score", "Song and Ermon (2019)"),
    Entry("flow", "targets:FLOW", "the velocity of a flow", "Liu et al. (2022)"),
    Entry("edm", "targets:EDM", "EDM's F", "Karras et al. (2022)"),
    Entry("skip", "targets:SKIP", "a clean item to which x_t is added at low noise", "Song et al. (2023)"),
)
SAMPLERS = Registry(
    "sampler",
    Entry("ddpm", "samplers:DDPM", "the reverse process that was learned, all steps", "Ho et al. (2020)"),
    Entry("ddim", "samplers:DDIM", "deterministic, or with noise by eta", "Song et al. (2021)"),
    Entry("dpm", "samplers:DPMSolver", "DPM-Solver++ 2M", "Lu et al. (2022)", {"clip": 1.0}),
    Entry("dpm-sde", "samplers:DPMSolver", "SDE-DPM-Solver++ 2M", "Lu et al. (2022)", {"eta": 1.0, "clip": 1.0}),
    Entry("unipc", "samplers:UniPC", "DPM-Solver++ 2M with a corrector", "Zhao et al. (2023)", {"clip": 1.0}),
    Entry("heun", "samplers:Heun", "EDM's order 2, or with noise by churn", "Karras et al. (2022)", {"clip": 1.0}),
    Entry("euler", "samplers:Euler", "Euler's method on the probability flow", "Song et al. (2021)"),
    Entry("euler-ancestral", "samplers:Euler", "Euler's method with noise", "", {"ancestral": True}),
    Entry(
        "langevin",
        "samplers:Langevin",
        "annealed Langevin dynamics",
        "Song and Ermon (2019)",
        {"steps_per_level": 5, "steps": 100, "clip": 1.0},
    ),
    Entry("pc", "samplers:PredictorCorrector", "a step of DDPM, then one of Langevin", "Song et al. (2021)"),
    Entry("consistency", "samplers:Consistency", "of a distilled model: x̂_0 is a sample", "Song et al. (2023)"),
)
"""All clip, since data lies in [−1, 1]: without, x̂_0 of a network that predicts ε is divided by a_T, which ruins its
images."""
WEIGHTINGS = Registry(
    "weighting",
    Entry("simple", "objectives.weightings:x0_weights", "1 on the network's error", "Ho et al. (2020)"),
    Entry(
        "p2",
        "objectives.weightings:loss_weights",
        "(1 + a²/b²)^(−1/3) on the network's error: less where little noise is left",
        "Choi et al. (2022)",
    ),
    Entry("snr", "objectives.weightings:x0_weights", "a²/b²: 1 on the error of ε", "Ho et al. (2020)"),
    Entry("min-snr", "objectives.weightings:x0_weights", "at most 5", "Hang et al. (2023)"),
    Entry("variational", "objectives.weightings:x0_weights", "that of the bound", "Ho et al. (2020)"),
    Entry("edm", "objectives.weightings:x0_weights", "EDM's", "Karras et al. (2022)"),
    Entry("velocity", "objectives.weightings:x0_weights", "the error of a flow's velocity", "Li and He (2025)"),
)
TIMES = Registry(
    "times",
    Entry("uniform", "objectives.times:UniformTimes", "each alike", "Ho et al. (2020)"),
    Entry("stratified", "objectives.times:StratifiedTimes", "spread evenly, less noisy", "Kingma et al. (2021)"),
    Entry("lognormal", "objectives.times:LogNormalTimes", "EDM's log-normal noise levels", "Karras et al. (2022)"),
    Entry(
        "logitnormal",
        "objectives.times:LogNormalTimes",
        "JiT's logit-normal times of a flow",
        "Li and He (2025)",
        {"mean": 0.8, "std": 0.8},
    ),
    Entry(
        "importance", "objectives.times:ImportanceTimes", "in proportion to the losses", "Nichol and Dhariwal (2021)"
    ),
)
NETWORKS = Registry(
    "kind of network",
    Entry("unet", "nets.build:_unet", "a U-Net", "Ho et al. (2020)"),
    Entry("transformer", "nets.build:_transformer", "a transformer", "Li and He (2025)"),
    Entry("mlp", "nets.build:_mlp", "an MLP"),
)
EXTRACTORS = Registry(
    "extractor",
    Entry("lite0", "metrics.extractors:lite0", "EfficientNet-Lite0, small"),
    Entry("inception", "metrics.extractors:inception", "InceptionV3, whose distance is FID", "Heusel et al. (2017)"),
    Entry("dinov2", "metrics.extractors:dinov2", "DINOv2, ViT-L/14", "Stein et al. (2023)"),
    Entry("pixels", "metrics.extractors:pixels", "the items themselves, of any shape"),
)
Needs = Literal["features", "logits", "items", "sets"]
Better = Literal["lower", "higher", ""]


@dataclass(frozen=True)
class Metric(Entry):
    """A measure of samples.

    Attributes:
        needs: What its function takes. "features": those of two sets of items (n, d) and (m, d), for the `Estimate` of
            a distance, or several by name. "logits": those of one set (n, K), for an `Estimate`. "items": two sets
            (n, *shape) and (m, *shape) in the units of the data, for a number. "sets": `sample_quality.SampleSets`.
        title: Its title in tables; that of features is followed by the name of their extractor, as in KID-lite0.
        better: Which values are better; runs are compared by it unless it is "".
        form: How its values are written.
        parts: Which values are better of each of its numbers, by name, if it has several.
    """

    needs: Needs = "features"
    title: str = ""
    better: Better = ""
    form: Literal["number", "percent"] = "number"
    parts: Mapping[str, Better] = field(default_factory=dict)

    @property
    def numbers(self) -> Mapping[str, Better]:
        """Which values are better of each of its numbers, by the names that results have for them."""
        return self.parts or {self.name: self.better}


METRICS = Registry(
    "metric",
    Metric("frechet", "metrics.uncertainty:frechet", "the Fréchet distance of features", "Heusel et al. (2017)",
           title="FD", better="lower"),
    Metric("kernel", "metrics.uncertainty:kernel", "the kernel distance of features", "Bińkowski et al. (2018)",
           title="KID", better="lower"),
    Metric("precision_recall", "metrics.uncertainty:precision_recall", "with density and coverage",
           "Kynkäänniemi et al. (2019)",
           parts={"precision": "higher", "recall": "higher", "density": "", "coverage": ""}),
    Metric("inception_score", "metrics.uncertainty:inception_score", "of Inception's classes", "Salimans et al. (2016)",
           needs="logits", title="IS"),
    Metric("memorisation", "measure.set_metrics:measure_memorisation", "with copies", needs="sets"),
    Metric("class_accuracy", "measure.set_metrics:class_accuracy", "of a classifier of the data's features",
           needs="sets", title="class accuracy", better="higher", form="percent"),
    Metric("captions", "measure.set_metrics:captions", "whether samples obey their captions", "Xu et al. (2018)",
           needs="sets", title="R-precision", better="higher", form="percent"),
    Metric("colour", "measure.set_metrics:colour", "the drift of mean and deviation of the channels", needs="sets"),
    Metric("spectrum", "measure.set_metrics:spectrum", "the power of floats on a grid by octave of the wave length",
           needs="sets"),
)  # fmt: skip
"""Those of features come first, since all take the same distances. Tables have the order of this one."""


def needs_of(number: str) -> Needs | None:
    """Return what the metric of a number of a result needs; None of a function of the user."""
    return next((metric.needs for metric in METRICS.values() if number in metric.numbers), None)


@dataclass(frozen=True)
class Making(Entry):
    """A way to make a condition of the item.

    Attributes:
        condition: The name of the condition, unless the user gives one.
    """

    condition: str = ""


OPERATORS = Registry(
    "operator",
    Making("upscale", "derived:upscale", "a smaller item, by means of blocks: upscale:4", condition="low"),
    Making("grey", "derived:grey", "the grey of a colour image", condition="grey"),
    Making(
        "mask",
        "derived:mask",
        "what a mask leaves, with random boxes, brushes and halves, or with one kind: mask:box, mask:brush, mask:half, "
        "mask:left, mask:right, mask:top and mask:bottom, whose half is known",
        condition="known",
    ),
    Making(
        "crop", "derived:crop", "a random box of half of each side, or of another share: crop:0.4", condition="crop"
    ),
    Making("blur", "derived:blur", "Gaussian blur, with a standard deviation in pixels: blur:2", condition="blurred"),
    Making(
        "noise", "derived:noise", "Gaussian noise, with a standard deviation in [-1, 1]: noise:0.1", condition="noisy"
    ),
)


@dataclass(frozen=True)
class Restoration(Entry):
    """A method of restoration.

    Attributes:
        noisy: Whether it takes the noise of y.
        inverts: Whether it applies A⁺ to y, with its noise.
        linear: Whether A has to be linear in x.
        covariance: Whether it takes the covariance of the data.
        iterations: The default number of iterations with a network; None of a method without any.
        error: Whether the error of a network's x̂_0 counts as noise of y.
        clip: Whether x̂_0 is clipped after its moves where y has noise.
        repeats: Whether stretches of the times are gone through several times.
    """

    noisy: bool = True
    inverts: bool = False
    linear: bool = True
    covariance: bool = False
    iterations: int | None = None
    error: bool = False
    clip: bool = True
    repeats: bool = False

    def wrap(self, denoiser: Any, y: Any, operator: Any, **facts: Any) -> Any:
        """Return a denoiser whose samples fit y.

        Args:
            denoiser: The denoiser to wrap.
            y: The measurements (B, *).
            operator: A.
            facts: The noise, the covariance and the number of iterations, of which the method gets what it takes.
        """
        takes = {"noise": self.noisy, "covariance": self.covariance, "iterations": self.iterations is not None}
        return self.make(denoiser, y, operator, **{name: value for name, value in facts.items() if takes[name]})


RESTORATIONS = Registry(
    "method",
    Restoration("trained", "", "a condition that the model was trained with, if one says y", linear=False),
    Restoration("ddnm", "guidance.posterior:Posterior",
                "y put in the place of what is known of x̂_0, without its noise", "Wang et al. 2023", {"method": "ddnm"},
                inverts=True),
    Restoration("pigdm", "guidance.posterior:Posterior", "ΠGDM: a Gaussian step, with a gradient", "Song et al. 2023",
                {"method": "pigdm"}, covariance=True, iterations=20),
    # one iteration of MMPS is too few; more of it and of JFPS fit the network's error, whose estimates are clipped:
    # with 20 the energy score of JFPS is higher by 0.015 on emoji of 32x32, and no lower on digits
    Restoration("mmps", "guidance.posterior:Posterior", "a Gaussian step with the network's covariance, with gradients",
                "Rozet et al. 2024", {"method": "mmps"}, iterations=3),
    Restoration("jfps", "guidance.posterior:Posterior", "a Gaussian step with the covariance of the training data",
                "azula", {"method": "jfps"}, covariance=True, iterations=5, error=True),
    Restoration("replacement", "guidance.replacement:Replacement",
                "y with noise put in the place of what is known of x_t", "Song et al. 2021", inverts=True),
    Restoration("repaint", "guidance.replacement:Replacement",
                "replacement, going back to noisier times again and again", "Lugmayr et al. 2022",
                inverts=True, repeats=True),
    Restoration("dps", "guidance.dps:DPS", "a step against the gradient of the distance to y", "Chung et al. 2023",
                noisy=False, linear=False, clip=False),
)  # fmt: skip


OBJECTIVES = Registry(
    "objective",
    Entry("denoising", "objectives:build", "L_simple and its variants, by weighting and times", "Ho et al. (2020)"),
    Entry(
        "energy",
        "objectives:EnergyScore",
        "the energy score of some members, by which one evaluation is a sample",
        "Lang et al. (2024)",
        {"members": 4, "evaluations": 1, "noise": "grid"},
    ),
)
COUPLINGS = Registry(
    "coupling",
    Entry("independent", "objectives.objective:independent", "noise drawn for each item", "Ho et al. (2020)"),
    Entry("ot", "objectives.coupling:OptimalTransport", "optimal transport within a batch", "Tong et al. (2024)"),
)


def check_energy(members: object, evaluations: object) -> None:
    """Raise InputError for a number of members, or of evaluations, that no energy score has."""
    for name, value in (("members", members), ("evaluations", evaluations)):
        whole(value, 1, 1024, f"an energy score has 1 to 1024 {name}, not {shown(value)}")


@dataclass(frozen=True)
class Distillation(Entry):
    """A method of distillation.

    Attributes:
        stages: The number of stages by default.
        sampler: The sampler of its models.
        consistent: Whether x̂_0 of its models is a sample, and not the mean of all x_0 that fit x_t.
        settings: Settings of the training.
    """

    stages: int = 10
    sampler: str = "consistency"
    consistent: bool = True
    settings: Mapping[str, Any] = field(
        default_factory=lambda: {"optimiser": "adam", "lr": 5e-4, "ema": 0.995, "decay": "cosine"}
    )


DISTILLATIONS = Registry(
    "method of distillation",
    Distillation(
        "consistency",
        "objectives:ConsistencyTuning",
        "x̂_0 at every noise level is a sample; with the model as a teacher in later stages",
        "Song et al. (2023)",
    ),
    Distillation("tuning", "objectives:ConsistencyTuning", "the same without a teacher", "Geng et al. (2024)"),
    Distillation(
        "progressive",
        "objectives:ProgressiveDistillation",
        "each step learns two steps of a teacher, so the same noise gives the same sample",
        "Salimans and Ho (2022)",
        stages=6,
        sampler="ddim",
        consistent=False,
        # with a constant rate the last stage, which is the hardest, learns as fast as the first
        settings={"optimiser": "adam", "lr": 1e-3, "ema": 0.98, "decay": "none"},
    ),
    Distillation(
        "energy",
        "objectives:EnergyScore",
        "one evaluation answers a condition, by the energy score of members",
        "Lang et al. (2024)",
        stages=1,
        settings={},
    ),
)
DEFAULT_DISTILLATION = "consistency"

MaskPart = Literal["white", "black", "painted", "transparent", "grey"]
"""The part of a mask that changes; of "grey" each pixel in part."""

if TYPE_CHECKING:
    TargetName: TypeAlias = str
    TimesName: TypeAlias = str
    WeightingName: TypeAlias = str
    DistillationName: TypeAlias = str
    NetworkName: TypeAlias = str
    MetricName: TypeAlias = str
else:  # `arguments.fits` and the command line read the names; a checker of types cannot
    TargetName = Literal[(*TARGETS, "custom")]
    TimesName = Literal[tuple(TIMES)]
    WeightingName = Literal[tuple(WEIGHTINGS)]
    DistillationName = Literal[tuple(DISTILLATIONS)]
    NetworkName = Literal[tuple(NETWORKS)]
    MetricName = Literal[tuple(METRICS)]

CustomMetric = Callable[..., float]
"""A metric of the user: a number that compares items (n, *shape) with others (m, *shape), in the units of the data."""
