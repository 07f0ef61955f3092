"""One model, one sampler and the data that its samples are compared with: sampling, features and metrics.

A comparison of several samplers or models makes an evaluation of each. Each sample, and the features of the data, are
computed once.
"""

import dataclasses
import uuid
from collections.abc import Collection, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ancestral.base.device import check_memory
from ancestral.base.events import Event, track
from ancestral.base.registries import METRICS, CustomMetric, MetricName
from ancestral.config.request import Request
from ancestral.data.dataset import evenly_spaced
from ancestral.measure.item_conditions import ItemConditions
from ancestral.measure.measured_samples import MetricEvents, References, Samples
from ancestral.measure.sample_quality import MOST_RECONSTRUCTED, CaptionFeatures, reconstruction_quality
from ancestral.measure.sample_store import SampleStore, key_of, reproducible
from ancestral.metrics.extractors import Features
from ancestral.model import Guidance, Model
from ancestral.model.guided_model import check_guidance
from ancestral.results import sample_result as facts
from ancestral.samplers import Sampler


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of the samples of one model against reference data.

    Raises:
        InputError: If the model cannot be sampled so, or the samples or data are too few or too many.
    """

    model: Model
    name: str
    """Name in results: the path of its run."""
    request: Request
    """The samples, with the sampler among its objects. Its hash of the model is empty for a model in no file."""
    folder: Path
    """The folder of samples that are kept, which later evaluations find."""
    temporary: Path
    """The folder of samples that are not kept: those of custom code."""
    count: int
    references: References
    variant: str = ""
    """A part of the temporary folder: two custom samplers may have the same repr."""
    conditions: ItemConditions | None = None
    """The real items whose conditions samples are given; None of a model without conditions besides the label."""

    def __post_init__(self) -> None:
        check_guidance(self.model, Guidance(self.guidance), self.model.spec.conditions)
        self.references.check(self.count)
        check_memory(self.count, self.store.shape, self.store.dtype)

    @property
    def sampler(self) -> Sampler:
        """The sampler."""
        sampler: Sampler = self.request.objects.sampler
        return sampler

    @property
    def guidance(self) -> float:
        """The scale of guidance, one of all conditions."""
        assert not isinstance(self.request.guidance, dict)
        return self.request.guidance

    @property
    def store(self) -> SampleStore:
        """The samples on disk."""
        folder = self.folder if reproducible(self.model, self.sampler) else self.temporary / self.variant
        key, spec = key_of(self.request, self.conditions), self.model.spec
        return SampleStore(folder / key, spec.shape, spec.codec.dtype)

    def with_sampler(self, sampler: Sampler) -> "Evaluation":
        """Return the same evaluation of another sampler, with samples of its own."""
        return dataclasses.replace(self, request=self.request.replace(sampler=sampler), variant=uuid.uuid4().hex)

    @property
    def kept(self) -> bool:
        """Whether later evaluations find the samples: those of a model in a file, made by this package's code."""
        return bool(self.request.model) and reproducible(self.model, self.sampler)

    @property
    def identity(self) -> facts.MeasuredModel:
        """The model as results name it."""
        return facts.MeasuredModel(self.name, self.model.step, self.request.model or None, self.model.version)

    def settings(self, label: str | None = None) -> facts.SampleSettings:
        """Describe the making of the samples; `label` says in words what they were conditioned on."""
        steps, seed = len(self.sampler.times(self.model.denoiser.schedule)) - 1, self.request.seed
        folder = self.store.folder.name if self.kept else None
        return facts.SampleSettings(self.count, repr(self.sampler), seed, self.guidance, label, steps, folder)

    @property
    def passes(self) -> int:
        """The network evaluations of a sample; guidance takes two for each of the sampler's."""
        schedule = self.model.denoiser.schedule
        try:
            passes = self.sampler.nfe(schedule)
        except Exception:  # a custom sampler may need more than the items of one number that are counted with
            passes = len(self.sampler.times(schedule)) - 1
        return passes * (1 if self.guidance == 1 else 2)

    def sample(self, parts: Iterable[range]) -> Generator[float, None, None]:
        """Sample and keep these items; see `SampleStore.fill`."""
        return self.store.fill(self.model, self.request, parts, self.conditions)

    def samples(self, batch_size: int, task: str = "sampling") -> Generator[Event, None, Tensor]:
        """Return all samples (count, *shape), decoded. Those that are missing are sampled first."""
        while (items := self.store.read(self.count)) is None:  # again if a file turns out to be damaged
            missing = self.store.missing(self.count, batch_size)
            yield from track(self.sample(missing), task, sum(map(len, missing)), "samples", lambda share: share)
        return items

    def features(self, title: str, batch_size: int) -> Generator[Event, None, Features]:
        """Compute the features of the samples. Those samples that are missing are made first."""
        items = yield from self.samples(batch_size, f"sampling {title}")
        return (yield from self.references.features(title, items, batch_size, self.store.folder / "features"))

    def metrics(
        self,
        items: Tensor,
        batch_size: int,
        metrics: Collection[MetricName | CustomMetric] = METRICS,
        captions: CaptionFeatures | None = None,
    ) -> MetricEvents:
        """Measure the samples; see `References.measure`."""
        classes = len(self.model.spec.classes)
        if self.conditions is None:
            labels = self.model.labels(range(self.count), None)
            label_text = f"{classes} classes in turn" if classes else None
        else:
            labels = self.conditions.labels_of(range(self.count))
            names = ", ".join(self.model.spec.conditions)
            label_text = f"{names} of {len(self.conditions):,} training items"
        references, lost = self.references, None
        if self.model.spec.autoencoder is not None:
            real = references.train if references.held_out is None else references.held_out
            part = real.items[torch.tensor(evenly_spaced(min(MOST_RECONSTRUCTED, len(real.items)), len(real.items)))]
            lost, _ = yield from reconstruction_quality(self.model.spec, part, references.device, references.extractor)
        labels = None if labels is None else labels.cpu()
        settings, folder = self.settings(label_text), self.store.folder / "features"
        given, kinds = dict[str, Tensor](), self.model.spec.further
        if self.conditions is not None and not all(isinstance(metric, str) for metric in metrics):
            given = self.conditions.values_of(range(self.count))
        samples = Samples(items, labels, settings, self.identity, folder, lost, given, kinds, captions)
        return (yield from references.measure(samples, batch_size, metrics))
