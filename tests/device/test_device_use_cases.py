"""Every use case that computes, on an accelerator: it does what it does on the CPU."""

import json

import numpy as np
import pytest
import torch

import ancestral
from ancestral import operators
from ancestral.base.registries import RESTORATIONS, SAMPLERS
from tiny_models import conditional_stripes, stripes

TRAINED = {
    "steps": 4,
    "batch_size": 8,
    "save_every": 2,
    "sample_every": 100,
    "trackers": ("none",),
    "snapshots": 8,
    "sampler": "ddim:steps=2",
    "width": 16,
    "mults": (1,),
    "blocks": 1,
    "attention": (8,),
}
MEASURED = {"extractor": "pixels", "samples": 16, "sampler": "ddim:steps=2", "progress": False}


def items():
    return stripes().items, stripes().labels


def conditional_items():
    data = conditional_stripes()
    return data.items, {"angle": torch.arange(40.0), "low": data.items[:, :, ::2, ::2]}


def train(device, out, data=items, **settings):
    return ancestral.train("arrays", data=data(), out=out, device=device, progress=False, **TRAINED, **settings)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of two runs, trained on the CPU."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        "plain": train("cpu", folder / "plain").folder,
        "conditions": train("cpu", folder / "conditions", conditional_items).folder,
    }


def weights_of(run):
    return dict(run.model.diffusion.net.state_dict())


def numbers_of(result):
    """The numbers of a result, by their path in its JSON; times, places and versions differ."""
    found = {}

    def walk(value, path):
        if isinstance(value, dict):
            for name, part in value.items():
                walk(part, (*path, name))
        elif isinstance(value, list):
            for number, part in enumerate(value):
                walk(part, (*path, number))
        elif isinstance(value, int | float) and not any("second" in str(name) for name in path):
            found[path] = torch.tensor(float(value))

    walk(json.loads(result.to_json()), ())
    return found


def edited(method):
    def restore(model, y):
        operator = operators.Downsample(2)
        return model.restore(operator.apply(y), operator, 0.1, n=2, method=method, steps=4, decode=False)

    return restore


def mask():
    known = torch.zeros(8, 8, dtype=torch.bool)
    known[:, :4] = True
    return known


MODEL_TASKS = {
    "inpaint": lambda model, y: model.inpaint(y, mask(), n=2, steps=4, decode=False),
    "vary": lambda model, y: model.vary(y, 0.5, n=2, steps=4, decode=False),
    "interpolate": lambda model, y: model.interpolate(y, y.mT, n=3, steps=4, decode=False),
    "interpolate seeds": lambda model, y: model.interpolate(n=3, steps=4, decode=False),
    "invert": lambda model, y: model.invert(y, steps=4),
    "reconstruct": lambda model, y: model.reconstruct(model.invert(y, steps=4), steps=4, decode=False),
    "blur": lambda model, y: model.restore(y, operators.Blur(1.0), 0.05, n=2, steps=4, decode=False),
    "colour": lambda model, y: model.restore(y[..., :4], operators.Crop((0, 0), (8, 4)), 0.05, steps=4, decode=False),
    **{f"restore by {name}": edited(name) for name in RESTORATIONS if name != "trained"},
}
SAMPLES = {
    **{name: {"sampler": name} for name in SAMPLERS},
    "guidance": {"label": "0", "guidance": 2.0, "guidance_rescale": 0.5},
    "guidance on an interval": {"label": "1", "guidance": 2.0, "guidance_interval": (100, 900)},
}


@pytest.mark.parametrize("task", MODEL_TASKS)
def test_an_edit_is_that_of_the_cpu(task, runs, device, close):
    edits = [MODEL_TASKS[task](ancestral.load(runs["plain"], device=where), image()) for where in (device, "cpu")]
    assert close(*edits, rtol=1e-2, atol=1e-3)


def image():
    y = torch.full((1, 1, 8, 8), 0.2)
    y[..., 2:5] = -0.5
    return y


@pytest.mark.parametrize("options", SAMPLES.values(), ids=SAMPLES)
def test_samples_are_those_of_the_cpu(options, runs, device, close):
    samples = [
        ancestral.load(runs["plain"], device=where).sample(3, steps=4, decode=False, **options)
        for where in (device, "cpu")
    ]
    assert close(*samples, rtol=1e-2, atol=1e-3)


def test_samples_with_conditions_are_those_of_the_cpu(runs, device, close):
    given = {"angle": 3.0, "low": torch.zeros(1, 4, 4, dtype=torch.uint8)}
    samples = [
        ancestral.load(runs["conditions"], device=where).sample(
            3, steps=4, given=given, guidance={"angle": 2.0}, decode=False
        )
        for where in (device, "cpu")
    ]
    assert close(*samples, rtol=1e-2, atol=1e-3)


def distil(device, runs, out, **settings):
    common = {"progress": False, "batch_size": 8, "sample_every": 100, "trackers": ("none",)}
    return ancestral.distil(runs["plain"], data=items(), out=out, device=device, **common, **settings)


USES = {
    "train": lambda device, runs, out: weights_of(train(device, out)),
    "train with conditions": lambda device, runs, out: weights_of(train(device, out, conditional_items)),
    "train on masks": lambda device, runs, out: weights_of(train(device, out, given="hole=mask")),
    "train in latents": lambda device, runs, out: weights_of(train(device, out, latent=2, latent_steps=2)),
    "fine-tune": lambda device, runs, out: weights_of(train(device, out, initial=runs["plain"])),
    "distil": lambda device, runs, out: weights_of(distil(device, runs, out, stages=2, steps=4)),
    "distil progressively": lambda device, runs, out: weights_of(
        distil(device, runs, out, method="progressive", stages=1, steps=2)
    ),
    "sample": lambda device, runs, out: {
        "samples": torch.from_numpy(
            np.load(
                ancestral.sample(
                    runs["plain"], 3, steps=2, out=out.with_suffix(".npz"), device=device, progress=False
                ).paths[0]
            )["images"]
        ).float()
    },
    "evaluate": lambda device, runs, out: numbers_of(
        ancestral.evaluate(runs["plain"], items(), device=device, **MEASURED)
    ),
    "evaluate likelihoods": lambda device, runs, out: numbers_of(
        ancestral.evaluate(
            runs["plain"],
            items(),
            device=device,
            likelihood=True,
            n=4,
            passes=4,
            ode=True,
            ode_steps=4,
            probes=1,
            samples=False,
            progress=False,
        )
    ),
    "evaluate conditions": lambda device, runs, out: numbers_of(
        ancestral.evaluate(runs["conditions"], conditional_items(), device=device, members=2, **MEASURED)
    ),
    "evaluate samples": lambda device, runs, out: numbers_of(
        ancestral.evaluate_samples(items()[0][:16], items()[0], device=device, extractor="pixels", progress=False)
    ),
    "compare": lambda device, runs, out: numbers_of(
        ancestral.compare([runs["plain"], runs["plain"]], items(), device=device, **MEASURED)
    ),
    "compare samplers": lambda device, runs, out: numbers_of(
        ancestral.compare(
            [runs["plain"]],
            items(),
            samplers=("ddim", "unipc"),
            most=4,
            device=device,
            **{name: value for name, value in MEASURED.items() if name != "sampler"},
        )
    ),
    "doctor": lambda device, runs, out: {
        "items": torch.tensor(
            float(
                ancestral.inspect(
                    items(), device=device, width=16, mults=(1,), blocks=1, batch_size=8, progress=False
                ).count
            )
        )
    },
    "average": lambda device, runs, out: numbers_of(
        ancestral.average(runs["plain"], items(), lengths=(0.1,), device=device, out=out, **MEASURED)
    ),
}


@pytest.mark.parametrize("use", USES)
def test_a_use_case_does_what_it_does_on_the_cpu(use, runs, device, close, tmp_path):
    results = [USES[use](where, runs, tmp_path / where) for where in (device, "cpu")]
    assert results[0].keys() == results[1].keys()
    different = {
        name: [result[name] for result in results]
        for name in results[0]
        if not close(*[result[name] for result in results], rtol=2e-2, atol=2e-3)
    }
    assert not different


def test_a_device_without_float64_trains_samples_edits_evaluates_and_resumes(single, tmp_path):
    run = train(single, tmp_path / "run", conditional_items)
    model = run.model
    assert model.sample(2, steps=2, given={"angle": 3.0}, guidance={"angle": 2.0}).shape == (2, 1, 8, 8)
    for task in MODEL_TASKS.values():
        assert bool(task(model, image()).isfinite().all())
    result = ancestral.evaluate(
        run.folder, conditional_items(), device=single, likelihood=True, n=2, passes=2, members=2, **MEASURED
    )
    assert numbers_of(result)
    assert ancestral.train(out=run.folder, device=single, data=conditional_items(), resume=True, steps=6).step == 6
