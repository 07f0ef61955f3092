"""Text as tokens: pieces that are counted, words that are spelled, and text again."""

from ancestral.vocabulary import Vocabulary, count_pieces, words

CAPTIONS = ["A red circle, left of a blue square", "a RED sunflower", "sunny flowers; d'été"]


def test_captions_are_tokens_and_text_again():
    vocabulary = Vocabulary(count_pieces(CAPTIONS))
    for caption in CAPTIONS:
        assert words(vocabulary.text(vocabulary.tokens(caption))) == words(caption)
    assert vocabulary.text(vocabulary.tokens(CAPTIONS[0])) == "a red circle, left of a blue square"


def test_words_that_occur_twice_are_one_token_and_others_are_spelled():
    vocabulary = Vocabulary(count_pieces(CAPTIONS))
    assert [vocabulary.pieces[token] for token in vocabulary.tokens("a red cab")] == ["▁a", "▁red", "▁c", "a", "b"]
    assert vocabulary.in_pieces("a red cab, a Ωcab") == ["cab"]
    assert [vocabulary.skips(text) for text in ("a red cab!", "a Ωcab", "5 €", "d'été")] == [False, True, True, False]
    assert [vocabulary.rest("A red cab, a", length) for length in (1, 4, 5, 7)] == ["red cab , a", "cab , a", ", a", ""]
    assert vocabulary.text(vocabulary.tokens("Ω cΩab")) == "cab"  # no caption has the letter


def test_parts_that_many_words_share_are_pieces():
    pieces = count_pieces([f"{letter}otion {letter}unify" for letter in "bcdfghjklm"])
    assert {"otion", "unify"[1:]} <= set(pieces)
    assert Vocabulary(pieces).tokens("zotion")[0] == pieces.index("otion")


def test_the_vocabulary_does_not_depend_on_the_order_of_captions_and_has_a_largest_size():
    assert count_pieces(CAPTIONS) == count_pieces(CAPTIONS[::-1])
    many = [f"word{number}" for number in range(1000)] * 2
    assert len(count_pieces(many, 100)) == 100
