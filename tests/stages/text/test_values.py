from __future__ import annotations

import json

import pyarrow as pa
import pytest

from pipeline import Rejected
from stages.text.values import mended, refuse_halves, table_of

SCHEMA = pa.schema([("text", pa.string()), ("number", pa.int32())])


def test_a_value_that_no_table_can_hold_costs_its_row() -> None:
    good = [{"text": "a", "number": 1}, {"text": "b"}]
    bad = [{"text": "\ud83d", "number": 1}, {"number": 1 << 31}, {"number": 1 << 70}, {"text": 5}]
    rows = [good[0], *bad, good[1]]
    table, rejected = table_of(rows, [f"a:{i}" for i in range(6)], SCHEMA)
    assert table.to_pylist() == [{"text": "a", "number": 1}, {"text": "b", "number": None}]
    assert [r.item for r in rejected] == ["a:1", "a:2", "a:3", "a:4"]
    assert rejected[0].reason == "a text has half a character, \\ud83d (a lone surrogate): write it whole"
    assert rejected[1].reason.startswith("its number is no int32 (Value 2147483648 too large")
    assert rejected[3].reason.startswith("its text is no string")


def test_a_place_is_always_one_that_can_be_written() -> None:
    _, rejected = table_of([{"text": "\ud83d"}], ["\ud83d:1"], SCHEMA)
    assert [type(r) for r in rejected] == [Rejected]
    assert rejected[0].item == "?:1"


def test_half_a_character_is_refused_wherever_it_stands() -> None:
    for text in (b'{"a": ["x", {"\\uD83D": 1}]}', b'"\xed\xa0\xbd"'):
        with pytest.raises(ValueError, match=r"half a character, .ud83d"):
            refuse_halves(json.loads(text), text)
    whole = b'["\\ud83d\\ude00", "\\\\ud83d"]'
    refuse_halves(json.loads(whole), whole)
    assert mended(["a\ud83d", {"b": 1}]) == ["a?", {"b": 1}]
