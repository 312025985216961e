import pytest

from stages.video.speech.cues import Cue, cue_words, spoken


def cue(start_s: float, end_s: float, text: str) -> Cue:
    return Cue(start_s, end_s, [(start_s, text)])


def text(cues: list[Cue]) -> str:
    return "".join(w.text for w in cue_words(cues)).strip()


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("[Music] now cut [laughs] it", "now cut it"),
        ("(applause) thank you (upbeat music plays)", "thank you"),
        ("flour (about 2 cups) and milk", "flour (about 2 cups) and milk"),
        ("♪ la la la ♪ so", "so"),
        ("♪ la la\nla ♪\nso", "so"),
        ("♪ la la la", ""),
        (">> hello >>> you", "hello you"),
        ("- Hot?\n- Yes.", "Hot? Yes."),
        ("JOHN: stir it\nMrs. Hall: no", "stir it Mrs. Hall: no"),
        ("salt &amp; pepper&nbsp;&gt;&gt; &lt;3", "salt & pepper <3"),
        ("<i>very</i> <c.colorE5E5E5>hot</c>\u200b {\\an8}oil", "very hot oil"),
        ("350° (or 180) 1 < 2", "350° (or 180) 1 < 2"),
    ],
)
def test_only_what_is_said_is_kept(shown: str, said: str) -> None:
    assert " ".join(spoken(shown).split()) == said


def test_many_open_brackets_take_no_time() -> None:
    assert len(spoken("(" * 20_000 + "word " * 20_000)) > 100_000


def test_roll_up_captions_say_every_word_once() -> None:
    lines = ["so today we", "make a soup", "make a stew", "with onions"]
    cues, before = [], ""
    for i, line in enumerate(lines):
        cues.append(cue(2.0 * i, 2.0 * i + 1.99, f"{before}\n{line}"))
        cues.append(cue(2.0 * i + 1.99, 2.0 * i + 2.0, line))
        before = line
    assert text(cues) == " ".join(lines)
    starts = {w.text.strip(): w.start_s for w in cue_words(cues)}
    assert starts["so"] == 0.0
    assert starts["with"] == 6.0


def test_a_line_that_grows_is_one_line() -> None:
    assert text([cue(0, 1, "cut"), cue(1, 2, "cut the"), cue(2, 3, "cut the onion")]) == "cut the onion"


def test_people_may_repeat_themselves() -> None:
    cues = [cue(0, 1, "Stir."), cue(1, 2, "Stir."), cue(2, 3, "And again."), cue(3, 4, "Good."), cue(9, 10, "Good.")]
    assert text(cues) == "Stir. Stir. And again. Good. Good."
    assert text([cue(0, 1, "add the onions"), cue(1, 2, "onions and garlic")]) == "add the onions onions and garlic"


def test_a_cue_that_stands_alone_has_the_times_of_its_words() -> None:
    words = cue_words([cue(1, 9, "now fry it"), cue(9, 12, "stir")])
    assert [(w.start_s, w.end_s) for w in (words[0], words[2], words[3])] == [(1, pytest.approx(4)), (7, 9), (9, 12)]


def test_words_of_overlapping_cues_end_when_they_were_said() -> None:
    first, second, third = cue_words([cue(1, 9, "stir"), cue(8, 12, "fry"), cue(20, 30, "serve")])
    assert [w.start_s for w in (first, second, third)] == [1, 8, 20]
    assert all(0.3 < w.end_s - w.start_s < 1 for w in (first, second, third))


def test_a_cue_ends_where_the_next_begins() -> None:
    first, second = cue_words([cue(5, 9, "onions"), cue(5.3, 9, "fry")])
    assert (first.start_s, first.end_s) == (5, 5.3)
    assert second.start_s == 5.3


def test_order_of_cues_does_not_matter_and_empty_ones_neither() -> None:
    cues = [cue(2, 3, "fry it"), cue(0, 1, "cut it"), cue(1.2, 9, "[Music]")]
    assert text(cues) == "cut it fry it"


def test_times_inside_a_cue_are_kept_and_syllables_joined() -> None:
    words = cue_words([Cue(0, 3, [(0, "cut"), (0.5, " the"), (1.0, " on"), (1.4, "ion")])])
    assert [(w.text, w.start_s) for w in words] == [(" cut", 0), (" the", 0.5), (" on", 1.0), ("ion", 1.4)]
    assert [w.end_s for w in words[:3]] == pytest.approx([0.49, 0.99, 1.4])


def test_a_cue_without_a_duration_lasts_as_long_as_its_words() -> None:
    (word,) = cue_words([cue(4, 4, "onion")])
    assert 4.3 < word.end_s < 5
