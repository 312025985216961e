import json
from pathlib import Path

import pytest

from stages.video.speech.captions import read_captions

YOUTUBE_VTT = """WEBVTT
Kind: captions
Language: en-US

00:00:00.000 --> 00:00:02.310 align:start position:0%
{blank}
hello<00:00:00.480><c> and</c><00:00:00.960><c> welcome</c>

00:00:02.310 --> 00:00:02.320 align:start position:0%
hello and welcome
{blank}

00:00:02.320 --> 00:00:04.000 align:start position:0%
hello and welcome
to<00:00:02.600><c> my</c><00:00:03.000><c> kitchen</c>

00:00:04.000 --> 00:00:04.010 align:start position:0%
to my kitchen
{blank}

01:00:06.000 --> 01:00:08.000 align:start position:0%
{blank}
[Music]

01:00:08.000 --> 01:00:09.000 align:start position:0%
&gt;&gt;<01:00:08.100><c> now</c><01:00:08.600><c> cut</c>
""".replace("{blank}", " ")

YOUTUBE_JSON3 = {
    "wireMagic": "pb3",
    "events": [
        {"tStartMs": 0, "dDurationMs": 500000, "id": 1, "wpWinPosId": 1},
        {
            "tStartMs": 80,
            "dDurationMs": 4320,
            "wWinId": 1,
            "segs": [{"utf8": "hello", "acAsrConf": 0}, {"utf8": " and", "tOffsetMs": 400}],
        },
        {"tStartMs": 2310, "dDurationMs": 2090, "wWinId": 1, "aAppend": 1, "segs": [{"utf8": "\n"}]},
        {"tStartMs": 2320, "dDurationMs": 4000, "wWinId": 1, "segs": [{"utf8": "welcome"}]},
        {"tStartMs": 9000, "dDurationMs": 1000, "segs": [{"utf8": "[Music]"}]},
    ],
}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def starts(path: Path) -> list[tuple[str, float]]:
    return [(w.text.strip(), round(w.start_s, 3)) for w in read_captions(path)[0]]


def test_youtubes_webvtt_gives_each_word_once_at_its_own_time(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vtt", YOUTUBE_VTT)
    expected = [("hello", 0.0), ("and", 0.48), ("welcome", 0.96), ("to", 2.32), ("my", 2.6), ("kitchen", 3.0)]
    assert starts(path) == [*expected, ("now", 3608.1), ("cut", 3608.6)]
    assert read_captions(path)[1] == "en"


def test_youtubes_json3_gives_each_word_at_its_own_time(tmp_path: Path) -> None:
    path = write(tmp_path / "a.de.json3", json.dumps(YOUTUBE_JSON3))
    assert starts(path) == [("hello", 0.08), ("and", 0.48), ("welcome", 2.32)]
    assert read_captions(path)[1] == "de"


def test_subrip(tmp_path: Path) -> None:
    srt = "\n1\n00:00:01,000 --> 00:00:02,000\n<i>Cut it</i>\n\n2\n00:01:03,500 --> 00:01:04,000\nThen fry.\n"
    path = write(tmp_path / "my.video.srt", srt)
    assert starts(path)[::2] == [("Cut", 1.0), ("Then", 63.5)]
    assert read_captions(path)[1] is None


CUT = "00:00:01,000 --> 00:00:02,000"
FRY = "00:00:03,000 --> 00:00:04,000"


@pytest.mark.parametrize(
    "text",
    [
        f"{CUT}\ncut it\n\n{FRY}\nfry it\n",
        f"1 \n{CUT} \ncut it\n\n2 \n{FRY} \nfry it\n",
        f"made by hand\n\n1\n{CUT}\ncut it\n\n2\n{FRY}\nfry it",
        f"1\n{CUT}\ncut it\n2\n{FRY}\nfry it\n",
        f"1\n{CUT}\n\ncut\n\nit\n\n2\n{FRY}\nfry it\n",
        f"1\n{CUT} X1:1 X2:2\ncut it\n\n2\n{FRY}\nfry it\n",
        f"1\n{CUT}\ncut it\n\n2\n{FRY}\nfry it\n".replace(",000", ""),
    ],
)
def test_subrip_as_it_is_about(tmp_path: Path, text: str) -> None:
    expected = [("cut", 1.0), ("it", 1.6), ("fry", 3.0), ("it", 3.6)]
    assert starts(write(tmp_path / "a.srt", text)) == expected
    assert starts(write(tmp_path / "A.SRT", text.replace("\n", "\r\n"))) == expected


@pytest.mark.parametrize(
    "text",
    [
        f"{CUT}\ncut it\n\n{FRY}\nfry it\n",
        f"1\n{CUT} line:0\n<v Roger Bingham>cut it\n\nsecond\n{FRY}\nfry it\n",
        f"NOTE a comment\nof two lines\n\n{CUT}\ncut it\n\nNOTE one\n\nNOTE\nother\n\n{FRY}\nfry it\n\nNOTE end",
        f"STYLE\n::cue {{ color: red }}\n\nREGION\nid:fred\n\n{CUT}\n\ncut it\n\n{FRY}\nfry it\n",
    ],
)
def test_webvtt_as_it_is_about(tmp_path: Path, text: str) -> None:
    expected = [("cut", 1.0), ("it", 1.6), ("fry", 3.0), ("it", 3.6)]
    assert starts(write(tmp_path / "a.vtt", f"WEBVTT - a title\n\n{text}")) == expected
    points = text.replace(",000", ".000").replace("00:00:", "00:")
    assert starts(write(tmp_path / "A.VTT", f"WEBVTT\n{points}")) == expected


def test_an_arrow_is_text_where_there_is_no_time(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vtt", f"WEBVTT\n\n{CUT}\ncut --> it\n\n{FRY}\nfry it\n")
    assert [w for w, _ in starts(path)] == ["cut", "-->", "it", "fry", "it"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes("1\r\n00:00:01,000 --> 00:00:02,000\r\ncrème brûlée\r\n".encode(encoding))
    assert [w for w, _ in starts(path)] == ["crème", "brûlée"]


def test_many_lines_without_a_word_take_no_time(tmp_path: Path) -> None:
    assert starts(write(tmp_path / "a.vtt", f"WEBVTT\n\n{CUT}\n" + "\n" * 20_000 + "1:1 " * 20_000)) != []


def test_no_captions_are_no_words(tmp_path: Path) -> None:
    assert starts(write(tmp_path / "a.vtt", "WEBVTT\n")) == []
    assert starts(write(tmp_path / "a.json3", '{"events": []}')) == []


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.vtt", "00:01.000 --> 00:02.000\nhi\n", "not a WebVTT file"),
        ("a.srt", "hi", "not a SubRip file"),
        ("a.srt", "", "the file is empty"),
        ("a.srt", f"1\n{CUT}\ncut it\n\n2\n00:00:O3 --> 00:00:04\nfry it\n", "line 6, '00:00:O3 --> 00:00:04', is not"),
        ("a.vtt", "WEBVTT\n\n00:99:03.000 --> 00:04.000\nhi\n", "line 3, '00:99:03.000 --> 00:04.000', is not"),
        ("a.json3", '{"events": [', "not JSON"),
        ("a.json3", '{"captions": []}', "not YouTube's json3"),
        ("a.json3", '{"events": [3]}', "not YouTube's json3"),
    ],
)
def test_a_broken_file_is_named_with_what_to_do(tmp_path: Path, name: str, text: str, reason: str) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(ValueError, match=f"{path}: {reason}.*; mend it, or remove it"):
        read_captions(path)


def test_a_missing_or_unknown_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.vtt: no such file"):
        read_captions(tmp_path / "gone.vtt")
    with pytest.raises(ValueError, match=r"a\.ass: captions are read from \.json3, \.vtt, \.srt"):
        read_captions(tmp_path / "a.ass")
