import csv
import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import Rejected, UserError
from stages.text import tables
from stages.text.tables import Form

PLAIN, QUOTED = Form(quotes=False), Form(quotes=True)


def read(path: Path, form: Form) -> list[tuple[str, dict] | tuple[str, str]]:
    lines = [line for block in tables.cut(path, "train", form) for line in tables.rows(block, form)]
    return [(line.item, line.reason) if isinstance(line, Rejected) else (line.at, line.cells) for line in lines]


def test_without_quotes_a_cell_is_what_stands_between_tabs(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b'\xef\xbb\xbftext\tlabel\r\n"unbalanced, \xe2\x80\xa8 one line\t1\r\n\r\nb\t0')
    assert tables.columns_of(path, PLAIN) == ("text", "label")
    assert read(path, PLAIN) == [
        ("a.tsv:2", {"text": '"unbalanced, \u2028 one line', "label": "1"}),
        ("a.tsv:4", {"text": "b", "label": "0"}),
    ]


def test_a_quoted_cell_holds_separators_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,label\n"one, ""two""\nthree",x\nfour,y\n')
    assert read(path, QUOTED) == [
        ("a.csv:2", {"text": 'one, "two"\nthree', "label": "x"}),
        ("a.csv:4", {"text": "four", "label": "y"}),
    ]


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ('text,label\n"open,x\nb,x\n"c\nd",x\ne,x\n', {"a.csv:3": "b", "a.csv:4": "c\nd", "a.csv:6": "e"}),
        ('text\n"open\nb\n', {"a.csv:3": "b"}),
    ],
)
def test_a_quotation_mark_that_is_not_closed_costs_one_row(text: str, others: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    stray, *found = read(path, QUOTED)
    assert stray == ("a.csv:2", tables.STRAY)
    assert {at: row["text"] for at, row in found} == others  # type: ignore[index]


def test_lines_of_json_by_whatever_name(tmp_path: Path) -> None:
    form = Form(quotes=False, json=True)
    (tmp_path / "a.json").write_text('{"text": "a"}\n{"text": "b"}\n')
    assert tables.columns_of(tmp_path / "a.json", form) == ("text",)
    assert read(tmp_path / "a.json", form) == [("a.json:1", {"text": "a"}), ("a.json:2", {"text": "b"})]
    (tmp_path / "a.jsonl").write_text("x y\n")
    cells = Form(quotes=False, columns=("one", "two"), separator=" ")
    assert read(tmp_path / "a.jsonl", cells) == [("a.jsonl:1", {"one": "x", "two": "y"})]


def test_a_format_is_told_by_most_of_the_first_lines(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("\n\nbroken\n" + "a b\n" * 30)
    lines = tables.first_lines(tmp_path / "a")
    assert (lines[:2], len(lines)) == (["broken", "a b"], 20)
    assert tables.commonest(len(line.split()) for line in lines) == 2
    assert tables.commonest([None, "x", "y"]) == "x"
    assert tables.commonest([None]) is None


def test_bad_rows_are_named_with_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"text\tlabel\na\tb\tc\ncaf\xe9\t1\ngood\t1\n")
    assert read(tmp_path / "a.tsv", PLAIN) == [
        ("a.tsv:2", "3 columns instead of 2 (text, label)"),
        ("a.tsv:3", "not UTF-8: save the file in that encoding"),
        ("a.tsv:4", {"text": "good", "label": "1"}),
    ]
    (tmp_path / "a.jsonl").write_text('{"text": "a"\n[1]\n\n{"text": "b"}\n')
    at, reasons = zip(*read(tmp_path / "a.jsonl", PLAIN), strict=True)
    assert at == ("a.jsonl:1", "a.jsonl:2", "a.jsonl:4")
    assert [reasons[0][:8], reasons[1][:9], reasons[2]] == ["not JSON", "not a row", {"text": "b"}]


def test_two_stray_quotation_marks_cost_a_row_each(tmp_path: Path) -> None:
    """Together they look like a cell of several lines, which goes on behind its end."""
    rows = [f'"oops {i},x' if i in (2, 6) else f"row {i},x" for i in range(8)]
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"{row}\n" for row in rows) + '"two\nlines",y\n')
    found = read(tmp_path / "a.csv", QUOTED)
    assert [at for at, cells in found if cells == tables.STRAY] == ["a.csv:4", "a.csv:8"]
    texts = [cells["text"] for _, cells in found if isinstance(cells, dict)]
    assert texts == [*(f"row {i}" for i in range(8) if i not in (2, 6)), "two\nlines"]


@pytest.mark.parametrize("size", [1, 30, 70, 10_000])
@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl", ".parquet"])
def test_blocks_of_any_size_hold_every_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    texts = [f"text number {i}" for i in range(20)]
    if suffix == ".parquet":
        pq.write_table(pa.table({"text": texts}), path, row_group_size=7)
    elif suffix == ".jsonl":
        path.write_text("".join(f'{{"text": "{t}"}}\n' for t in texts))
    elif suffix == ".csv":
        texts = [t.replace(" ", "\n", 1) for t in texts]
        path.write_text("text\n" + "".join(f'"{t}"\n' for t in texts))
    else:
        path.write_text("text\n" + "\n".join(texts))
    monkeypatch.setattr(tables, "BLOCK_BYTES", size)
    rows = read(path, QUOTED)
    assert [cells["text"] for _, cells in rows] == texts
    step, first = {".csv": (2, 2), ".tsv": (1, 2)}.get(suffix, (1, 1))
    assert [at for at, _ in rows] == [f"a{suffix}:{first + step * i}" for i in range(20)]
    parts = tables.as_parts(tables.cut(path, "train", QUOTED))
    assert sum(1 for (p,) in parts for b in tables.blocks_of(p) for _ in tables.rows(b, QUOTED)) == 20


def test_files_that_are_no_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        tables.find_files(str(tmp_path / "*.csv"))
    (tmp_path / "a.docx").touch()
    with pytest.raises(UserError, match="give a table as"):
        tables.find_files(str(tmp_path / "a.docx"))
    with pytest.raises(UserError, match="is a folder, give a file or a glob"):
        tables.find_files(str(tmp_path))
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").mkdir()
    assert tables.find_files(str(tmp_path / "*.csv")) == [tmp_path / "a.csv"]


def test_a_quotation_mark_inside_a_cell_opens_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is cut after it where it would be cut without it: between rows, and not within quoted cells."""
    monkeypatch.setattr(tables, "BLOCK_BYTES", 20)
    path = tmp_path / "a.csv"
    path.write_text('text,label\na 5" pipe,"x"\n' + '"one, ""two""\n""three",y\n4" or,"four\nmore"\n' * 10)
    found = read(path, QUOTED)
    assert found[0] == ("a.csv:2", {"text": 'a 5" pipe', "label": "x"})
    assert found[1:] == [
        row
        for line in range(3, 43, 4)
        for row in (
            (f"a.csv:{line}", {"text": 'one, "two"\n"three', "label": "y"}),
            (f"a.csv:{line + 2}", {"text": '4" or', "label": "four\nmore"}),
        )
    ]
    assert len(list(tables.cut(path, "train", QUOTED))) > 10


def test_where_a_line_ends_is_told_as_the_reader_of_csv_tells_it(tmp_path: Path) -> None:
    """Of every text of six characters: a block ends after the first line only where a row does."""
    for cells in itertools.product('",a', repeat=6):
        line = "".join(cells)
        (row, *_) = csv.reader([f"{line}\n", '"\n'])
        assert tables._inside(f"{line}\n".encode(), False, b",") == ("\n" in row[-1]), line


@pytest.mark.parametrize("form", [Form(False, columns=("text",), separator="\t"), Form(False, json=True), QUOTED])
def test_a_mark_of_the_byte_order_is_no_text(tmp_path: Path, form: Form) -> None:
    text = '{"text": "a"}' if form.json else "a" if form.columns else '"text"\na'
    (tmp_path / "a.csv").write_bytes(tables.BOM + f"{text}\n".encode())
    assert tables.columns_of(tmp_path / "a.csv", form) == ("text",)
    assert [cells for _, cells in read(tmp_path / "a.csv", form)] == [{"text": "a"}]
    assert tables.first_lines(tmp_path / "a.csv")[0] == text.split("\n")[0]


@pytest.mark.parametrize("begin", [b"\n \r\n", tables.BOM + b"\n\n"])
def test_blank_lines_before_the_first_are_passed_over(tmp_path: Path, begin: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(begin + b"text,label\na,b\n")
    assert tables.columns_of(tmp_path / "a.csv", QUOTED) == ("text", "label")
    assert read(tmp_path / "a.csv", QUOTED) == [("a.csv:4", {"text": "a", "label": "b"})]
    (tmp_path / "a.jsonl").write_bytes(begin + b'{"text": "a"}\n')
    assert tables.columns_of(tmp_path / "a.jsonl", PLAIN) == ("text",)
    assert read(tmp_path / "a.jsonl", PLAIN) == [("a.jsonl:3", {"text": "a"})]
    (tmp_path / "b.csv").write_bytes(begin)
    assert (tables.columns_of(tmp_path / "b.csv", QUOTED), read(tmp_path / "b.csv", QUOTED)) == ((), [])


def test_a_file_is_called_by_its_name_where_no_other_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert tables.names_of(["/x/a.csv", "y/b.csv", "b/../y/b.csv"]) == {
        **{"/x/a.csv": "a.csv", "y/b.csv": "b.csv", "b/../y/b.csv": "b.csv"}
    }
    names = tables.names_of([f"{tmp_path}/a.csv", "y/a.csv", "/x/b.csv"])
    assert names == {f"{tmp_path}/a.csv": "a.csv", "y/a.csv": "y/a.csv", "/x/b.csv": "b.csv"}
