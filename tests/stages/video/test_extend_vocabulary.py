"""A text encoder that knows visual words, as a directory that Hugging Face's classes load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer

from models.codebook import Codebook
from models.vocabulary import Vocabulary
from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from pipeline.store import MANIFEST
from stages.video.extend_vocabulary import UNFINISHED, ExtendVocabulary
from tests.models.small_encoders import PIECES, WIDTH, save_encoder, save_model
from tests.stages.video.small_codebook import small_codebook

N_TEXT = len(PIECES)
JOIN, FIRST = N_TEXT, N_TEXT + 1


def extend(folder: Path, width: int = WIDTH, **fields: Any) -> Artifact:
    if "encoder" not in fields:
        save_encoder(folder / "encoder")
        fields["encoder"] = str(folder / "encoder")
    artifact = Artifact(folder / "out", "key")
    make(
        ExtendVocabulary(**fields), {"codebook": small_codebook(folder / "codebook", width)}, artifact, LocalExecutor()
    )
    return artifact


def test_auto_classes_load_words_and_rows_that_belong_together(tmp_path: Path) -> None:
    out = extend(tmp_path)
    tokenizer, model = AutoTokenizer.from_pretrained(out.path), AutoModelForMaskedLM.from_pretrained(out.path)
    assert len(tokenizer) == model.config.vocab_size == N_TEXT + 1 + 9
    before = AutoModelForMaskedLM.from_pretrained(tmp_path / "encoder")
    rows = model.get_input_embeddings().weight
    assert torch.equal(rows[:N_TEXT], before.get_input_embeddings().weight)
    assert torch.equal(rows[JOIN], rows[tokenizer.sep_token_id])
    leaves = torch.from_numpy(Codebook.load(out.path.parent / "codebook").leaves())
    assert torch.equal(rows[Vocabulary.of(tokenizer).visual_ids(np.arange(9))], leaves)
    assert tokenizer.convert_ids_to_tokens([FIRST + 5]) == ["<v:1.2>"]
    assert Vocabulary.of(tokenizer).live_visual.tolist() == list(range(FIRST, FIRST + 7))

    ids = torch.tensor(
        [[*tokenizer("stir the soup")["input_ids"][:-1], JOIN, FIRST, FIRST + 7, tokenizer.sep_token_id]]
    )
    logits = model(ids).logits
    assert logits.shape == (1, ids.shape[1], N_TEXT + 10)
    assert torch.isfinite(logits).all()
    assert logits.softmax(-1)[..., [FIRST + 7, FIRST + 8]].max() < 1e-20  # dead leaves are never predicted
    assert tokenizer.decode(ids[0]) == "[CLS] stir the soup [>] <v:0.0> <v:2.1> [SEP]"
    assert AutoModel.from_pretrained(out.path)(ids).last_hidden_state.shape == (1, ids.shape[1], WIDTH)


def test_other_settings_of_the_encoder_stay(tmp_path: Path) -> None:
    out = extend(tmp_path)
    before, after = (AutoConfig.from_pretrained(p).to_dict() for p in (tmp_path / "encoder", out.path))
    assert {k for k in after if before.get(k) != after[k]} <= {"vocab_size", "_name_or_path"}
    weights = load_file(out.path / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_features_of_another_width_are_projected(tmp_path: Path) -> None:
    out = extend(tmp_path, width=40)
    rows = AutoModelForMaskedLM.from_pretrained(out.path).get_input_embeddings().weight.detach()
    lengths = rows[FIRST : FIRST + 7].norm(dim=1)
    assert torch.allclose(lengths, rows[:N_TEXT].norm(dim=1).mean().expand(7), rtol=1e-5)


def test_the_same_fields_write_the_same_bytes_wherever_the_encoder_lies(tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        torch.manual_seed(len(written))
        out = extend(tmp_path / name, width=40)
        written.append({p.name: p.read_bytes() for p in out.path.iterdir() if p.name != MANIFEST})
    assert written[0] == written[1]
    assert set(written[0]) == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    }


def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "out" / UNFINISHED).mkdir(parents=True)
    (tmp_path / "out" / UNFINISHED / "model.safetensors").write_bytes(b"half")
    (tmp_path / "out" / "tokenizer.json").write_text("{}")
    out = extend(tmp_path)
    assert not (out.path / UNFINISHED).exists()
    assert AutoTokenizer.from_pretrained(out.path).convert_tokens_to_ids("[>]") == JOIN


def test_the_manifest_tells_where_the_weights_came_from(tmp_path: Path) -> None:
    manifest = extend(tmp_path).manifest
    assert manifest["words"] == {"text": N_TEXT, "visual": 9, "live": 7, "all": N_TEXT + 10}
    assert manifest["encoder"] == {"name": str(tmp_path / "encoder"), "commit": None, "type": "bert"}
    assert manifest["output_layer"] == "the encoder's"
    assert len(manifest["weights"]) == 64


def test_an_encoder_without_output_layer_gets_one(tmp_path: Path) -> None:
    save_encoder(tmp_path / "encoder")
    path = tmp_path / "encoder" / "model.safetensors"
    save_file(
        {k.removeprefix("bert."): v for k, v in load_file(path).items() if k.startswith("bert.")},
        path,
        metadata={"format": "pt"},
    )
    out = extend(tmp_path, encoder=str(tmp_path / "encoder"))
    model, report = AutoModelForMaskedLM.from_pretrained(out.path, output_loading_info=True)
    assert not report["missing_keys"]
    assert out.manifest["output_layer"] == "new"
    assert torch.equal(model.cls.predictions.transform.dense.weight, torch.eye(WIDTH))


def test_missing_directories_are_found_while_planning(tmp_path: Path) -> None:
    for encoder in ("/no/such/encoder", "./nowhere", "a/b/c"):
        with pytest.raises(UserError, match=f"{encoder}: no such directory"):
            ExtendVocabulary(encoder=encoder).fingerprint()
    with pytest.raises(UserError, match=r"not an encoder's directory \(it has no config.json\)"):
        ExtendVocabulary(encoder=str(tmp_path)).fingerprint()
    save_model(tmp_path)
    with pytest.raises(UserError, match=r"not an encoder's directory \(it has no tokenizer.json or vocab.txt\)"):
        ExtendVocabulary(encoder=str(tmp_path)).fingerprint()


def test_the_key_follows_the_encoders_files(tmp_path: Path) -> None:
    save_encoder(tmp_path)
    stage = ExtendVocabulary(encoder=str(tmp_path))
    before = stage.key({"codebook": "x"})
    save_encoder(tmp_path, width=32)
    assert stage.key({"codebook": "x"}) != before
    assert ExtendVocabulary(encoder="org/name").fingerprint() == "org/name"


def test_encoders_of_another_kind_are_named_in_one_line(tmp_path: Path) -> None:
    vocab = {token: i for i, token in enumerate(("<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b"))}
    roberta = tmp_path / "roberta"
    transformers.RobertaTokenizer(vocab=vocab, merges=[]).save_pretrained(roberta)
    transformers.RobertaConfig(vocab_size=7).save_pretrained(roberta)
    with pytest.raises(UserError, match=r"roberta': its tokenizer is BPE .* of the types bert, distilbert,") as error:
        extend(tmp_path, encoder=str(roberta))
    assert "\n" not in str(error.value)


def test_a_hub_out_of_reach_is_told_in_one_line(tmp_path: Path) -> None:
    artifact = small_codebook(tmp_path / "codebook", WIDTH)
    code = (
        "from pathlib import Path; from pipeline import Artifact, LocalExecutor\n"
        "from stages.video.extend_vocabulary import ExtendVocabulary\n"
        f"inputs = {{'codebook': Artifact(Path({str(artifact.path)!r}), 'k')}}\n"
        f"ExtendVocabulary(encoder='nobody/nothing').run(inputs, Path({str(tmp_path)!r}), LocalExecutor())"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    last = done.stderr.strip().splitlines()[-1]
    assert "encoder 'nobody/nothing': neither a directory here nor a model that the hub gives now. Download it" in last
