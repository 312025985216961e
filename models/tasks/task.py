"""What separates one recipe from another: how rows become examples, the head, the loss, the answers, the metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.vocabulary import Vocabulary

Row = Mapping[str, Any]
WINDOW = "window"
"""The column of an example that counts a row's windows from 0."""
GROUP = "group"
"""The column that says which of a task's kinds a row, an example or an answer is of, where it has several."""
EMPTY: tuple[Any, ...] = (None, "", (), {})
"""Values of a field that is yet to be learned."""


@dataclass
class Batch:
    """Padded examples on their way to the encoder.

    Shape suffixes: B sequences, L positions; what ``labels`` holds is between a task's ``collate`` and its ``loss``.
    """

    input_ids_BL: Tensor
    attention_mask_BL: Tensor
    token_type_ids_BL: Tensor
    labels: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    """How many terms each part of the loss sums here. The loop adds them up over micro-batches and workers, so that
    a mean is over the whole global batch however that is cut."""
    examples: Sequence[Row] = ()
    """The examples themselves, for what predictions are to say about them."""

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.input_ids_BL.to(device, non_blocking=True),
            self.attention_mask_BL.to(device, non_blocking=True),
            self.token_type_ids_BL.to(device, non_blocking=True),
            {name: tensor.to(device, non_blocking=True) for name, tensor in self.labels.items()},
            self.counts,
            self.examples,
        )


class Examples(Protocol):
    """Encoded examples by position, in the order of the rows they come from. Memory-mapped, not in memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Any]: ...

    def other(self, index: int, name: str, rng: np.random.Generator, filled: tuple[str, ...] = ()) -> int | None:
        """Position of a random example of the same split and group, but of another document or video.

        name      the column that tells documents apart; those of one stand together
        filled    columns of lists that are not empty in any example drawn from, nor in the one at ``index``

        None where there is no other.
        """
        ...


@dataclass(frozen=True)
class Task(ABC):
    """A recipe. Frozen, plain fields only: it is a field of stages and is saved beside the model as JSON."""

    columns: ClassVar[tuple[str, ...]]
    """What its rows must have."""
    example_schema: ClassVar[pa.Schema]
    """The columns of an example. ``length`` (tokens, for grouping) and ``split`` are always among them."""
    prediction_schema: ClassVar[pa.Schema]
    """The columns of an answer."""
    masked_lm: ClassVar[bool] = False
    """Whether it predicts words: its encoder is then loaded with the masked language model's output layer."""

    learned: ClassVar[tuple[str, ...]] = ()
    """Fields that are learned where they are left empty: labels, tags and lemma rules of the training rows, thresholds
    of the dev split."""
    token_columns: ClassVar[tuple[str, ...]] = ("input_ids", "text", "visual")
    """The columns of an example that hold ids of the vocabulary, to be shown as words."""
    repeats: ClassVar[tuple[str, ...] | None] = None
    """The columns of a new row that stand beside its answer in a file of answers; None for all of them."""
    loss_terms: ClassVar[tuple[str, ...]] = ("loss",)
    """The parts of the loss: the names that ``loss`` returns and every batch's ``counts`` has."""
    judged_by: ClassVar[tuple[str, ...]] = ()
    """Columns of an example: neighbours that have the same value in one, a query's candidates, are judged together, as
    a row's windows always are. A sample of the dev split has all of them or none."""
    all_layers: ClassVar[bool] = False
    """Whether its head reads every layer of the encoder."""

    @property
    def pooled(self) -> bool:
        """Whether a task that predicts words reads the pooled state too, and has the encoder loaded with its pooler."""
        return False

    def inputs(self) -> Mapping[str, tuple[str, ...]]:
        """Encode's inputs of rows, each with the columns it must have, where rows are of several kinds: they then have
        the name of their input under ``group``. Empty: one kind, with ``columns``."""
        return {}

    def learn(self, tables: Iterable[pa.Table]) -> Self:
        """The task with what it must know of the training rows, given part by part, before any row is encoded."""
        return self

    def adopt(self, other: Task) -> Self:
        """This task with what ``other`` has learned in the fields that are empty here.

        ValueError where the two are different recipes, or number their labels, tags or rules in different ways. A
        threshold of one's own is taken.
        """
        if type(self) is not type(other):
            raise ValueError(f"made for the task {type(other).__name__}, not {type(self).__name__}")
        empty = [name for name in self.learned if getattr(self, name) in EMPTY]
        for name in (n for n in self.learned if n not in empty):
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, tuple) and theirs not in (mine, *EMPTY):
                raise ValueError(f"made for other {name.replace('_', ' ')}: {_shown(theirs)}, not {_shown(mine)}")
        return replace(self, **{name: getattr(other, name) for name in empty})

    def shares_head(self, other: Task) -> bool:
        """Whether a head trained for ``other`` means the same here: one recipe, and nothing learned that differs."""
        pairs = [(getattr(self, name), getattr(other, name, None)) for name in self.learned]
        return type(self) is type(other) and all(a == b or a in EMPTY or b in EMPTY for a, b in pairs)

    def members(self) -> Mapping[str, tuple[Task, str]]:
        """The tasks that it holds by name, each with what the names of its head's tensors begin with; mostly none."""
        return {}

    def most_tokens(self) -> tuple[int, tuple[str, ...]]:
        """Tokens of the longest sequence that it has the encoder read, and the fields that say so; 0 for no bound."""
        return int(getattr(self, "max_tokens", 0)), ("max_tokens",)

    def check(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """ValueError where it cannot be done in the words of this tokenizer."""
        return

    @property
    def looks_around(self) -> bool:
        """Whether ``in_context`` looks at a row's neighbours: no part of a document is then encoded by itself."""
        return False

    def in_context(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase) -> Iterable[Row]:
        """The rows of a part, one for one, each with what ``encode`` must know of its neighbours: those that follow one
        another with the same ``document``. A row without one has none."""
        return rows

    @abstractmethod
    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        """One row to its examples: none, one, or several windows. ValueError says what is wrong with the row."""

    def seen(self, examples: pa.Table) -> np.ndarray:
        """Which examples of a table training and evaluation look at: bool, one for each."""
        return np.ones(examples.num_rows, bool)

    def draw(self, examples: Examples, index: int, rng: np.random.Generator, vocabulary: Vocabulary) -> dict[str, Any]:
        """The example at ``index`` as training sees it this time: masks, neighbours, negatives come from ``rng``."""
        return examples[index]

    def lay_out(self, example: Row, vocabulary: Vocabulary) -> dict[str, Any]:
        """The example as prediction sees it: nothing random."""
        return dict(example)

    @abstractmethod
    def collate(self, examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
        """Drawn or laid-out examples to one padded batch."""

    def groups(self) -> Mapping[str, float]:
        """Names of groups whose examples never share a batch, each with how often an epoch passes over it.

        Every optimiser step is then on one group; an epoch has the batches of all groups, freshly shuffled, so many of
        each as its examples times its number fill. The example_schema has ``group`` str, which drawn and laid-out
        examples keep. Empty: no groups.
        """
        return {}

    def adapt(self, pretrained: PreTrainedModel) -> None:
        """Change a freshly loaded encoder to what the task needs of it, in place and in its config: other segment
        embeddings, more positions. A trained model that is loaded again has it already. ValueError where it cannot be.
        """
        return

    @abstractmethod
    def head(self, config: PreTrainedConfig) -> nn.Module:
        """The layers on top of the encoder, freshly initialised from the global generator."""

    @abstractmethod
    def loss(self, head: nn.Module, encoded: Encoded, batch: Batch, totals: Mapping[str, float]) -> dict[str, Tensor]:
        """The parts of the loss, each a weighted sum over this batch divided by its entry of ``totals``."""

    @abstractmethod
    def predict(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """A readable answer for each laid-out example."""

    def evaluate(self, head: nn.Module, encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """What ``metrics`` needs of each drawn example; the answers themselves unless a task says otherwise."""
        return self.predict(head, encoded, batch, vocabulary)

    def join(self, windows: Sequence[Row]) -> dict[str, Any]:
        """One answer for a row from those to its windows, in order; of what ``evaluate`` says of them alike.

        For tasks whose rows become several examples: their example_schema has ``window`` int32, which counts a row's
        examples from 0. Without that column every example has an answer of its own.
        """
        raise NotImplementedError(f"{type(self).__name__} has windows and does not join them")

    @abstractmethod
    def metrics(self, rows: Iterable[Row]) -> dict[str, float]:
        """The field's official figures from the rows of ``evaluate``, joined where there are windows."""

    @property
    def tunes(self) -> bool:
        """Whether ``tune`` has anything to choose."""
        return False

    def tune(self, rows: Iterable[Row]) -> Self:
        """The task with what is chosen on the dev split, thresholds for example, from the rows of ``evaluate``: a
        trained model is saved with it. Asked where ``tunes``."""
        return self


def _shown(values: Sequence[Any]) -> str:
    """The first of many values."""
    return ", ".join(map(str, values[:5])) + (" …" if len(values) > 5 else "")


def is_filled(column: pa.ChunkedArray) -> np.ndarray:
    """Which lists of a column hold anything: bool, one for each."""
    lengths = pc.list_value_length(column).combine_chunks().fill_null(0)
    held: np.ndarray = lengths.to_numpy(zero_copy_only=False) > 0
    return held


def labels_of(tables: Iterable[pa.Table]) -> tuple[str, ...]:
    """The labels of training rows, sorted. ValueError where there are fewer than two."""
    labels = {label for table in tables for label in table["label"].unique().to_pylist() if label}
    if len(labels) < 2:
        raise ValueError(f"the training rows have {len(labels)} different labels; it takes two or more")
    return tuple(sorted(labels))


def label_of(row: Row) -> str | None:
    """The row's label as it stands in a file: new rows may say theirs as a number."""
    label = row.get("label")
    return None if label is None else str(label)


def collate_ids(examples: Sequence[Row], vocabulary: Vocabulary) -> Batch:
    """A padded batch of examples with ``input_ids`` and, unless all are 0, ``token_type_ids``; no labels yet."""
    input_ids = pad([e["input_ids"] for e in examples], vocabulary.pad)
    lengths = torch.tensor([len(e["input_ids"]) for e in examples])
    mask = (torch.arange(input_ids.shape[1]) < lengths[:, None]).long()
    if "token_type_ids" in examples[0]:
        token_types = pad([e["token_type_ids"] for e in examples], 0)
    else:
        token_types = torch.zeros_like(input_ids)
    return Batch(input_ids, mask, token_types, examples=examples)


def pad(sequences: Sequence[np.ndarray], value: int) -> Tensor:
    """Integer sequences to one tensor [len(sequences), longest], filled up with ``value`` on the right."""
    longest = max(len(s) for s in sequences)
    out = np.full((len(sequences), longest), value, np.int64)
    for row, sequence in zip(out, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(out)


def has_windows(task: Task) -> bool:
    """Whether the task's rows become several examples each; ``join`` makes one answer of theirs."""
    return WINDOW in task.example_schema.names
