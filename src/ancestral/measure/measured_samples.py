"""Samples, whatever made them, and the data that they are compared with: features and metrics."""

import dataclasses
import platform
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ancestral import __version__
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Work
from ancestral.base.quantities import are
from ancestral.base.registries import METRICS, CustomMetric, MetricName
from ancestral.conditions import Condition
from ancestral.data import Codec, Dataset, DataSpec
from ancestral.measure.reference import ReferenceSet, copies_among, copies_note
from ancestral.measure.sample_quality import CaptionFeatures, FeatureSet, NearestPairs, SampleSets, measure
from ancestral.metrics import extractors
from ancestral.metrics.extractors import Extractor, Features, concatenate
from ancestral.results import sample_result as facts

FEWEST_ITEMS = 6
"""Items of a set that have the 5 neighbours of precision and recall."""
MetricEvents = Generator[Event, None, tuple[facts.SampleMetrics, list[NearestPairs]]]
"""The events of measuring samples, which return the metrics and the samples nearest to training items."""


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
    conditions: Mapping[str, Any] = field(default_factory=dict)
    """What they were conditioned on besides the label, by name, for functions of the user."""
    kinds: Mapping[str, Condition] = field(default_factory=dict)
    """The kinds of the conditions."""
    captions: CaptionFeatures | None = None


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
    channels: tuple[str, ...] = ()
    """The name of each channel, with its units."""

    @staticmethod
    def of(
        spec: DataSpec,
        train: Dataset,
        held_out: Dataset | None,
        extractor: str | Callable[[Tensor], Tensor] | None = None,
        held_out_split: str = "test split",
        device: torch.device | str = "cpu",
    ) -> "References":
        """Take as many items of the data as distances can be measured on.

        Args:
            spec: The samples' shape, codec and classes.
            train: What the model was trained on.
            held_out: What it was not trained on, if there is any.
            extractor: As `metrics.extractors.extractor` takes it; None is `metrics.extractors.default_name`.
            held_out_split: What this part of the data is called.
            device: Where the extractor runs.
        """
        name = extractor or extractors.default_name(spec)
        device = torch.device(device)
        feature_extractor = extractors.extractor(name, spec.shape, spec.codec, device)
        train_set = ReferenceSet.from_data(train, spec, "train split")
        held_out_set = None if held_out is None else ReferenceSet.from_data(held_out, spec, held_out_split)
        parts = [part for part in (train, held_out) if part is not None]
        skipped = (f"{len(part.skipped)} of {part.name}" for part in parts if part.skipped)
        notes = [f"Files that could not be read were left out: {one}." for one in dict.fromkeys(skipped)]
        remarks = dict.fromkeys(text for part in parts for text, _ in part.notes)
        names = tuple(part.name for part in parts)  # of files stay as they are
        notes += [f"{text if text.startswith(names) else text[:1].upper() + text[1:]}." for text in remarks]
        notes += [note for part in (train_set, held_out_set) if part is not None for note in part.notes]
        if spec.classes and train.labels is not None and train_set.labels is None:
            notes.append(f"{train.name} has classes other than the samples', so class accuracy is not measured.")
        channels = spec.titles or spec.channel_names
        return References(
            spec.codec, feature_extractor, device, train_set, held_out_set, tuple(notes), channels=channels
        )

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
        least = FEWEST_ITEMS if self.held_out is not None else 2 * FEWEST_ITEMS  # a half of it stands in
        unseen = FEWEST_ITEMS if self.held_out is None else len(self.held_out.items)
        for name, number, fewest in (("sample", count, FEWEST_ITEMS), ("training item", len(self.train.items), least),
                                     ("held-out item", unseen, FEWEST_ITEMS)):  # fmt: skip
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
        self, samples: Samples, batch_size: int, metrics: Collection[MetricName | CustomMetric] = METRICS
    ) -> MetricEvents:
        """Measure samples."""
        sets_of = [samples.conditions, self.train.conditions, {} if self.held_out is None else self.held_out.conditions]
        labels_of = [samples.labels, self.train.labels, None if self.held_out is None else self.held_out.labels]
        parts: list[FeatureSet] = []
        for name, items, where in self.item_sets(samples.items, samples.folder):
            features = yield from self.features(name, items, batch_size, where)
            given = sets_of[len(parts)].items() if samples.conditions else ()
            conditions = {key: samples.kinds[key].plain(one) for key, one in given}
            parts.append(FeatureSet(items, features, labels_of[len(parts)], conditions))
        held_out = parts[2] if len(parts) > 2 else None
        searched = self.train.searched.items
        further = searched, self.mirrored, samples.captions, self.channels
        sets = SampleSets(parts[0], parts[1], held_out, self.codec, self.extractor, *further)
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
