"""The tokenizer of a model."""

from __future__ import annotations

from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import open_clip
from huggingface_hub import try_to_load_from_cache

from crossgap.backbones import hub, towers
from crossgap.backbones.towers import HUB_PREFIX, LOCAL_DIR_PREFIX
from crossgap.backbones.weights_files import document_of
from crossgap.errors import BackboneError, WeightsError, of_machine

_FILE = "tokenizer.json"
_AS_IT_STANDS = (
    "PreTrainedTokenizerFast"  # the one class that takes the file whole, in every version of transformers
)
_WORDS = ("A photo of a Red dog, the man's best friend.", "two  dogs\tin 2026: cafés & Straße")


def load_tokenizer(model: str, cache_dir: str | None = None) -> Any:
    """open_clip's tokenizer of a model; a folder's own merges are found in that folder.

    Raises:
        BackboneError: it can't be had, for want of a library or a network; it brings code of its own, has no padding
            token, or reads words otherwise than its tokenizer.json.
    """
    config = _text_config(model, cache_dir)
    options: dict[str, Any] = {}
    merges = towers.merges(config)
    if merges and model.startswith(LOCAL_DIR_PREFIX):
        # open_clip would look in the working directory
        options["bpe_path"] = str(Path(model.removeprefix(LOCAL_DIR_PREFIX)) / merges)
    name = config.get("hf_tokenizer_name")
    if name:
        # else the user may be asked, or a model's own configuration have its code run, which no time-out keeps it from
        options["trust_remote_code"] = False
    asks = towers.asks_hub(towers.canonical(model))
    try:
        with hub.asked_if_reachable() if asks else nullcontext():
            loaded = open_clip.get_tokenizer(towers.canonical(model), cache_dir=cache_dir, **options)
    except ImportError as error:
        raise BackboneError(
            f"the tokenizer of {model!r} is from Hugging Face: pip install 'crossgap[hub]' ({error})"
        ) from error
    except Exception as error:
        if of_machine(error):
            raise
        reason = hub.why(error) if asks else error
        if "trust_remote_code" in str(error):
            reason = (
                "it brings code of its own, which is not run: take a tokenizer.json, and in tokenizer_config.json the "
                f"tokenizer_class {_AS_IT_STANDS}"
            )
        raise BackboneError(
            f"the tokenizer of {model!r}{_from(model, name)} can't be had: {reason}"
        ) from error
    if name:
        _check(loaded, model, name, cache_dir)
    return loaded


def _check(loaded: Any, model: str, name: str, cache_dir: str | None) -> None:
    """BackboneError if a tokenizer of transformers can't pad, or reads words otherwise than its tokenizer.json.

    transformers 5 makes most classes anew from the vocabulary of that file, and forgets how it normalises.
    """
    called = f"the tokenizer of {model!r}{_from(model, name)}"
    if loaded.tokenizer.pad_token_id is None:
        raise BackboneError(f"{called} has no padding token: name one as pad_token in tokenizer_config.json")
    folder = Path(model.removeprefix(LOCAL_DIR_PREFIX) if model.startswith(LOCAL_DIR_PREFIX) else name)
    file = folder / _FILE if folder.is_dir() else try_to_load_from_cache(name, _FILE, cache_dir=cache_dir)
    if not isinstance(file, str | Path) or not Path(file).is_file():
        return
    from tokenizers import Tokenizer

    stored = Tokenizer.from_file(str(file))
    stored.no_padding()
    stored.no_truncation()
    for text in map(loaded.clean_fn, _WORDS):
        read = loaded.tokenizer(text, add_special_tokens=False).input_ids
        right = stored.encode(text, add_special_tokens=False).ids
        if read != right:
            raise BackboneError(
                f"{called} is read by transformers {version('transformers')} otherwise than its {_FILE} says "
                f"({text!r} as {read}, not {right}): give its tokenizer_config.json the tokenizer_class "
                f"{_AS_IT_STANDS}, or install transformers<5"
            )


def _text_config(model: str, cache_dir: str | None) -> dict[str, Any]:
    """What a model's configuration says of its texts; nothing where it can't be had."""
    try:
        config = (
            document_of(model, cache_dir)["model_cfg"]
            if model.startswith(HUB_PREFIX)
            else towers.configuration(model)
        )
    except WeightsError:
        return {}
    return (config or {}).get("text_cfg") or {}


def _from(model: str, name: str | None) -> str:
    """The repository of a model's tokenizer, if it is another's, in words."""
    return f", {name!r} of Hugging Face," if name and not model.startswith(LOCAL_DIR_PREFIX) else ""
