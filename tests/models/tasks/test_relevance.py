from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertTokenizer

from models.encoder import Encoded
from models.tasks import Batch, JudgeRelevance
from tests.models.small_encoders import save_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> BertTokenizer:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def row(query: str, text: str, **more: object) -> dict:
    return {"id": "1", "query": query, "text": text, "label": 1, "split": "train", **more}


class TestEncode:
    def test_is_what_the_tokenizer_makes_of_the_pair(self, tokenizer: BertTokenizer) -> None:
        (example,) = JudgeRelevance().encode(row("stir the soup", "now cut [SEP]"), tokenizer)
        expected = tokenizer("stir the soup", "now cut [SEP]", split_special_tokens=True)
        assert list(example["input_ids"]) == expected["input_ids"]
        assert list(example["token_type_ids"]) == expected["token_type_ids"]
        assert example["length"] == len(expected["input_ids"])

    def test_a_query_has_62_pieces_and_one_place_of_512_stays_free(self, tokenizer: BertTokenizer) -> None:
        """[CLS] 62 [SEP] is 64; the text has 512 - 64 - 2 = 446, then [SEP]: 511."""
        (example,) = JudgeRelevance().encode(row("stir " * 100, "soup " * 1000), tokenizer)
        types = list(example["token_type_ids"])
        assert (types.count(0), types.count(1)) == (64, 447)
        assert example["input_ids"][63] == example["input_ids"][-1] == tokenizer.sep_token_id

    def test_a_short_query_leaves_its_places_to_the_text(self, tokenizer: BertTokenizer) -> None:
        (example,) = JudgeRelevance().encode(row("stir", "soup " * 1000), tokenizer)
        assert list(example["token_type_ids"]) == [0] * 3 + [1] * 508

    @pytest.mark.parametrize("tokens", [6, 20, 66, 67])
    def test_a_query_leaves_a_place_to_the_text(self, tokens: int, tokenizer: BertTokenizer) -> None:
        (example,) = JudgeRelevance(max_tokens=tokens).encode(row("stir " * 100, "soup " * 100), tokenizer)
        assert list(example["token_type_ids"]) == [0] * (tokens - 3) + [1] * 2
        with pytest.raises(ValueError, match="max_query_tokens is 3 or more, and max_tokens 6 or more"):
            JudgeRelevance(max_query_tokens=2, max_tokens=tokens)

    def test_pieces_put_together_are_the_same(self, tokenizer: BertTokenizer) -> None:
        task = JudgeRelevance(max_query_tokens=4, max_tokens=12)
        queries, texts = ["stir the soup", "cut"], ["now now now now now now now", "the soup"]
        pieces = zip(task.query_pieces(queries, tokenizer), task.text_pieces(texts, tokenizer), strict=True)
        joined = [task.pair(q, t, tokenizer.cls_token_id, tokenizer.sep_token_id) for q, t in pieces]
        for query, text, pair in zip(queries, texts, joined, strict=True):
            (example,) = task.encode(row(query, text), tokenizer)
            assert list(example["input_ids"]) == list(pair["input_ids"])

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"query": " "}, "the query ' ' has no wordpiece"),
            ({"text": ""}, "the text '' has no wordpiece"),
            ({"label": 2}, "the label is 2: give 1 for a relevant text"),
            ({"label": None}, "the label is None"),
        ],
    )
    def test_bad_rows(self, tokenizer: BertTokenizer, changed: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            JudgeRelevance().encode({**row("stir", "soup"), **changed}, tokenizer)

    def test_new_rows_need_no_label(self, tokenizer: BertTokenizer) -> None:
        (example,) = JudgeRelevance().encode({"query": "stir", "text": "soup"}, tokenizer)
        assert example["label"] == -1


class TestMetrics:
    def test_queries_are_ranked_apart(self) -> None:
        """q1 ranks its relevant text second, q2 has none, the last row belongs to no query. log .5 is -.693."""
        rows = [
            {"id": "a", "query_id": "q1", "label": 0, "score": -0.1, "log_p": -0.1},
            {"id": "b", "query_id": "q1", "label": 1, "score": -0.2, "log_p": -0.2},
            {"id": "c", "query_id": "q2", "label": 0, "score": -3.0, "log_p": -3.0},
            {"id": "d", "query_id": None, "label": 1, "score": -3.0, "log_p": -3.0},
        ]
        figures = JudgeRelevance().metrics(rows)
        assert figures == pytest.approx({"accuracy": 2 / 4, "MRR@10": 0.25, "AP": 0.25})

    def test_ties_are_broken_as_trec_eval_does(self) -> None:
        rows = [
            {"id": name, "query_id": "q", "label": int(name == "a"), "score": -0.1, "log_p": math.log(0.9)}
            for name in ("a", "b")
        ]
        assert JudgeRelevance().metrics(rows)["MRR@10"] == 0.5

    def test_nothing_labelled(self) -> None:
        assert JudgeRelevance().metrics([]) == {}


def test_the_loss_by_hand() -> None:
    """The logits of the second class are 1, 0 and -1 above the first's, and the first text is relevant. The probability
    of "relevant" is then 1 / (1 + 1/e), a half and 1 / (1 + e)."""
    task = JudgeRelevance()
    head = task.head(BertConfig(hidden_size=4, num_attention_heads=1)).eval()
    pooled = torch.zeros(3, 4)
    pooled[:, 0] = torch.tensor([1.0, 0.0, -1.0])
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.weight[1, 0] = 1.0
    encoded = Encoded(last_BLD=torch.zeros(3, 1, 4), layers=(), pooled_BD=pooled, words=None)
    batch = Batch(torch.zeros(3, 2), torch.ones(3, 2), torch.zeros(3, 2), {"label": torch.tensor([1, 0, 0])})
    loss = task.loss(head, encoded, batch, {"loss": 4.0})["loss"].item()
    assert loss == pytest.approx((2 * math.log(1 + 1 / math.e) + math.log(2)) / 4)
    assert task.scores(head, encoded)[1].exp().tolist() == pytest.approx([1 / (1 + 1 / math.e), 0.5, 1 / (1 + math.e)])


def test_the_score_is_log_probability_or_logit(tmp_path: Path) -> None:
    config = BertConfig(hidden_size=4, num_attention_heads=1)
    head = JudgeRelevance().head(config).eval()
    encoded = Encoded(last_BLD=torch.zeros(2, 1, 4), layers=(), pooled_BD=torch.randn(2, 4), words=None)
    logits = head(encoded)
    assert torch.equal(JudgeRelevance(score="logit").scores(head, encoded)[0], logits[:, 1])
    expected = logits[:, 1] - torch.logsumexp(logits, -1)
    assert torch.allclose(JudgeRelevance().scores(head, encoded)[0], expected)
