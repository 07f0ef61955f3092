"""One model, one sampler and the data that its samples are compared with: sampling, features and metrics.

Comparisons of several samplers or models make a study of each: features of data are computed once, and so is a sample.
"""

import dataclasses
import math
import platform
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import Tensor

from ancestral import __version__
from ancestral.data import Codec, Dataset
from ancestral.errors import InputError
from ancestral.evaluation.reference import ReferenceSet
from ancestral.evaluation.sample_quality import (
    FeatureSet,
    NearestPairs,
    check_counts,
    compute_features,
    measure,
    pieces,
)
from ancestral.evaluation.sample_store import SampleStore, SamplingSpec
from ancestral.events import Work
from ancestral.metrics import extractors
from ancestral.metrics.extractors import Extractor, Features, concatenate
from ancestral.model import Model
from ancestral.results.evaluation_result import (
    ExtractorName,
    MeasuredModel,
    MetricTitles,
    ReferenceNames,
    SampleMetrics,
    SampleSettings,
)
from ancestral.samplers import Sampler

DEFAULT_COUNT = 2500
"""The default number of samples: enough to fill the covariance of every built-in extractor's features."""


@dataclass(frozen=True)
class References:
    """The data that samples are compared with, and the features by which."""

    codec: Codec
    extractor: Extractor
    train: ReferenceSet
    held_out: ReferenceSet | None
    notes: tuple[str, ...] = ()
    device: str = "cpu"
    """The type of device on which the numbers were computed."""

    @staticmethod
    def of(
        codec: Codec,
        classes: tuple[str, ...],
        train: Dataset,
        held_out: Dataset | None,
        extractor: str | None = None,
        splits: tuple[str, str] = ("train split", "test split"),
        device: torch.device | None = None,
    ) -> "References":
        """Take as many items of the data as distances can be measured on.

        Args:
            codec: The codec of the items.
            classes: The classes of the samples, in their numbering.
            train: What the model was trained on.
            held_out: What it was not trained on, if there is any.
            extractor: A name as `metrics.extractors.extractor` takes it. The default is lite0 for images of 1 or 3
                channels, else pixels.
            splits: What the two parts of the data are called.
            device: Where the extractor runs. The default is the CPU.

        Raises:
            InputError: If the extractor does not fit the items.
        """
        name = extractor or ("lite0" if len(train.shape) == 3 and train.shape[0] in (1, 3) else "pixels")
        chosen = extractors.extractor(name, train.shape, codec, device or "cpu")
        seen = ReferenceSet.from_data(train, classes, splits[0])
        unseen = None if held_out is None else ReferenceSet.from_data(held_out, classes, splits[1])
        skipped = [f"{len(data.skipped)} of {data.name}" for data in (train, held_out) if data and data.skipped]
        notes = tuple(f"Files that could not be read were left out: {text}." for text in skipped)
        return References(codec, chosen, seen, unseen, notes, device.type if device else "cpu")

    def check(self, count: int) -> None:
        """Raise InputError if this number of samples, or the data, is too small to measure."""
        check_counts(count, len(self.train.items), None if self.held_out is None else len(self.held_out.items))

    def item_sets(self, samples: Tensor, folder: Path | None) -> list[tuple[str, Tensor, Path | None]]:
        """List all items whose features are needed, and where these are kept: of data in the user's cache."""
        sets = [("samples", samples, folder), ("training data", self.train.items, None)]
        return sets if self.held_out is None else [*sets, ("held-out data", self.held_out.items, None)]

    def features(
        self, name: str, items: Tensor, batch_size: int, folder: Path | None = None
    ) -> Generator[Work, None, Features]:
        """Compute the features of items (N, *shape), or read them from the cache."""
        batches: list[Features] = []
        for batch in compute_features(self.extractor, items, pieces(len(items)), batch_size, folder):
            batches.append(batch)
            yield Work(f"features of {name}", sum(len(part.values) for part in batches), len(items), "items")
        return concatenate(batches)

    def measure(
        self,
        samples: Tensor,
        labels: Tensor | None,
        batch_size: int,
        made: SampleSettings,
        model: MeasuredModel | None = None,
        folder: Path | None = None,
    ) -> Generator[Work, None, tuple[SampleMetrics, list[NearestPairs]]]:
        """Measure samples.

        Args:
            samples: Decoded items (N, *shape).
            labels: The classes (N,) that they were conditioned on.
            batch_size: Items at a time.
            made: How they were made.
            model: What made them.
            folder: Where their features are kept.

        Returns:
            The metrics, and the samples nearest to training items.
        """
        sets = []
        known = (labels, self.train.labels, None if self.held_out is None else self.held_out.labels)
        for (name, items, where), part in zip(self.item_sets(samples, folder), known, strict=False):
            features = yield from self.features(name, items, batch_size, where)
            sets.append(FeatureSet(items, features, part))
        held_out = sets[2] if len(sets) == 3 else None
        quality, pairs = yield from measure(
            sets[0], sets[1], held_out, self.codec, self.extractor, self.train.all_items
        )
        metrics = SampleMetrics(
            **vars(quality),
            model=model,
            samples=made,
            data=self.names(),
            extractor=ExtractorName(self.extractor.name, self.extractor.width),
            titles=MetricTitles(*map(self.extractor.title, ("FD", "KID", "IS"))),
            versions={
                "ancestral": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
                "device": self.device,
            },
        )
        return metrics, pairs

    def names(self) -> ReferenceNames:
        """Describe the data."""
        return ReferenceNames(str(self.train), None if self.held_out is None else str(self.held_out), self.notes)


@dataclass(frozen=True)
class Study:
    """A model's samples and what they are compared with."""

    model: Model
    name: str
    """What the results call the model: the path of its run."""
    sampler: Sampler
    spec: SamplingSpec
    store: SampleStore
    count: int
    references: References

    @staticmethod
    def of(
        model: Model,
        name: str,
        sampler: Sampler,
        references: References,
        folder: Path,
        count: int = DEFAULT_COUNT,
        seed: int = 0,
        guidance: float = 1.0,
        sha256: str = "",
    ) -> "Study":
        """Plan a study, and refuse what cannot be measured before anything is sampled.

        Args:
            model: The model.
            name: What the results call it.
            sampler: What samples it.
            references: What the samples are compared with.
            folder: Where samples are kept, in a folder whose name is a hash of all that decides them.
            count: The number of samples.
            seed: Of the samples.
            guidance: Classifier-free guidance.
            sha256: Of the model's file; empty for a model that is in no file, whose samples nothing else can use.

        Raises:
            InputError: If the model cannot be sampled so, or the samples or data are too few or too many.
        """
        spec = SamplingSpec(sha256, repr(sampler), seed, None, guidance)
        next(model.trajectory(range(1), sampler, seed, None, guidance))  # refuses impossible guidance
        references.check(count)
        store = SampleStore(folder / spec.key, model.spec.shape, model.spec.codec.dtype)
        need, free = count * math.prod(store.shape) * store.dtype.itemsize, psutil.virtual_memory().available
        if need > free:
            raise InputError(
                f"{count:,} samples take {need / 2**30:,.0f} GiB and {free / 2**30:.0f} are free; draw fewer"
            )
        return Study(model, name, sampler, spec, store, count, references)

    def with_sampler(self, sampler: Sampler) -> "Study":
        """Return the same study of another sampler, whose samples are kept beside these."""
        spec = dataclasses.replace(self.spec, sampler=repr(sampler))
        store = dataclasses.replace(self.store, folder=self.store.folder.parent / spec.key)
        return dataclasses.replace(self, sampler=sampler, spec=spec, store=store)

    @property
    def identity(self) -> MeasuredModel:
        """The model as results name it."""
        return MeasuredModel(self.name, self.model.step, self.spec.model or None, self.model.version)

    def sample(self, parts: Iterable[range]) -> Iterator[float]:
        """Sample and keep these items; see `SampleStore.fill`."""
        return self.store.fill(self.model, self.sampler, self.spec, parts)

    def samples(self, batch_size: int, task: str = "sampling") -> Generator[Work, None, Tensor]:
        """Return all samples (count, *shape), decoded. Those that are missing are sampled first."""
        while (items := self.store.read(self.count)) is None:  # again if a file turns out to be damaged
            missing, done = self.store.missing(self.count, batch_size), 0.0
            for share in self.sample(missing):
                done += share
                yield Work(task, done, sum(map(len, missing)), "samples")
        return items

    def metrics(
        self, items: Tensor, batch_size: int
    ) -> Generator[Work, None, tuple[SampleMetrics, list[NearestPairs]]]:
        """Measure the samples; see `References.measure`."""
        model, spec = self.model, self.spec
        labels, classes = model.labels(range(self.count), spec.label), len(model.spec.classes)
        label = None
        if classes:
            label = str(spec.label) if spec.label is not None else f"{classes} classes in turn"
        steps = len(self.sampler.times(model.denoiser.schedule)) - 1
        folder = self.store.folder.name if spec.model else None
        made = SampleSettings(self.count, spec.sampler, spec.seed, spec.guidance, label, steps, folder)
        return self.references.measure(
            items,
            None if labels is None else labels.cpu(),
            batch_size,
            made,
            self.identity,
            self.store.folder / "features",
        )
