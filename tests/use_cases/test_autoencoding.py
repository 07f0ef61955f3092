"""Runs in a latent space: the autoencoder of their own, its file, and exact resume over both phases."""

import json
import shutil
import signal
import sys

import pytest
import torch

import ancestral
from ancestral import config as configs
from ancestral import data as datasets
from ancestral import operators
from ancestral.base import storage
from ancestral.base.events import Work, finish
from ancestral.conditions import resized
from ancestral.data import IMAGES
from ancestral.data.spec import inputs
from ancestral.declarations import Train
from ancestral.model import same_autoencoder
from ancestral.training.device_data import LatentCache, cache_for
from ancestral.use_cases.training import train as training
from tiny_models import same_tensors, together

SETTINGS = {
    "latent": 4, "latent_width": 8, "latent_channels": 3, "latent_steps": 55, "steps": 3, "batch_size": 4, "width": 8,
    "mults": (1,), "blocks": 1, "attention": (), "patch": 1, "threads": 1, "trackers": ("none",), "preview_steps": 1,
    "precision": "fp32",
}  # fmt: skip


def waves():
    y, x = torch.meshgrid(torch.linspace(0, 3, 16), torch.linspace(0, 3, 18), indexing="ij")
    phases = torch.arange(24).view(-1, 1, 1, 1) * 0.4
    curves = torch.stack([x.sin(), y.cos(), (x + y).sin()]) * 1.5 + phases
    return (curves.sin() * 127 + 128).to(torch.uint8)


@pytest.fixture(scope="module")
def images():
    return waves()


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    return ancestral.train(
        "arrays", data=images, out=tmp_path_factory.mktemp("latent") / "whole", device="cpu", **SETTINGS
    )


def test_samples_are_decoded_items_and_the_file_holds_all_of_it(whole, images):
    model = ancestral.load(whole.folder, "cpu")
    samples = model.sample(3, steps=2)
    assert samples.shape == (3, 3, 16, 18)
    assert samples.dtype == torch.uint8
    assert torch.equal(samples, whole.model.sample(3, steps=2))
    assert model.sample(3, steps=2, decode=False).shape == (3, 3, 4, 5) == (3, *model.spec.x_shape)
    info = ancestral.info(whole.folder)
    assert info.latents == "latents with 3 channels and sides 4 times shorter: 3x4x5"
    with pytest.raises(ancestral.InputError, match="is an autoencoder, which samples nothing"):
        ancestral.load(f"{whole.folder}/autoencoder")


@pytest.mark.long
def test_a_run_that_is_killed_in_either_phase_ends_bit_identical(whole, images, tmp_path):
    out = tmp_path / "killed"
    options = {"config": "arrays", "data": images, "out": out, "device": "cpu", "settings": SETTINGS}
    steps = training.run(training.plan(Train(**options)))
    for event in steps:
        if isinstance(event, Work) and event.task == "training the autoencoder" and event.done == 52:
            break
    steps.close()  # two steps after the checkpoint of step 50
    steps = training.run(training.plan(Train(**options, resume=True)))
    for event in steps:
        if isinstance(event, Work) and event.task == "training the autoencoder":
            assert event.done == 51
            signal.raise_signal(signal.SIGINT)
            break
    assert finish(steps).stopped
    assert not (out / "model.safetensors").exists()
    finish(training.run(training.plan(Train(**{**options, "settings": {**SETTINGS, "steps": 2}}, resume=True))))
    shutil.rmtree(out / "autoencoder")  # the model file has a copy
    finish(training.run(training.plan(Train(**options, resume=True))))
    for name in ("autoencoder/model.safetensors", "model.safetensors"):
        assert same_tensors(*(storage.read_tensors(f / name)[0] for f in (out, type(out)(whole.folder))))


def test_the_autoencoder_of_another_run_is_taken_as_it_is(whole, images, tmp_path):
    own = {name: value for name, value in SETTINGS.items() if not name.startswith("latent")}
    other = ancestral.train("arrays", data=images, out=tmp_path / "other", latent=whole.folder, device="cpu", **own)
    assert other.model.config.latent == whole.model.config.latent
    assert same_tensors(*(run.model.spec.autoencoder.state_dict() for run in (other, whole)))
    with pytest.raises(ancestral.InputError, match="has an autoencoder of its own: leave latent_channels=5 out"):
        ancestral.train("arrays", data=images, out=tmp_path / "no", latent=whole.folder, latent_channels=5)
    signals = images[:, :1, 0]
    with pytest.raises(ancestral.InputError, match="for images of 3 channels, and the items are signals of 1 channel"):
        ancestral.train("arrays", data=signals, dims=1, out=tmp_path / "no", latent=whole.folder, **own)
    with pytest.raises(ancestral.InputError, match="latent_width=9 is for an autoencoder: give latent=4 too"):
        ancestral.train("arrays", data=images, out=tmp_path / "no", latent_width=9)
    assert not (tmp_path / "no").exists()
    short = {**SETTINGS, "steps": 1, "seed": 1}
    second = ancestral.train("arrays", data=images, out=tmp_path / "second", device="cpu", **short)
    with pytest.raises(ancestral.InputError, match="was trained with another autoencoder"):
        ancestral.train(data=images, out=tmp_path / "other", resume=True, steps=4, latent=second.folder)


def test_fine_tuning_keeps_the_latent_space(whole, images, tmp_path):
    few = {"steps": 1, "threads": 1, "batch_size": 4, "preview_steps": 1, "trackers": ("none",)}
    run = ancestral.train("arrays", data=images, out=tmp_path / "more", initial=whole.folder, device="cpu", **few)
    assert run.model.config.latent == whole.model.config.latent
    with pytest.raises(ancestral.InputError, match="cannot have latent=2"):
        ancestral.train("arrays", data=images, out=tmp_path / "no", initial=whole.folder, latent=2)


def test_inpainting_keeps_known_pixels_to_the_bit(whole, images):
    model, mask = whole.model, torch.zeros(16, 18, dtype=torch.bool)
    mask[2:6, 3:6] = True
    for method in ("auto", "mmps", "repaint"):
        samples = model.inpaint(images[0], mask, n=2, steps=2, method=method)
        assert samples.shape == (2, 3, 16, 18)
        assert torch.equal(samples[:, :, ~mask], images[0][:, ~mask].expand(2, 3, -1))
    wide = model.inpaint(images[0], extend=(0, 0, 6, 0), n=2, steps=2)
    assert wide.shape == (2, 3, 16, 24)
    assert torch.equal(wide[..., :18], images[0].expand(2, -1, -1, -1))
    mask[:] = True
    mask[0, 0] = False
    with pytest.raises(ancestral.InputError, match="too little is known for a model of latents"):
        model.inpaint(images[0], mask)


def test_restored_items_fit_the_measurement(whole, images):
    small = operators.Downsample(2).apply(IMAGES.encode(images[:1]))
    samples = whole.model.restore(small, "upscale:2", n=2, steps=3)
    assert samples.method == "dps"
    misfit = operators.Downsample(2).apply(IMAGES.encode(samples.as_subclass(torch.Tensor))) - small
    assert misfit.abs().max() < 2 / 255  # half a level of each of four pixels, and the clipping
    with pytest.raises(ancestral.InputError, match="jfps needs a measurement that is linear in x"):
        whole.model.restore(small, "upscale:2", method="jfps")


def test_the_gradient_of_dps_goes_through_the_decoder(whole, images):
    y = operators.Grey().apply(IMAGES.encode(images[:1]))
    spec = whole.model.spec
    z = spec.encode(images[1:2]).requires_grad_()
    misfit = (operators.Grey().apply(spec.from_x(z)) - y).square().sum()
    (gradient,) = torch.autograd.grad(misfit, z)
    direction = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))

    def at(step):
        with torch.no_grad():
            made = operators.Grey().apply(spec.from_x(z + step * direction))
            return (made - y).double().square().sum()

    torch.testing.assert_close(
        (at(1e-2) - at(-1e-2)) / 2e-2, (gradient * direction).sum().double(), rtol=1e-2, atol=1e-3
    )


def test_variations_walks_and_inversion_begin_at_latents(whole, images):
    model = whole.model
    assert model.vary(images[:2], 0.3, n=2, steps=2).shape == (2, 3, 16, 18)
    walk = model.interpolate(images[0], images[1], n=3, steps=2)
    assert torch.equal(walk[0].as_subclass(torch.Tensor), images[0])
    x_T = model.invert(images[:1], steps=2)
    assert x_T.shape == (1, *model.spec.x_shape)
    assert model.reconstruct(x_T, steps=2).shape == (1, 3, 16, 18)


def test_evaluation_decodes_and_names_what_the_autoencoder_loses(whole, images):
    result = ancestral.evaluate(whole.model, data=images, samples=12, steps=1, extractor="pixels", metrics=("colour",))
    lost = result.samples.reconstructions
    assert lost.count == len(images)
    assert 5 < lost.psnr < 60
    assert lost.floor is not None
    (note,) = [note for note in result.samples.all_notes if "latents" in note]
    assert f"reconstructions of 24 items: PSNR {lost.psnr:.1f} dB" in note
    assert result.samples.from_json(result.samples.to_json()) == result.samples
    with pytest.raises(ancestral.InputError, match="is a model of latents, whose decoder gives items no probability"):
        ancestral.evaluate(whole.model, data=images, likelihood=True)


def test_the_format_without_a_place_for_the_decoder_is_refused(whole):
    with pytest.raises(ancestral.InputError, match="for their decoder: use"):
        ancestral.export(whole.folder, to="diffusers")


@pytest.mark.long
def test_exports_hold_the_decoder(whole, tmp_path, run):
    written = run("export", whole.folder, "--to", "onnx", "--out", tmp_path / "net.onnx")
    assert written == f"{tmp_path / 'net.onnx'}\n{tmp_path / 'net.decoder.onnx'}\n"
    page = ancestral.export(whole.folder, to="html", out=tmp_path / "page.html").read_text("utf-8")
    assert "through latents with 3 channels and sides 4 times shorter: it predicts" in page


def test_doctor_measures_both_phases(images):
    settings = {name: value for name, value in SETTINGS.items() if name not in ("trackers", "preview_steps")}
    report = ancestral.inspect(images, **settings)
    assert any("first an autoencoder is trained" in finding.text for finding in report.findings)
    assert report.cost is not None


def test_latents_are_encoded_once_and_mirrored_ones_are_those_of_mirrored_items(whole, images):
    spec = whole.model.spec
    cache = LatentCache(spec, len(images), mirrored=True)
    encoded, flip = IMAGES.encode(images[[3, 5, 3]]), torch.tensor([False, True, True])
    mirrored = encoded.flip(-1).where(flip.view(-1, 1, 1, 1), encoded)
    latents = cache(mirrored, torch.tensor([3, 5, 3]), flip)
    torch.testing.assert_close(latents, spec.to_x(mirrored))
    assert torch.equal(cache(torch.zeros_like(encoded), torch.tensor([3, 5, 3]), flip), latents)  # nothing is encoded
    assert int(cache.known.sum()) == 3


@pytest.mark.parametrize(
    ("settings", "kept"),
    [({}, True), ({"flip": True}, True), ({"augment": 0.1}, False), ({"memory": 1e-9}, False)],
    ids=str,
)
def test_latents_are_kept_where_items_do_not_change(whole, images, settings, kept):
    config = configs.DataConfig(**settings)
    cache = cache_for(config, whole.model.spec, datasets.load(images))
    assert (cache is not None) == kept


@pytest.mark.long
def test_conditions_made_of_items_are_made_of_pixels(images, tmp_path):
    run = ancestral.train("arrays", data=images, out=tmp_path / "small", given="upscale:2", device="cpu", **SETTINGS)
    low = operators.Downsample(2).apply(IMAGES.encode(images[:1]))
    assert run.model.spec.further["low"].sides == tuple(low.shape[2:]) == (8, 9)
    samples = run.model.restore(low, "upscale:2", n=2, steps=1)
    assert samples.method == "trained"
    given = {"low": IMAGES.decode(low)}
    assert run.model.sample(2, steps=1, given=given).shape == (2, 3, 16, 18)
    pixels, grid = inputs(run.model.spec, IMAGES.encode(images[:1]), {}, 0, 0, [0])["low"], run.model.spec.x_shape[1:]
    torch.testing.assert_close(pixels[:, :3], resized(low, grid))


def test_a_distilled_model_has_the_autoencoder_of_its_teacher(whole, tmp_path):
    run = ancestral.distil(
        whole.folder, data=waves(), out=tmp_path / "fast", steps=8, stages=2, threads=1, trackers=("none",)
    )
    assert run.model.sample(2).shape == (2, 3, 16, 18)
    assert same_autoencoder(run.model.spec.autoencoder, whole.model.spec.autoencoder)


@pytest.mark.long
def test_two_processes_train_the_autoencoder_that_one_would(images, tmp_path):
    together(__file__, json.dumps([str(tmp_path / "two")]))
    one = ancestral.train("arrays", data=images, out=tmp_path / "one", device="cpu", **SETTINGS)
    weights = storage.read_tensors(tmp_path / "two" / "autoencoder" / "model.safetensors")[0]
    for name, value in one.model.spec.autoencoder.state_dict().items():
        assert torch.allclose(weights[name], value, rtol=0, atol=1e-4), name


def test_image_conditions_and_augmentation_do_not_go_together(images, tmp_path):
    pairs = (images, {"other": images.float()})
    with pytest.raises(ancestral.InputError, match="leave one of the two out"):
        ancestral.train("arrays", data=pairs, out=tmp_path / "no", augment=0.1, **SETTINGS)


if __name__ == "__main__":
    (out,) = json.loads(sys.argv[1])
    ancestral.train("arrays", data=waves(), out=out, device="cpu", **SETTINGS)
