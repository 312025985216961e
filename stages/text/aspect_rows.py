"""What readers of aspects and their sentiments write."""

from __future__ import annotations

import pyarrow as pa

ASPECTS = pa.schema([(name, pa.string()) for name in ("id", "text", "target", "aspect", "label", "split")])
"""A row an aspect of a target of a text, present or not. ``id`` names the text, ``target`` is null where texts are
about one thing alone, ``label`` is the sentiment or says that the aspect is absent."""
