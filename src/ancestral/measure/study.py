"""One model, one sampler and the data that its samples are compared with: sampling, features and metrics.

Comparisons of several samplers or models make a study of each: features of data are computed once, and so is a sample.
"""

import dataclasses
import platform
import uuid
from collections.abc import Callable, Collection, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ancestral import __version__
from ancestral.data import Codec, Dataset, DataSpec
from ancestral.data.statistics import evenly_spaced
from ancestral.device import check_memory
from ancestral.errors import InputError
from ancestral.events import Event, Work, track
from ancestral.measure.item_conditions import ItemConditions
from ancestral.measure.reconstruction_quality import MOST_ITEMS, reconstruction_quality
from ancestral.measure.reference import ReferenceSet, copies_among, copies_note
from ancestral.measure.sample_quality import measure
from ancestral.measure.sample_sets import FeatureSet, NearestPairs, SampleSets
from ancestral.measure.sample_store import SampleStore, SamplingSpec, reproducible
from ancestral.metrics import extractors
from ancestral.metrics.extractors import Extractor, Features, concatenate
from ancestral.model import Guidance, Model
from ancestral.quantities import are
from ancestral.registries import METRICS, MetricName, OwnMetric
from ancestral.results import sample_result as facts
from ancestral.samplers import Sampler

FEWEST = 6
"""Items of a set that have the 5 neighbours of precision and recall."""
Measurement = Generator[Event, None, tuple[facts.SampleMetrics, list[NearestPairs]]]
"""A measurement, which returns the metrics and the samples nearest to training items."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples that are measured, and what results say of them."""

    items: Tensor
    """The samples (N, *shape), decoded."""
    labels: Tensor | None
    """The classes int64 (N,) that they were conditioned on."""
    settings: facts.SampleSettings
    model: facts.MeasuredModel | None = None
    folder: Path | None = None
    """Where their features are kept."""
    reconstructions: facts.ReconstructionQuality | None = None


@dataclass(frozen=True)
class References:
    """The data that samples are compared with, and the features by which."""

    codec: Codec
    extractor: Extractor
    device: torch.device
    train: ReferenceSet
    held_out: ReferenceSet | None
    notes: tuple[str, ...] = ()
    mirrored: bool = False
    """Whether the model was trained on mirrored items too, so that copies of those count."""

    @staticmethod
    def of(
        spec: DataSpec,
        train: Dataset,
        held_out: Dataset | None,
        extractor: str | Callable[[Tensor], Tensor] | None = None,
        held_out_split: str = "test split",
        device: torch.device | str = "cpu",
        mirrored: bool = False,
    ) -> "References":
        """Take as many items of the data as distances can be measured on.

        Args:
            spec: The samples' shape, codec and classes.
            train: What the model was trained on.
            held_out: What it was not trained on, if there is any.
            extractor: As `metrics.extractors.extractor` takes it; None is `metrics.extractors.default_name`.
            held_out_split: What this part of the data is called.
            device: Where the extractor runs.
            mirrored: Whether the model was trained on mirrored items too.
        """
        name = extractor or extractors.default_name(spec.shape)
        device = torch.device(device)
        feature_extractor = extractors.extractor(name, spec.shape, spec.codec, device)
        train_set = ReferenceSet.from_data(train, spec, "train split")
        held_out_set = None if held_out is None else ReferenceSet.from_data(held_out, spec, held_out_split)
        parts = [part for part in (train, held_out) if part is not None]
        skipped = (f"{len(part.skipped)} of {part.name}" for part in parts if part.skipped)
        notes = [f"Files that could not be read were left out: {one}." for one in dict.fromkeys(skipped)]
        remarks = dict.fromkeys(text for part in parts for text, _ in part.notes)
        notes += [f"{text[0].upper()}{text[1:]}." for text in remarks]
        notes += [note for part in (train_set, held_out_set) if part is not None for note in part.notes]
        if spec.classes and train.labels is not None and train_set.labels is None:
            notes.append(f"{train.name} has classes other than the samples', so class accuracy is not measured.")
        return References(spec.codec, feature_extractor, device, train_set, held_out_set, tuple(notes), mirrored)

    def checked_for_copies(self, leave_out: bool) -> "References":
        """Name the held-out items that have equal values as training items in a note, or leave them out.

        Args:
            leave_out: Whether they are left out.
        """
        if self.held_out is None:
            return self
        copies, text = copies_among(self.held_out.part, self.train.searched)
        if not bool(copies.any()):
            return self
        held_out = self.held_out.without(copies) if leave_out else self.held_out
        return dataclasses.replace(self, held_out=held_out, notes=(*self.notes, copies_note(text, leave_out)))

    def check(self, count: int) -> None:
        """Raise InputError if this number of samples, or the data, is too small to measure."""
        least = FEWEST if self.held_out is not None else 2 * FEWEST  # a half of it stands in
        unseen = FEWEST if self.held_out is None else len(self.held_out.items)
        for name, number, fewest in (("sample", count, FEWEST), ("training item", len(self.train.items), least),
                                     ("held-out item", unseen, FEWEST)):  # fmt: skip
            if number < fewest:
                raise InputError(f"{are(number, name)} too few to measure: give at least {fewest}")

    def item_sets(self, samples: Tensor, folder: Path | None) -> list[tuple[str, Tensor, Path | None]]:
        """List all items whose features are needed, and where these are kept: of data in the user's cache."""
        sets = [("samples", samples, folder), ("training data", self.train.items, None)]
        return sets if self.held_out is None else [*sets, ("held-out data", self.held_out.items, None)]

    def features(
        self, name: str, items: Tensor, batch_size: int, folder: Path | None = None
    ) -> Generator[Work, None, Features]:
        """Compute the features of items (N, *shape), or read them from the cache."""
        batches: list[Features] = []
        for batch in extractors.features(self.extractor, items, batch_size, folder):
            batches.append(batch)
            yield Work(f"features of {name}", sum(len(part.values) for part in batches), len(items), "items")
        return concatenate(batches)

    def measure(
        self, samples: Samples, batch_size: int, metrics: Collection[MetricName | OwnMetric] = METRICS
    ) -> Measurement:
        """Measure samples."""
        labels_of = [samples.labels, self.train.labels, None if self.held_out is None else self.held_out.labels]
        parts: list[FeatureSet] = []
        for name, items, where in self.item_sets(samples.items, samples.folder):
            features = yield from self.features(name, items, batch_size, where)
            parts.append(FeatureSet(items, features, labels_of[len(parts)]))
        held_out = parts[2] if len(parts) > 2 else None
        searched = self.train.searched.items
        sets = SampleSets(parts[0], parts[1], held_out, self.codec, self.extractor, searched, self.mirrored)
        quality, pairs = yield from measure(sets, metrics)
        measured = facts.SampleMetrics(
            **vars(quality),
            model=samples.model,
            samples=samples.settings,
            data=self.names(),
            extractor=facts.ExtractorName(self.extractor.name, self.extractor.width),
            reconstructions=samples.reconstructions,
            versions=self.versions,
        )
        return measured, pairs

    @property
    def versions(self) -> dict[str, str]:
        """The versions by which samples are measured, and the type of the device."""
        versions = {"ancestral": __version__, "torch": torch.__version__, "python": platform.python_version()}
        return {**versions, "device": self.device.type}

    def names(self) -> facts.ReferenceNames:
        """Describe the data."""
        return facts.ReferenceNames(str(self.train), None if self.held_out is None else str(self.held_out), self.notes)


@dataclass(frozen=True)
class Study:
    """A model's samples and what they are compared with.

    Raises:
        InputError: If the model cannot be sampled so, or the samples or data are too few or too many.
    """

    model: Model
    name: str
    """Name in results: the path of its run."""
    sampler: Sampler
    spec: SamplingSpec
    """All that decides the samples. Its hash of the model is empty for a model that is in no file."""
    folder: Path
    """The folder of samples that are kept, which later evaluations find."""
    temporary: Path
    """The folder of samples that are not kept: those of code of your own."""
    count: int
    references: References
    variant: str = ""
    """A part of the temporary folder: two samplers of your own may have the same repr."""
    conditions: ItemConditions | None = None
    """The real items whose conditions samples are given; None of a model without conditions besides the label."""

    def __post_init__(self) -> None:
        self.model.guided(Guidance(self.spec.guidance), self.model.spec.conditions)
        self.references.check(self.count)
        check_memory(self.count, self.store.shape, self.store.dtype)

    @property
    def store(self) -> SampleStore:
        """The samples on disk."""
        folder = self.folder if reproducible(self.model, self.sampler) else self.temporary / self.variant
        return SampleStore(folder / self.spec.key, self.model.spec.shape, self.model.spec.codec.dtype)

    def with_sampler(self, sampler: Sampler) -> "Study":
        """Return the same study of another sampler, with samples of its own."""
        spec = dataclasses.replace(self.spec, sampler=repr(sampler))
        return dataclasses.replace(self, sampler=sampler, spec=spec, variant=uuid.uuid4().hex)

    @property
    def kept(self) -> bool:
        """Whether later evaluations find the samples: those of a model in a file, made by this package's code."""
        return bool(self.spec.model) and reproducible(self.model, self.sampler)

    @property
    def identity(self) -> facts.MeasuredModel:
        """The model as results name it."""
        return facts.MeasuredModel(self.name, self.model.step, self.spec.model or None, self.model.version)

    def settings(self, label: str | None = None) -> facts.SampleSettings:
        """Describe the making of the samples; `label` says in words what they were conditioned on."""
        spec, steps = self.spec, len(self.sampler.times(self.model.denoiser.schedule)) - 1
        folder = self.store.folder.name if self.kept else None
        return facts.SampleSettings(self.count, spec.sampler, spec.seed, spec.guidance, label, steps, folder)

    @property
    def passes(self) -> int:
        """The network evaluations of a sample; guidance takes two for each of the sampler's."""
        schedule = self.model.denoiser.schedule
        try:
            passes = self.sampler.nfe(schedule)
        except Exception:  # a sampler of one's own may need more than the items of one number that are counted with
            passes = len(self.sampler.times(schedule)) - 1
        return passes * (1 if self.spec.guidance == 1 else 2)

    def sample(self, parts: Iterable[range]) -> Generator[float, None, None]:
        """Sample and keep these items; see `SampleStore.fill`."""
        conditions = None if self.conditions is None else self.conditions.inputs
        return self.store.fill(self.model, self.sampler, self.spec, parts, conditions)

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
        self, items: Tensor, batch_size: int, metrics: Collection[MetricName | OwnMetric] = METRICS
    ) -> Measurement:
        """Measure the samples; see `References.measure`."""
        spec, classes = self.spec, len(self.model.spec.classes)
        if self.conditions is None:
            labels = self.model.labels(range(self.count), spec.label)
            label = f"{classes} classes in turn" if spec.label is None else str(spec.label)
            label_text = label if classes else None
        else:
            labels = self.conditions.labels_of(range(self.count))
            names = ", ".join(self.model.spec.conditions)
            label_text = f"{names} of {len(self.conditions):,} training items"
        references, lost = self.references, None
        if self.model.spec.autoencoder is not None:
            real = references.train if references.held_out is None else references.held_out
            part = real.items[torch.tensor(evenly_spaced(min(MOST_ITEMS, len(real.items)), len(real.items)))]
            lost, _ = yield from reconstruction_quality(self.model.spec, part, references.device, references.extractor)
        labels = None if labels is None else labels.cpu()
        settings, folder = self.settings(label_text), self.store.folder / "features"
        samples = Samples(items, labels, settings, self.identity, folder, lost)
        return (yield from references.measure(samples, batch_size, metrics))
