"""The formats that test collections come in, read as records with an id, a title and a text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pipeline import Rejected, UserError
from stages.text import tables
from stages.text.source_files import find_files

Kind = Literal["smart", "trec", "jsonl", "tsv", "top1000"]
IDS = ("doc_id", "query_id", "id", "_id", "docid", "docno", "pid", "qid")
"""The names of an id in JSON lines; the first that is there counts."""
TEXTS = ("text", "contents", "passage", "segment", "body", "query")

TSV = {
    2: ("id", "text"),
    3: ("id", "title", "text"),
    4: ("id", "url", "title", "text"),
}
"""Columns of headerless TSV files by their number: MS MARCO's passages and queries, and its documents."""
TOP1000 = tables.Form(quotes=False, columns=("query_id", "doc_id", "query", "text"), separator="\t")
"""MS MARCO's top1000 files: candidates with their texts."""

BEFORE = "stands before the first .I"
"""Why lines of SMART files are rejected that are no record."""
COMPRESSED = (b"\x1f\x8b", b"\x1f\x9d")
"""How files begin that gzip and compress wrote."""
_SMART_ID = re.compile(r"\.I\s+(\S+)\s*$")
_SMART_FIELD = re.compile(r"\.([A-Z])\s*$")
_TAG = re.compile(r"<[^>]*>")
_TREC_TITLE = ("title", "headline", "head", "hl", "ttl", "ti")


class Record(NamedTuple):
    """A document or query as its file has it. Blank space is single; ``fold`` only where the file names it."""

    at: str
    id: str
    title: str
    text: str
    fold: int | None = None


def find(pattern: str) -> list[Path]:
    """The file, those in a folder, or those that a glob matches, in order. UserError where there is none, or one is
    compressed."""
    found = find_files(pattern)
    for file in found:
        if _begin(file) in COMPRESSED:
            raise UserError(f"{file}: is compressed; unpack it first")
    return found


def _begin(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(2)


def kind_of(path: Path) -> Kind:
    """The format, by the first line that is of one. UserError where none of the first lines is."""
    for line in tables.first_lines(path):
        if _SMART_ID.match(line):
            return "smart"
        if line.lstrip().lower().startswith(("<doc", "<top")):
            return "trec"
        if line.lstrip().startswith("{"):
            return "jsonl"
        cells = line.split("\t")
        if len(cells) == 4 and cells[0].isdigit() and cells[1].isdigit():
            return "top1000"
        if len(cells) in TSV:
            return "tsv"
    raise UserError(
        f"{path}: its first lines are none of a collection: give SMART (.I 1), TREC (<DOC>, <top>), JSON lines, "
        "or TSV with an id and a text"
    )


def blocks(path: Path, kind: Kind) -> Iterator[tables.Block]:
    """A file's blocks: of formats with several lines a record the whole file."""
    if kind in ("smart", "trec"):
        yield tables.Block(str(path), "", 0, path.stat().st_size, 1)
    else:
        yield from tables.cut(path, "", _form(path, kind))


def records(block: tables.Block, kind: Kind, what: Literal["documents", "queries"]) -> Iterator[Record | Rejected]:
    """The documents or queries of a block; of a top1000 file those of each line, one after another."""
    path = Path(block.path)
    if kind in ("smart", "trec"):
        yield from map(_decoded, _smart(path) if kind == "smart" else _trec(path))
    else:
        for row in tables.rows(block, _form(path, kind)):
            if isinstance(row, Rejected):
                yield row
            elif kind == "top1000":
                id_, text = ("doc_id", "text") if what == "documents" else ("query_id", "query")
                yield Record(row.at, row.cells[id_], "", _plain(row.cells[text]))
            else:
                yield _of_cells(row.at, row.cells)


def _form(path: Path, kind: Kind) -> tables.Form:
    if kind == "top1000":
        return TOP1000
    if kind == "jsonl":
        return tables.Form(quotes=False, json=True)
    columns = tables.commonest(TSV.get(len(line.split("\t"))) for line in tables.first_lines(path))
    return tables.Form(quotes=False, columns=columns or TSV[2], separator="\t")


def _of_cells(at: str, cells: Mapping[str, Any]) -> Record | Rejected:
    id_ = next((cells[name] for name in IDS if cells.get(name) not in (None, "")), None)
    text = next((cells[name] for name in TEXTS if cells.get(name) is not None), None)
    if id_ is None or text is None:
        lacking, names = ("an id", IDS) if id_ is None else ("a text", TEXTS)
        return Rejected(at, f"has no column with {lacking} (one of {', '.join(names)})")
    fold = cells.get("fold")
    if fold is not None and (not isinstance(fold, int) or fold < 0):
        return Rejected(at, f"its fold is {json.dumps(fold)}, not a number from 0 on")
    title = cells.get("title")
    return Record(at, str(id_), "" if title is None else _plain(str(title)), _plain(str(text)), fold)


def _decoded(record: Record | Rejected) -> Record | Rejected:
    """A record whose id, title or text is not UTF-8 is rejected."""
    if isinstance(record, Record) and any(map(tables.ESCAPED.search, (record.id, record.title, record.text))):
        return Rejected(record.at, tables.NOT_UTF8)
    return record


def _smart(path: Path) -> Iterator[Record | Rejected]:
    """Records of ``.I id`` and fields of single letters: .T the title, .W the words, which may begin with the title."""
    fields: dict[str, list[str]] = {}
    id_, start, field = "", 0, ""

    def record() -> Record:
        title, text = (_plain(" ".join(fields.get(name, ()))) for name in "TW")
        return Record(f"{path.name}:{start}", id_, title, text.removeprefix(title).lstrip() if title else text)

    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            if match := _SMART_ID.match(line):
                if id_:
                    yield record()
                id_, start, field, fields = match[1], number, "", {}
            elif match := _SMART_FIELD.match(line):
                field = match[1]
            elif not id_ and line.strip():
                yield Rejected(f"{path.name}:{number}", BEFORE)
            else:
                fields.setdefault(field, []).append(line)
    if id_:
        yield record()


def _trec(path: Path) -> Iterator[Record | Rejected]:
    """``<DOC>`` of newswire with DOCNO, titles by several names and all else as text; ``<top>`` of topics with num,
    title, desc and narr, of which the title is the query."""
    lines: list[str] = []
    start = 0
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            tag = line.strip().lower()
            if tag in ("<doc>", "<top>"):
                if lines:
                    yield Rejected(f"{path.name}:{start}", "not closed before the next one begins")
                lines, start = [], number
            if start:
                lines.append(line)
            if tag in ("</doc>", "</top>") and start:
                yield _trec_record(f"{path.name}:{start}", "".join(lines), topic=tag == "</top>")
                lines, start = [], 0
    if lines:
        yield Rejected(f"{path.name}:{start}", "not closed at the end of the file")


def _trec_record(at: str, body: str, topic: bool) -> Record | Rejected:
    if topic:
        id_ = re.search(r"<num>\s*(?:Number:)?\s*(\S+?)\s*(?:<|\n|$)", body, re.IGNORECASE)
        query = re.search(r"<title>\s*(?:Topic:)?([^<]*)", body, re.IGNORECASE)
        if not id_ or not query:
            return Rejected(at, f"a topic without <{'num' if not id_ else 'title'}>")
        return Record(at, id_[1], "", _plain(query[1]))
    id_ = re.search(r"<docno>\s*(\S+?)\s*</docno>", body, re.IGNORECASE)
    if not id_:
        return Rejected(at, "a document without <DOCNO>")
    rest = body.replace(id_[0], "")
    title = ""
    for name in _TREC_TITLE:
        if found := re.search(rf"<{name}>(.*?)</{name}>", rest, re.IGNORECASE | re.DOTALL):
            title, rest = _plain(_TAG.sub(" ", found[1])), rest.replace(found[0], "")
            break
    main = re.findall(r"<text>(.*?)</text>", rest, re.IGNORECASE | re.DOTALL)
    return Record(at, id_[1], title, _plain(_TAG.sub(" ", " ".join(main) if main else rest)))


def _plain(text: str) -> str:
    return " ".join(text.split())
