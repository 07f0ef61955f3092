"""Text as tokens in JavaScript, as in Python."""

import json
import random

import pytest

from ancestral.conditions import Words
from ancestral.page.script_bundle import global_script
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
            assert sorted(answer["spelled"] + answer["unknown"]) == sorted(kind.pieces.unknown(text)), ascii(text)
            assert (answer["left"] > 0) == (len(kind.pieces.tokens(text)) > kind.length)
    page.close()
