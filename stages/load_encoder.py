"""An encoder as people publish it, in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from models.extended_encoder import POOLER, give_pooler
from models.quiet import quiet_transformers
from pipeline import Artifact, Executor, Stage, UserError
from pipeline.store import file_digest
from stages.encoder_source import check_encoder, encoder_fingerprint, explain


@dataclass(frozen=True, kw_only=True)
class LoadEncoder(Stage):
    """Take an encoder from the hub or a directory.

    Out  a Hugging Face directory (config.json, model.safetensors, tokenizer files) with the layers of the class that
         the configuration names, and the pooler; layers that the checkpoint lacks stay missing and start from the seed
         of what trains them
    """

    version: ClassVar[str] = "2"
    paths: ClassVar[frozenset[str]] = frozenset({"encoder"})

    encoder: str = "google-bert/bert-base-uncased"
    """A model of the hub or a directory: any that AutoModel and a fast tokenizer load."""
    revision: str = "main"
    """Branch, tag or commit of a model of the hub."""
    weights: Literal["pretrained", "random"] = "pretrained"
    """The checkpoint's, or fresh ones in its shape for training from scratch."""
    seed: int = 0
    """Seeds random weights."""

    def fingerprint(self) -> str:
        return encoder_fingerprint(self.encoder)

    def check(self) -> None:
        check_encoder(self.encoder, self.revision)

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(self.encoder, revision=self.revision)
            commit = self._save_model(out)
        except (OSError, ValueError) as error:
            raise UserError(explain(self.encoder, error)) from error
        if not tokenizer.is_fast:
            raise UserError(f"encoder '{self.encoder}': its tokenizer has no fast version")
        # Sentence encoders ship with a length they cut and pad to; what is cut is for the tasks to say.
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.save_pretrained(out)
        return {
            "encoder": {"name": self.encoder, "commit": commit},
            "weights": file_digest(out / "model.safetensors"),
        }

    def _save_model(self, out: Path) -> str | None:
        """Write config and weights; returns the commit of a model of the hub. OSError, ValueError."""
        import transformers
        from safetensors import SafetensorError

        quiet_transformers()
        config = transformers.AutoConfig.from_pretrained(self.encoder, revision=self.revision)
        kind: Any = getattr(transformers, (config.architectures or [""])[0], transformers.AutoModel)
        missing: set[str] = set()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            if self.weights == "random":
                make = kind.from_config if kind is transformers.AutoModel else kind
                model = make(config)
            else:
                try:
                    model, report = kind.from_pretrained(
                        self.encoder, revision=self.revision, dtype=torch.float32, output_loading_info=True
                    )
                except (RuntimeError, SafetensorError) as error:
                    raise ValueError(f"its weights are damaged or do not fit its config.json ({error})") from error
                missing = set(report["missing_keys"]) | give_pooler(model, self.encoder, self.revision)
        inside = "" if model is model.base_model else f"{model.base_model_prefix}."
        lacking = sorted(n for n in missing if n.startswith(inside) and not n.removeprefix(inside).startswith(POOLER))
        if lacking:
            raise ValueError(
                f"its weights lack {len(lacking)} tensors of a {type(model).__name__}, {lacking[0]} among them"
            )
        kept = {name: tensor for name, tensor in model.state_dict().items() if name not in missing}
        model.save_pretrained(out, state_dict=kept, max_shard_size="1TB")
        commit: str | None = getattr(model.config, "_commit_hash", None)
        return commit
