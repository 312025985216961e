"""A pretrained encoder of the BERT kind with a task's head on top, as one directory on disk.

The directory is a Hugging Face one, so ``AutoModel`` and ``AutoTokenizer`` load it; the head lies beside the encoder
as ``head.safetensors`` and the task as ``task.json``.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

import models.word_encoder  # noqa: F401 - AutoModel knows it from then on
from models import unpadded
from models.extended_encoder import give_pooler, load_masked_lm
from models.quiet import quiet_transformers
from models.task_file import TASK, load_task, save_task
from models.word_layer import WordLayer

if TYPE_CHECKING:
    from models.tasks.task import Batch, Task

quiet_transformers()

HEAD = "head.safetensors"


@dataclass
class Encoded:
    """What the encoder makes of a batch. B sequences, L positions, D the encoder's width."""

    last_BLD: Tensor
    layers: tuple[Tensor, ...]
    """The embeddings' output and every layer's, each [B, L, D]; empty unless the task asks for them."""
    pooled_BD: Tensor | None
    """BERT's pooler on [CLS]; None for an encoder without one."""
    words: WordLayer | None
    """The masked language model's output layer; None unless the task predicts words."""

    def at(self, position_n: Tensor) -> Tensor:
        """The last states [n, D] at positions of the flattened batch."""
        return self.last_BLD.flatten(0, 1)[position_n]


class TaskModel(nn.Module):
    """An encoder and a task's head."""

    def __init__(self, pretrained: PreTrainedModel, task: Task, seed: int) -> None:
        super().__init__()
        self.pretrained = pretrained
        self.task = task
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = task.head(pretrained.config)
        self.words = WordLayer(pretrained) if task.masked_lm else None
        known = inspect.signature(self.encoder.forward).parameters
        self._takes_token_types = "token_type_ids" in known
        self._one_type = getattr(pretrained.config, "type_vocab_size", None) == 1
        unpadded.allow(pretrained)

    @classmethod
    def start(
        cls, directory: str | Path, task: Task, seed: int, keep_head: bool = False, member: str | None = None
    ) -> TaskModel:
        """The encoder of ``directory`` (or a hub name) with a fresh head, initialised from ``seed``.

        ``keep_head``: with the head that lies there, where it was trained for the same task; of a model of several
        tasks with that of ``member``.
        """
        model = cls(_load_pretrained(directory, task, seed), task, seed)
        if keep_head and (Path(directory) / HEAD).is_file():
            trained = load_task(directory)
            trained, prefix = trained.members().get(member or "", (trained, ""))
            tensors = load_file(Path(directory) / HEAD).items()
            saved = {name.removeprefix(prefix): t for name, t in tensors if name.startswith(prefix)}
            alike = {n: t.shape for n, t in saved.items()} == {n: t.shape for n, t in model.head.state_dict().items()}
            if alike and task.shares_head(trained):
                model.head.load_state_dict(saved)
        return model

    @classmethod
    def load(cls, directory: str | Path, task: Task | None = None) -> TaskModel:
        """A trained model. ``task`` replaces the saved one, of which it takes what was learned."""
        saved = load_task(directory)
        model = cls.start(directory, task.adopt(saved) if task else saved, seed=0)
        model.head.load_state_dict(load_file(Path(directory) / HEAD))
        return model

    def save(self, directory: Path) -> None:
        """Write config, encoder, head and task; the tokenizer is copied by who knows where it lies."""
        self.pretrained.save_pretrained(directory)
        save_file({k: v.contiguous() for k, v in self.head.state_dict().items()}, directory / HEAD)
        save_task(self.task, directory / TASK)

    @property
    def encoder(self) -> PreTrainedModel:
        encoder: PreTrainedModel = self.pretrained.base_model  # type: ignore[assignment]
        return encoder

    @property
    def device(self) -> torch.device:
        return next(self.pretrained.parameters()).device

    def forward(self, batch: Batch) -> Encoded:
        """What the encoder makes of a batch; one with a single token type reads all tokens as of that."""
        if self._one_type:
            batch = replace(batch, token_type_ids_BL=torch.zeros_like(batch.token_type_ids_BL))
        if unpadded.allowed(self.pretrained) and self.device.type == "cpu":
            return self._on_words_alone(batch)
        extra: dict[str, Any] = {"token_type_ids": batch.token_type_ids_BL} if self._takes_token_types else {}
        output = self.encoder(
            input_ids=batch.input_ids_BL,
            attention_mask=batch.attention_mask_BL,
            output_hidden_states=self.task.all_layers,
            **extra,
        )
        return Encoded(
            last_BLD=output.last_hidden_state,
            layers=tuple(output.hidden_states) if self.task.all_layers else (),
            pooled_BD=getattr(output, "pooler_output", None),
            words=self.words,
        )

    def _on_words_alone(self, batch: Batch) -> Encoded:
        """The same, with 0 for the states of what pads the batch."""
        layout = unpadded.Layout.of(batch.attention_mask_BL, self.pretrained.config.num_attention_heads)
        output = self.encoder(
            input_ids=layout.words(batch.input_ids_BL),
            token_type_ids=layout.words(batch.token_type_ids_BL),
            position_ids=layout.positions(),
            output_hidden_states=self.task.all_layers,
            layout=layout,
        )
        last_BLD = layout.spread(output.last_hidden_state[0])
        pooler = getattr(self.encoder, "pooler", None)
        return Encoded(
            last_BLD=last_BLD,
            layers=tuple(layout.spread(layer[0]) for layer in output.hidden_states) if self.task.all_layers else (),
            pooled_BD=pooler(last_BLD) if pooler is not None else None,
            words=self.words,
        )


def _load_pretrained(directory: str | Path, task: Task, seed: int) -> PreTrainedModel:
    model: PreTrainedModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # layers that the checkpoint lacks (a pooler) start from the seed
        if task.masked_lm:
            model, _ = load_masked_lm(str(directory))
            if task.pooled:
                give_pooler(model, str(directory))
        else:
            model = AutoModel.from_pretrained(str(directory), dtype=torch.float32)
        task.adapt(model)
    return model
