"""A tiny run of every stage: made on all executors (tests/pipeline/test_every_stage.py) and guarded (tests/golden)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from models.tasks import VideoText
from pipeline import Artifact, LocalExecutor, Stage
from pipeline.graph import make
from stages.encode import Encode
from stages.evaluate import Evaluate
from stages.load_encoder import LoadEncoder
from stages.predict import Predict
from stages.text.group_candidates import GroupCandidates
from stages.text.plot_layer_weights import PlotLayerWeights
from stages.text.read_conllu import ReadConllu
from stages.text.read_corpus import ReadCorpus
from stages.text.read_glue import ReadGlue
from stages.text.read_natural_questions import ReadNaturalQuestions
from stages.text.read_sentences import ReadSentences
from stages.text.read_squad import ReadSquad
from stages.text.read_table import ReadTable
from stages.text.write_conllu import WriteConllu
from stages.text.write_natural_questions import WriteNaturalQuestions
from stages.train import Train
from stages.video.align_speech import AlignSpeech
from stages.video.assign_tokens import AssignTokens
from stages.video.embed_clips import EmbedClips
from stages.video.extend_vocabulary import ExtendVocabulary
from stages.video.feature_table import feature_table
from stages.video.fit_codebook import FitCodebook
from stages.video.read_features import ReadFeatures
from stages.video.read_segments import ReadSegments
from stages.video.read_videos import ReadVideos
from stages.video.render_kitchen import RenderKitchen
from stages.video.split_videos import SplitVideos
from stages.video.transcribe import Transcribe
from stages.video.zero_shot import ZeroShot
from tests.case import Case, Inputs, artifact
from tests.models.small_encoders import save_encoder
from tests.pipeline import toys
from tests.stages import tiny_world
from tests.stages.text import small_label_files
from tests.stages.text.retrieval.cases import RETRIEVAL
from tests.stages.text.small_pages import answered_pages, write_pages
from tests.stages.text.small_parser import small_parser
from tests.stages.text.small_rewriters import REWRITING
from tests.stages.text.small_squad import write_articles
from tests.stages.text.small_summaries import SUMMARIES
from tests.stages.text.small_treebank import sentence, write_treebank
from tests.stages.video.clips_and_speech import clips, spoken
from tests.stages.video.films import counting, damage, scene, write_film
from tests.stages.video.small_codebook import small_codebook


def numbers(folder: Path, name: str = "numbers") -> Artifact:
    groups, rows = 8, 5
    x = np.random.default_rng(len(name)).normal(size=groups * rows)
    return artifact(folder / name, pa.table({"group": np.repeat([f"g{i}" for i in range(groups)], rows), "x": x}))


def captioned(folder: Path) -> tuple[Stage, Inputs]:
    """Captions of every kind, one file of them broken; nothing to recognise."""
    files = {
        "a.vtt": "WEBVTT\nLanguage: en\n\n00:01.000 --> 00:03.000\nCut it. Then\n\n00:03.000 --> 00:04.000\nfry it.\n",
        "b.de.srt": "1\n00:00:01,000 --> 00:00:02,000\nschäl die\n\n2\n00:00:05,000 --> 00:00:06,000\nZwiebel\n",
        "c.json3": '{"events": [{"tStartMs": 80, "segs": [{"utf8": "so"}, {"utf8": " stir", "tOffsetMs": 400}]}]}',
        "d.srt": "no captions",
        "e.json": '{"e": {"start": [0, 1.5, 9], "end": [4, 5, 11], "text": ["so cut", "the onion", "then fry it"]}}',
    }
    for name, text in files.items():
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    captions = [str(folder / name) for name in list(files)[:4]]
    table = pa.table({"video_id": list("abcde"), "path": ["never opened"] * 5, "captions": [*captions, None]})
    return Transcribe(captions_json=str(folder / "e.json")), {"videos": artifact(folder / "videos", table)}


def read_videos(folder: Path) -> tuple[Stage, Inputs]:
    """Two films, one with captions, and a file that is none."""
    write_film(folder / "a.mp4", counting(12, 48, 64), rotation=90)
    write_film(folder / "b/c.mkv", counting(12, 48, 64), sound=True)
    (folder / "b/c.en.vtt").touch()
    (folder / "d.mp4").touch()
    return ReadVideos(videos=str(folder), videos_per_part=1), {}


def embed_clips(folder: Path) -> tuple[Stage, Inputs]:
    """Three short films, one of them damaged."""
    paths = [write_film(folder / f"{i}.mp4", scene(i, 50, 96, 128), options={"g": "10"}) for i in range(3)]
    damage(paths[1])
    table = pa.table({"video_id": ["a", "b", "c"], "path": [str(p) for p in paths]})
    stage = EmbedClips(weights="random:0", clip_frames=14, precision="float32")
    return stage, {"videos": artifact(folder / "videos", table)}


def read_features(folder: Path) -> tuple[Stage, Inputs]:
    folder.mkdir(parents=True, exist_ok=True)
    for i, width in enumerate((4, 4, 3)):
        np.save(folder / f"{i}.npy", np.random.default_rng(i).normal(size=(5, width)).astype(np.float32))
    return ReadFeatures(features=str(folder), features_per_s=1.5, width=4, videos_per_part=2), {}


def extend_vocabulary(folder: Path) -> tuple[Stage, Inputs]:
    save_encoder(folder / "encoder")
    codebook = small_codebook(folder / "codebook", width=40)
    return ExtendVocabulary(encoder=str(folder / "encoder")), {"codebook": codebook}


def align_speech(folder: Path) -> tuple[Stage, Inputs]:
    tokens = artifact(folder / "tokens", clips({"silent": 20, "spoken": 9}), parts=1)
    sentences = spoken({"spoken": [(1.0, 5.5, "stir"), (4.0, 9.0, "cut")], "failed": [(0.0, 2.0, "serve")]})
    splits = pa.table({"video_id": ["silent", "spoken", "failed"], "split": ["train", "dev", "test"]})
    return AlignSpeech(), {
        "tokens": tokens,
        "speech": artifact(folder / "speech", sentences, parts=1),
        "splits": artifact(folder / "splits", splits, parts=1),
    }


def split_videos(folder: Path) -> tuple[Stage, Inputs]:
    videos = artifact(folder / "videos", pa.table({"video_id": [f"v{i}" for i in range(40)]}))
    return SplitVideos(dev_fraction=0.2, test_fraction=0.2), {"videos": videos}


def read_sentences(folder: Path) -> tuple[Stage, Inputs]:
    folder.mkdir(exist_ok=True)
    for name in ("one", "two"):
        (folder / f"{name}.txt").write_text(f"stir the soup\n\nand serve {name}\n")
    return ReadSentences(texts=str(folder), dev_fraction=0.5), {}


def read_corpus(folder: Path) -> tuple[Stage, Inputs]:
    folder.mkdir(exist_ok=True)
    (folder / "one.txt").write_text("stir the soup\nserve it\n\ncut the onion\nfry it\n")
    return ReadCorpus(texts=str(folder), dev_fraction=0.5), {}


def read_table(folder: Path) -> tuple[Stage, Inputs]:
    folder.mkdir(exist_ok=True)
    (folder / "train.csv").write_text('text,label\n"stir, now",do\nthe soup,thing\n,do\n')
    (folder / "test.jsonl").write_text('{"text": "cut"}\n{"text": "soup", "label": "thing"}\n')
    return ReadTable(train=f"{folder}/train.csv", test=f"{folder}/test.jsonl"), {}


def read_glue(folder: Path) -> tuple[Stage, Inputs]:
    (folder / "CoLA").mkdir(parents=True)
    (folder / "CoLA/train.tsv").write_text('a\t1\t\tStir "it.\na\t0\t*\tIt stir.\na\t2\t*\tIt.\n')
    (folder / "CoLA/test.tsv").write_text("index\tsentence\n0\tCut it.\n")
    return ReadGlue(folder=str(folder), name="cola"), {}


def group_candidates(folder: Path) -> tuple[Stage, Inputs]:
    cells = {"id": list("abcd"), "text": ["who", "why", "who", "why"], "second": ["I", "so", "soup", "now"]}
    labels = ["entailment", "not_entailment", "not_entailment", "entailment"]
    rows = pa.table({**cells, "label": labels, "split": ["train"] * 4})
    return GroupCandidates(), {"rows": artifact(folder / "rows", rows)}


def read_squad(folder: Path) -> tuple[Stage, Inputs]:
    return ReadSquad(train=write_articles(folder / "all.json", articles=20), dev_articles=1, test_articles=3), {}


def read_natural_questions(folder: Path) -> tuple[Stage, Inputs]:
    return ReadNaturalQuestions(train=write_pages(folder / "train.jsonl.gz"), dev=write_pages(folder / "dev.jsonl")), {}


def write_natural_questions(folder: Path) -> tuple[Stage, Inputs]:
    return WriteNaturalQuestions(), {"predictions": artifact(folder / "predictions", answered_pages())}


def load_encoder(folder: Path) -> tuple[Stage, Inputs]:
    save_encoder(folder / "encoder")
    return LoadEncoder(encoder=str(folder / "encoder")), {}


def encode(folder: Path) -> tuple[Stage, Inputs]:
    inputs = {"rows": tiny_world.segments(folder / "rows"), "model": tiny_world.extended_bert(folder / "model")}
    return Encode(task=VideoText()), inputs


def train(folder: Path) -> tuple[Stage, Inputs]:
    model = tiny_world.extended_bert(folder / "model")
    stage = Train(task=VideoText(), steps=4, global_batch_size=16, precision="float32")
    return stage, {"model": model, "examples": tiny_world.examples(folder, model)}


def trained(folder: Path) -> Inputs:
    stage, inputs = train(folder)
    model = Artifact(folder / "trained", "trained")
    make(stage, inputs, model, LocalExecutor())
    return {"model": model, "examples": inputs["examples"]}


def predict(folder: Path) -> tuple[Stage, Inputs]:
    return Predict(task=VideoText()), trained(folder)


def evaluate(folder: Path) -> tuple[Stage, Inputs]:
    return Evaluate(task=VideoText()), trained(folder)


def features(folder: Path, width: int = 40) -> Artifact:
    """Clips of six videos around a dozen centres, in two parts."""
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(12, width))
    vectors = centres[draw.integers(12, size=240)] + 0.2 * draw.normal(size=(240, width))
    tables = [feature_table(f"v{i}", vectors[i * 40 : i * 40 + 40].astype(np.float32), 1.5) for i in range(6)]
    return artifact(folder / "features", pa.concat_tables(tables))


def fit_codebook(folder: Path) -> tuple[Stage, Inputs]:
    splits = pa.table({"video_id": [f"v{i}" for i in range(6)], "split": ["train"] * 5 + ["test"]})
    inputs = {"features": features(folder), "splits": artifact(folder / "splits", splits, parts=1)}
    return FitCodebook(branching=3, depth=3), inputs


def assign_tokens(folder: Path) -> tuple[Stage, Inputs]:
    return AssignTokens(), {"features": features(folder), "codebook": small_codebook(folder / "codebook", width=40)}


def render_kitchen(folder: Path) -> tuple[Stage, Inputs]:
    return RenderKitchen(train=2, dev=1, test=0, scenes=1, sound=True), {}


def read_segments(folder: Path) -> tuple[Stage, Inputs]:
    folder.mkdir(exist_ok=True)
    rows = ["video_id,start_s,end_s,verb,object", "a,0,1.5,stir,soup", "a,2,1,stir,soup", "b,1e1,20,cut,leek"]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return ReadSegments(labels=str(folder / "labels.csv")), {}


def zero_shot(folder: Path) -> tuple[Stage, Inputs]:
    verbs = {"v0": "stir", "v1": "cut", "v2": "stir", "v3": "cut"}
    labels = [
        {"video_id": v, "start_s": 0.0, "end_s": 30.0, "verb": verb, "object": "soup"} for v, verb in verbs.items()
    ]
    splits = pa.table({"video_id": list(verbs), "split": ["train", "train", "test", "test"]})
    clips = features(folder)
    tokens = clips.read(["video_id", "clip", "start_s", "end_s"])
    tokens = tokens.append_column("token", pa.array(np.arange(tokens.num_rows) % 8, pa.uint16()))
    model = trained(folder)["model"]
    return ZeroShot(), {
        "model": model,
        "start": Artifact(folder / "model", "model"),
        "labels": artifact(folder / "labels", pa.Table.from_pylist(labels), parts=1),
        "tokens": artifact(folder / "tokens", tokens),
        "features": clips,
        "splits": artifact(folder / "splits", splits, parts=1),
    }


def read_conllu(folder: Path) -> tuple[Stage, Inputs]:
    """Two treebanks, in one of them a sentence whose second line is broken."""
    path = write_treebank(folder / "xx_toy-ud-train.conllu", 0, 6)
    path.write_text(path.read_text() + "1\ta\t_\n\n")
    write_treebank(folder / "yy_toy-ud-test.conllu", 6, 9)
    return ReadConllu(train=str(folder / "xx*"), test=str(folder / "yy*")), {}


def write_conllu(folder: Path) -> tuple[Stage, Inputs]:
    rows = [{"id": f"{'ab'[i // 4]}.conllu:{i}", "conllu": sentence(i)} for i in range(6)]
    return WriteConllu(), {"predictions": artifact(folder / "predictions", pa.Table.from_pylist(rows))}


CASES = [
    Case("draw numbers", lambda folder: (toys.DrawNumbers(groups=3, rows=2, parts=2), {})),
    Case("square numbers", lambda folder: (toys.SquareNumbers(), {"numbers": numbers(folder)})),
    Case("square whole parts", lambda folder: (toys.SquareNumbers(whole=True), {"numbers": numbers(folder)})),
    Case("square good numbers", lambda folder: (toys.SquareNumbers(at=("g3",)), {"numbers": numbers(folder)})),
    Case(
        "sum groups",
        lambda folder: (toys.SumGroups(), {"numbers": numbers(folder), "squares": numbers(folder, "squares")}),
        tolerance=1e-9,
    ),
    Case("transcribe captions", captioned),
    Case("read videos", read_videos, leave_out=("path", "captions")),
    Case("embed clips", embed_clips, tolerance=2e-2, leave_out=("thumbnail",)),
    Case("read features", read_features),
    Case("extend vocabulary", extend_vocabulary, tolerance=1e-5, leave_out=("*.json", "* bert.encoder.*")),
    Case("align speech", align_speech),
    Case("read corpus", read_corpus),
    Case("split videos", split_videos),
    Case("read sentences", read_sentences),
    Case("read table", read_table),
    Case("read glue", read_glue),
    Case("group candidates", group_candidates),
    Case("read conll", small_label_files.conll),
    Case("read intents", small_label_files.intents),
    Case("read sentihood", small_label_files.sentihood),
    Case("read semeval absa", small_label_files.semeval_absa),
    Case("read conllu", read_conllu),
    Case("write conllu", write_conllu),
    Case(
        "plot layer weights",
        lambda folder: (PlotLayerWeights(), {"model": small_parser(folder)}),
        tolerance=1e-6,
        leave_out=("*.png",),
    ),
    Case("read squad", read_squad),
    Case("read natural questions", read_natural_questions),
    Case("write natural questions", write_natural_questions),
    Case("load encoder", load_encoder, tolerance=1e-5, leave_out=("*.json", "* bert.encoder.*")),
    Case("encode", encode),
    Case("train", train, tolerance=1e-2, trains=True, leave_out=("*.json", "*.png", "tensorboard/*", "*tensors *")),
    Case("predict", predict, tolerance=5e-2, trains=True),
    Case("render kitchen", render_kitchen, tolerance=1e-3),
    Case("read segments", read_segments, leave_out=("errors",)),
    Case("fit codebook", fit_codebook, tolerance=1e-3, leave_out=("*.png",)),
    Case("assign tokens", assign_tokens),
    Case("zero shot", zero_shot, trains=True, leave_out=("*_ranked", "scores.md")),
    Case("evaluate", evaluate, tolerance=5e-2, trains=True, leave_out=("result", "*.json")),
    *RETRIEVAL,
    *SUMMARIES,
    *REWRITING,
]
