"""Text as tokens in JavaScript, as in Python."""

import json
import random

import pytest

from ancestral.base.errors import InputError
from ancestral.conditions import Words
from ancestral.data.spec import Codec, DataSpec
from ancestral.model.condition_values import read_values
from ancestral.page.web_page import global_script
from ancestral.vocabulary import count_pieces

CAPTIONS = [
    "A red circle, left of a blue square",
    "Sunny flowers; d'été — naïve Ångström",
    "ÖL, öl, STRASSE, straße, ﬁne ﬂow, ½ cup",
    "İstanbul'da ışık, IŞIK, i̇",
    "ΟΔΥΣΣΕΥΣ σοφός ΣΑΣ'Σ α.Σ.",
    "日本語の絵, 红色的圆, 빨간 원 한글",
    "👩‍🚀 🏳️‍🌈 ❤️ 👍🏽 x👍y",
    "file_name-001.jpg (v2) [draft] {a|b} #tag @home 3×3 ①②③ ㎏ ﷺ",
    "e\u0301 \u00e9 \u1e9b\u0323 \u2581mark \u00a0\u3000\u2003\x1c\x1f\x85\ufeff\u200b\u180eend\tof\nlines\r\n",
    "",
    "   ",
    "zebra Ж ق \U0001d400\U0001d7d8 \ud800",
]


@pytest.mark.browser
def test_tokens_are_those_of_python(chromium):
    """Of captions, of pieces of them in any order, and of random characters; with what is not read as it stands."""
    drawn = random.Random(0)
    letters = [*"".join(CAPTIONS), *map(chr, range(0x250)), "\u1c80", "\U0001f9ea", "\u2028", "\u1680"]
    mixed = ["".join(drawn.choices(letters, k=drawn.randint(1, 40))) for _ in range(1500)]
    words = [" ".join(drawn.choices(" ".join(CAPTIONS).split(" "), k=30)) for _ in range(200)]
    texts = [*CAPTIONS, *map(str.upper, CAPTIONS), *mixed, *words]
    page = chromium.new_page()
    page.add_script_tag(content=global_script("shared/vocabulary.js", "Ancestral"))
    code = """([pieces, length, texts]) => texts.map(text => {
        const { tokens, ...rest } = Ancestral.tokenizer(pieces, length)(JSON.parse(text));
        return { tokens: [...tokens], ...rest }; })"""
    for pieces in (count_pieces([*CAPTIONS[:-1], *CAPTIONS[:4]]), ("\u2581a", "re", "\u2581red", "\u2581circ", "le")):
        kind = Words(pieces, 24)
        answers = page.evaluate(code, [list(pieces), kind.length, list(map(json.dumps, texts))])
        for text, answer in zip(texts, answers, strict=True):
            assert answer["tokens"] == kind.read([text])[0].tolist(), ascii(text)
            assert (answer["spelled"], answer["skips"]) == (kind.pieces.in_pieces(text), kind.pieces.skips(text)), (
                ascii(text)
            )
            assert (answer["left"] > 0) == (len(kind.pieces.tokens(text)) > kind.length)
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize(
    "pieces", [("\u2581a", "c", "a", "b", "e", ",", "-"), count_pieces(CAPTIONS[:8])], ids=["few", "many"]
)
def test_what_is_not_read_is_said_as_in_python(chromium, pieces):
    """A refusal or a note of each text, by the same sentence in a browser and in Python."""
    kind = Words(pieces, 24, example="a 'b'")
    spec = DataSpec((1, 8, 8), Codec("uint8"), conditions={"caption": kind})
    texts = [
        "a Ω b",
        "日本語",
        "本",
        "it's \u0416",
        'say "\u0416"',
        "\u0416\n\u0416 'x' \"y\"",
        "a, \u00e9 \u20ac",
        "\u2192" * 99,
        "!",
        " ",
    ]
    page = chromium.new_page()
    page.add_script_tag(content=global_script("shared/vocabulary.js", "Ancestral"))
    code = """([kind, texts]) => texts.map(text => {
        const reading = Ancestral.tokenizer(kind.vocabulary, kind.length)(text);
        return ["refusal", "readInPart"].map(one => Ancestral[one]("caption", text, kind, reading)); })"""
    said = page.evaluate(code, [{"vocabulary": list(pieces), "length": 24, "example": kind.example}, texts])
    page.close()
    for text, each in zip(texts, said, strict=True):
        assert each == _said_in_python(spec, text)


def _said_in_python(spec, text):
    """The refusal of a text, and the note on what was read of it."""
    try:
        notes = read_values(spec, {"caption": text})["caption"].beyond("caption")
    except InputError as error:
        return [str(error), ""]
    return ["", *([one for one in notes if "read only" in one] or [""])]
