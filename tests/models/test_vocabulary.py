"""Visual words are ordinary words that text never produces."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import transformers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from models.vocabulary import Vocabulary, extend_tokenizer, visual_path, visual_word
from tests.models.small_encoders import PIECES, save_tokenizer

N_TEXT = len(PIECES)


@pytest.fixture(scope="module")
def cased(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    """The same of a tokenizer that keeps case and accents."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    return extend_tokenizer(save_tokenizer(source, lowercase=False), 12, 4, target)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    """Twelve to the fourth visual words after the text words."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    return extend_tokenizer(save_tokenizer(source), 12, 4, target)


def test_ids_follow_text_in_the_order_of_the_tree(extended: PreTrainedTokenizerFast) -> None:
    assert len(extended) == N_TEXT + 1 + 12**4
    assert extended.convert_tokens_to_ids("[>]") == N_TEXT
    assert extended.convert_tokens_to_ids("<v:0.0.0.0>") == N_TEXT + 1
    assert extended.convert_tokens_to_ids("<v:3.0.11.7>") == N_TEXT + 1 + ((3 * 12 + 0) * 12 + 11) * 12 + 7
    assert extended.convert_ids_to_tokens(len(extended) - 1) == "<v:11.11.11.11>"


def test_decode_shows_visual_words(extended: PreTrainedTokenizerFast) -> None:
    ids = [*extended("stir the soup", add_special_tokens=False)["input_ids"], N_TEXT, N_TEXT + 1 + 5335]
    assert extended.decode(ids) == "stir the soup [>] <v:3.1.0.7>"


def test_text_words_keep_their_ids(extended: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    plain = save_tokenizer(tmp_path)
    text = "Now: stir [the] soup, café-cutting 42.7 [MASK] <v:3>"
    assert extended(text)["input_ids"] == plain(text)["input_ids"]
    assert extended.convert_ids_to_tokens(range(N_TEXT)) == list(PIECES)


VISUAL = "<v:3.0.11.7>"
ADVERSARIAL = [
    "[>]",
    VISUAL,
    f"a{VISUAL}b",
    f"##{VISUAL}",
    f"soup##{VISUAL}##soup",
    f"{VISUAL}{VISUAL}[>]{VISUAL}",
    f"[MASK]{VISUAL}[SEP][>][SEP]",
    f"[CLS] [>] {VISUAL} [SEP]",
    VISUAL.upper(),
    "<\u200bv:3.0.11.7>",
    "\u2062".join(VISUAL),
    "\ufeff" + VISUAL + "\u00ad",
    "≮v:3.0.11.7≯",  # decompose into < and > with a stroke, which is stripped like an accent
    "[≯]",
    "＜v：3．0．11．7＞",
    "[\u0338>]",
    "<v\u0301:3.0.11.7>",
    "<v:３.０.１１.７>",
    "\t[>]\n<v:3.0.11.7>\r",
    "&lt;v:3.0.11.7&gt;",
    "\x00[>]\x7f",
]


@pytest.mark.parametrize("text", ADVERSARIAL)
def test_no_text_produces_a_visual_word(
    extended: PreTrainedTokenizerFast, cased: PreTrainedTokenizerFast, text: str
) -> None:
    for tokenizer in (extended, cased):
        for ids in (
            tokenizer(text)["input_ids"],
            tokenizer(f"now{text}soup")["input_ids"],
            tokenizer(text, split_special_tokens=True)["input_ids"],
            tokenizer([text], is_split_into_words=True)["input_ids"],
            tokenizer("soup", text)["input_ids"],
        ):
            assert max(ids) < N_TEXT, tokenizer.convert_ids_to_tokens(ids)


def test_no_random_text_produces_a_visual_word(extended: PreTrainedTokenizerFast) -> None:
    draw = random.Random(0)
    pieces = ["<v:", ">", "[", "]", "[>]", VISUAL, "##", "<", ":", ".", "v", "V", "3", "11", " ", "\u200b", "\u0338"]
    texts = ["".join(draw.choices(pieces, k=draw.randrange(1, 12))) for _ in range(20_000)]
    names = [visual_word(token, 12, 4) for token in range(12**4)]
    for ids in extended([*texts, *names], add_special_tokens=False)["input_ids"]:
        assert max(ids, default=0) < N_TEXT


def test_vocabulary_numbers_and_names_the_visual_words(extended: PreTrainedTokenizerFast) -> None:
    vocabulary = Vocabulary.of(extended)
    assert (vocabulary.n_text, vocabulary.n_visual) == (N_TEXT, 20_736)
    assert (vocabulary.branching, vocabulary.depth) == (12, 4)
    assert (vocabulary.pad, vocabulary.cls, vocabulary.sep, vocabulary.mask) == (0, 2, 3, 4)
    assert vocabulary.word(vocabulary.join) == "[>]"
    tokens = np.array([0, 1, 12, 20_735], np.uint16)
    ids = vocabulary.visual_ids(tokens)
    assert [vocabulary.word(i) for i in ids] == ["<v:0.0.0.0>", "<v:0.0.0.1>", "<v:0.0.1.0>", "<v:11.11.11.11>"]
    assert vocabulary.visual_ids([]).tolist() == []


def test_tokens_of_another_codebook_are_refused(extended: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match="visual word 20736, but the tokenizer has 20736"):
        Vocabulary.of(extended).visual_ids([7, 20_736])


def test_a_plain_tokenizer_has_no_visual_words(tmp_path: Path) -> None:
    vocabulary = Vocabulary.of(save_tokenizer(tmp_path))
    assert (vocabulary.n_text, vocabulary.n_visual) == (N_TEXT, 0)
    with pytest.raises(ValueError, match="the tokenizer has 0"):
        vocabulary.visual_ids([0])


def test_names_are_paths() -> None:
    assert visual_word(5335, 12, 4) == "<v:3.1.0.7>"
    assert visual_word(3, 5, 1) == "<v:3>"
    for branching, depth in ((2, 5), (12, 2), (7, 1)):
        paths = [visual_path(visual_word(token, branching, depth)) for token in range(branching**depth)]
        assert paths == list(itertools.product(range(branching), repeat=depth))
    assert visual_path("[>]") == visual_path("<v:>") == visual_path("soup") == ()


def test_what_sentence_encoders_cut_and_pad_to_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    tokenizer = save_tokenizer(tmp_path / "source")
    tokenizer.backend_tokenizer.enable_truncation(5)
    tokenizer.backend_tokenizer.enable_padding(length=5)
    tokenizer.save_pretrained(tmp_path / "source")
    source = AutoTokenizer.from_pretrained(tmp_path / "source")
    backend = extend_tokenizer(source, 2, 2, tmp_path / "target").backend_tokenizer
    assert len(backend.encode("stir " * 10).ids) == 12
    assert len(backend.encode("stir").ids) == 3


def test_added_tokens_of_the_source_keep_their_ids(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    tokenizer = save_tokenizer(tmp_path / "source")
    tokenizer.add_tokens(["béchamel"])
    extended = extend_tokenizer(tokenizer, 2, 2, tmp_path / "target")
    assert extended.convert_tokens_to_ids("béchamel") == N_TEXT
    assert Vocabulary.of(extended).n_text == N_TEXT + 1
    assert extended("stir the béchamel")["input_ids"] == tokenizer("stir the béchamel")["input_ids"]


def test_written_bytes_depend_on_nothing_but_the_words(tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        extend_tokenizer(save_tokenizer(tmp_path / name), 3, 2, tmp_path / name / "out")
        written.append({p.name: p.read_bytes() for p in (tmp_path / name / "out").iterdir()})
    assert written[0] == written[1]
    lines = written[0]["vocab.txt"].decode().splitlines()
    assert lines == [*PIECES, "[>]", *(visual_word(t, 3, 2) for t in range(9))]


def test_extending_twice_is_refused(extended: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds '\[>\]' already"):
        extend_tokenizer(extended, 12, 4, tmp_path)
    assert not list(tmp_path.iterdir())


def test_byte_level_tokenizers_are_refused_by_name(tmp_path: Path) -> None:
    vocab = {token: i for i, token in enumerate(("<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b"))}
    roberta = transformers.RobertaTokenizer(vocab=vocab, merges=[])
    with pytest.raises(ValueError, match=r"BPE behind ByteLevel, not BERT's WordPiece: models of the types bert,"):
        extend_tokenizer(roberta, 12, 4, tmp_path)
