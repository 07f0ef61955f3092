"""Models that are conditioned on words: guidance towards a text and away from another, walks, recipes, refusals."""

import pytest
import torch

from ancestral import oracle, schedules
from ancestral.base.errors import InputError
from ancestral.conditions import Classes, Words
from ancestral.config.request import Request
from ancestral.data.spec import POINTS, DataSpec
from ancestral.model import Model
from ancestral.model.condition_values import captions, read_values
from ancestral.model.requested import stages_of
from ancestral.model.sample_conditioning import continuation
from ancestral.vocabulary import count_pieces
from tiny_models import untrained

F64 = torch.float64
EXACT = {"rtol": 0, "atol": 1e-10}
NAMES = ("red circle", "blue circle", "red square", "green square")
WORDS = Words(count_pieces(NAMES * 2), 4)


class NamedMixture:
    """The exact denoiser of a mixture whose components have names, given words that are all in the name."""

    def __init__(self, schedule):
        rng = torch.Generator().manual_seed(0)
        self.schedule, self.device = schedule, torch.device("cpu")
        self.means, self.stds = torch.randn(len(NAMES), 3, generator=rng, dtype=F64), torch.tensor([0.2, 0.5, 0.3, 0.4])

    def components(self, text):
        parts = [set(text.split()) <= set(name.split()) for name in NAMES]
        return oracle.Mixture(self.schedule, self.means[parts], self.stds[parts].double())

    def predict(self, x_t, t, caption):
        estimates = [
            self.components(text).predict(x[None], time[None] if isinstance(time, torch.Tensor) else time)
            for x, time, text in zip(x_t, t.expand(len(x_t)), WORDS.texts(caption), strict=True)
        ]
        return type(estimates[0])(*(torch.cat([getattr(one, part) for one in estimates]) for part in ("x0", "eps")))

    def score(self, x, t, text):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(self.components(text).log_density(x, t).sum(), x)[0]


@pytest.fixture(scope="module")
def named():
    denoiser = NamedMixture(schedules.cosine(100))
    return Model(denoiser, DataSpec((3,), POINTS, conditions={"caption": WORDS}))


@pytest.mark.parametrize(
    ("given", "avoid", "scale"),
    [
        ("red circle", None, 3.0),
        ("circle", "blue", 2.5),
        (None, "square", 4.0),
        ("red", "red square", 0.5),
        ("green square", "red", 7.0),
    ],
)
@pytest.mark.parametrize("t", [3, 50, 100])
def test_guidance_by_words_and_away_from_words_is_its_closed_form(named, given, avoid, scale, t):
    """(1 − s) ∇ log p_t(x | avoid) + s ∇ log p_t(x | given), by autograd of the density; an absent text is all."""
    options = {"given": {"caption": given}, "guidance": {"caption": scale}}
    request = Request.of(n=2, **options, avoid={"caption": avoid} if avoid else None)
    (stage,) = _stages(named, request)
    estimates = continuation(named, [0, 1], 0, stage.conditioning)
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(1), dtype=F64)
    found = estimates.denoiser.predict(x, torch.tensor([t, t]), **estimates.condition)
    score = (1 - scale) * named.denoiser.score(x, t, avoid or "") + scale * named.denoiser.score(x, t, given or "")
    torch.testing.assert_close(found.eps, -named.denoiser.schedule.at(t)[1] * score, **EXACT)
    torch.testing.assert_close(named.denoiser.schedule.add_noise(found.x0, t, found.eps), x, **EXACT)


def _stages(model, request):
    return stages_of([model], request)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return untrained((1, 8, 8), ("a", "b"), conditions={"caption": WORDS, "hair": Classes(("dark", "fair"))})


FEW = {"steps": 3}


def test_samples_have_the_texts_in_turn(model):
    both = model.sample(3, given={"caption": ["red circle", "blue"]}, **FEW)
    for index, text in enumerate(["red circle", "blue", "red circle"]):
        assert torch.equal(both[index], model.sample(indices=[index], given={"caption": text}, **FEW)[0])
    one, other = (model.sample(1, given={"caption": text}, **FEW) for text in ("Red  CIRCLE", "red circle"))
    assert torch.equal(one, other)
    absent = model.sample(1, given={"hair": "dark"}, **FEW)
    for nothing in ("", "none", None):
        assert torch.equal(model.sample(1, given={"hair": "dark", "caption": nothing}, **FEW), absent)


def test_a_class_is_avoided_as_a_text_is(model):
    """x̂ = x̂(avoid) + s (x̂(given) − x̂(avoid)), of the plain estimates."""
    options = {"given": {"hair": "dark"}, "label": "a", "guidance": {"hair": 3.0}}
    (stage,) = _stages(model, Request.of(n=1, avoid={"hair": "fair"}, **options))
    estimates = continuation(model, [0], 0, stage.conditioning)
    x, t = torch.randn(1, 1, 8, 8), torch.tensor([500])
    found = estimates.denoiser.predict(x, t, **estimates.condition).x0
    dark, fair = (
        model.denoiser.predict(x, t, **{**estimates.condition, "hair": torch.tensor([number])}).x0 for number in (0, 1)
    )
    torch.testing.assert_close(found, fair + 3 * (dark - fair), rtol=1e-4, atol=1e-5)


def test_a_walk_between_two_texts_ends_at_the_samples_of_each(model):
    walk = model.interpolate(n=3, given={"caption": ["red circle", "blue circle"]}, seed=4, **FEW)
    ends = [model.interpolate(n=2, given={"caption": text}, seed=4, **FEW)[0] for text in ("red circle", "blue circle")]
    assert torch.equal(walk[0], ends[0])
    assert torch.equal(walk[2], ends[1])
    assert not torch.equal(walk[1], walk[0])


def test_a_request_holds_the_texts_and_makes_the_samples_again(model):
    options = {"given": {"caption": "red, circle"}, "guidance": {"caption": 2.0}, "avoid": {"caption": "blue"}}
    request = Request.of(n=2, **options, **FEW)
    recipe = Request.from_json(model.process(request).recipe.to_json())
    assert (recipe.given, recipe.avoid) == ({"caption": ("red, circle",)}, {"caption": ("blue",)})
    assert torch.equal(model.make(recipe), model.sample(2, **options, **FEW))
    other = model.make(recipe.replace(avoid={"caption": "green"}))
    assert not torch.equal(model.make(recipe), other)
    assert torch.equal(model.make(recipe.replace(avoid=None)), model.sample(2, **{**options, "avoid": None}, **FEW))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"given": {"caption": 3}}, "caption cannot be 3: give a text"),
        ({"given": {"caption": []}}, "caption has no value"),
        ({"given": {"caption": "red \udcff"}}, "which is not UTF-8: save it as UTF-8"),
        ({"given": {"caption": "red\0"}}, "which contains the character NUL: remove it"),
        (
            {"given": {"caption": ["red", "日本語"]}},
            "caption cannot be '日本語', of which the model reads nothing: write it with the characters that it knows, "
            "a–e g i l n q–s u",
        ),
        (
            {"given": {"caption": "red"}, "avoid": {"caption": "語"}, "guidance": 2},
            "'語', of which the model reads nothing",
        ),
        ({"given": {"caption": "red"}, "avoid": {"caption": "blue"}}, "no effect without a scale of guidance"),
        ({"avoid": {"word": "blue"}, "guidance": 2}, "names 'word', and the conditions of the model are: label, cap"),
        ({"avoid": {"hair": "grey"}, "guidance": 2}, "hair has no class 'grey'"),
    ],
)
def test_what_words_cannot_do_is_refused_in_one_line(model, options, says):
    with pytest.raises(InputError) as error:
        model.sample(1, **options, **FEW)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


READ_IN_PART = [
    ("a 日本語 red", "of the caption 'a 日本語 red' the model read only: a red"),
    ("red €", "of the caption 'red €' the model read only: red"),
    ("bed", "no caption that the model learned has bed, or hardly one: such words are spelled from pieces"),
]


@pytest.mark.parametrize(("text", "says"), READ_IN_PART)
def test_a_text_that_is_read_in_part_is_said_in_python_and_on_the_command_line(model, run, tmp_path, text, says):
    """Of texts that are given and that are avoided, by all methods, at the line that calls them."""
    image, given, path = torch.zeros(1, 1, 8, 8), {"caption": text}, tmp_path / "model.safetensors"
    away = {"given": {"caption": "red"}, "avoid": given, "guidance": 3}
    noise = torch.randn(1, 1, 8, 8)
    for call in (
        lambda: model.sample(1, given=given, **FEW),
        lambda: model.sample(1, **away, **FEW),
        lambda: model.vary(image, n=1, given=given, **FEW),
        lambda: model.reconstruct(noise, given=given, **FEW),
        lambda: model.sweep({"caption": [text, "red"]}, **FEW),
    ):
        with pytest.warns(UserWarning, match=r"read only|spelled") as warned:
            call()
        assert {(str(one.message), one.filename) for one in warned} == {(says, __file__)}
    model.save(path)
    away = ("--given", "caption=red", "--avoid", f"caption={text}", "--guidance", 3)
    for number, words in enumerate([("--given", f"caption={text}"), away]):
        assert says in run("sample", path, "-n", 1, "--steps", 2, *words, "--out", tmp_path / f"{number}.png")


@pytest.mark.filterwarnings("error")
def test_a_text_that_is_read_whole_is_not_warned_of(model):
    model.sample(2, given={"caption": ["Red, circle!", "  "]}, **FEW)


def test_a_table_of_texts_has_what_sample_makes_in_each_cell(model):
    table = model.sweep({"caption": ["red circle", "blue, square"], "guidance": (1, 3)}, label="a", **FEW)
    away = model.sweep({"guidance": (1, 3)}, given={"caption": "red"}, avoid={"caption": "blue"}, label="a", **FEW)
    assert torch.equal(away[0, 0], model.sample(1, given={"caption": "red"}, label="a", **FEW))
    assert torch.equal(table[1, 1], model.sample(1, given={"caption": "blue, square"}, guidance=3, label="a", **FEW))


def test_the_captions_of_samples_are_their_texts(model):
    values = read_values(model.spec, {"caption": ["a red circle", "none"]})
    assert captions(values, [0, 1, 2]) == ["a red circle", "caption none", "a red circle"]
    assert values["caption"].array([2, 1]).tolist() == ["a red circle", "none"]
