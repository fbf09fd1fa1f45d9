"""Which preprocessing belongs to weights: the folder's, the tag's, that of all published tags, or a declared one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from crossgap.backbones import slip
from crossgap.errors import WeightsError
from crossgap.strict import Strict

KEYS = ("mean", "std", "interpolation", "resize_mode")
Channels = Annotated[tuple[float, float, float], Field(strict=False)]  # YAML has lists, no tuples
_Deviation = Annotated[float, Field(gt=0)]
Deviations = Annotated[tuple[_Deviation, _Deviation, _Deviation], Field(strict=False)]


class Preprocess(Strict):
    """How an image becomes pixels, in open_clip's terms; the size is the model's."""

    mean: Channels
    std: Deviations
    interpolation: Literal["bicubic", "bilinear"]
    resize_mode: Literal["shortest", "longest", "squash"]


Asked = str | Mapping[str, Any] | Preprocess | None


def of_tag(tag: str, asked: Asked) -> str:
    """What tells the preprocessing of a tag's weights: the tag, which open_clip follows.

    Raises:
        WeightsError: another is asked for.
    """
    if asked is not None:
        raise WeightsError(f"the tag {tag!r} brings its own preprocessing: remove `preprocess`")
    return f"tag {tag}"


def of_file(model: str, asked: Asked) -> tuple[dict[str, Any], str]:
    """The preprocessing of a checkpoint file in a registered model, and where it is from.

    Raises:
        WeightsError: the model's tags differ and nothing is asked for, or what is asked for isn't known.
    """
    if asked is None and model.startswith(slip.PREFIX):
        return slip.PREPROCESSING, "SLIP's release"
    return _chosen(model, [model], asked)


def of_folder(model: str, document: Mapping[str, Any], asked: Asked) -> tuple[dict[str, Any], str]:
    """The preprocessing of a folder or repository with an `open_clip_config.json`, and where it is from.

    The configuration's `preprocess_cfg` comes first. Without it, the folder has the preprocessing of the registered
    model with the same configuration.

    Raises:
        WeightsError: another is asked for beside the folder's own, or it can't be told.
    """
    import open_clip

    if "preprocess_cfg" in document:
        if asked is not None:
            raise WeightsError(
                f"{model!r} brings its own preprocess_cfg, so `preprocess` would be ignored: remove it, or change "
                "the open_clip_config.json"
            )
        return {}, "preprocess_cfg of open_clip_config.json"
    config = document.get("model_cfg")
    same = [name for name in open_clip.list_models() if open_clip.get_model_config(name) == config]
    if not same and asked is None:
        raise WeightsError(
            f"the open_clip_config.json of {model!r} has no preprocess_cfg, and its model_cfg is none of open_clip's: "
            f"add one there, or `preprocess` to the row, with {', '.join(KEYS)}"
        )
    return _chosen(model, same, asked)


def described(asked: Asked) -> dict[str, Any]:
    """A declared preprocessing, with its values checked.

    Raises:
        WeightsError: a value that open_clip's transform doesn't take, or one too few or too many.
    """
    try:
        return Preprocess.model_validate(dict(asked) if isinstance(asked, Mapping) else asked).model_dump()
    except ValidationError as error:
        (first, *_) = error.errors()
        place = ".".join(map(str, ("preprocess", *first["loc"])))
        raise WeightsError(f"{place}: {first['msg']}; needed are {', '.join(KEYS)}") from error


def _chosen(model: str, names: list[str], asked: Asked) -> tuple[dict[str, Any], str]:
    import open_clip

    published = {
        tag: {key: open_clip.get_pretrained_cfg(name, tag)[key] for key in KEYS}
        for name in names
        for tag in open_clip.list_pretrained_tags_by_model(name)
    }
    if isinstance(asked, str):
        tag = asked.lower().replace("-", "_")  # as open_clip reads a tag
        if tag not in published:
            raise WeightsError(
                f"preprocess {asked!r} is no tag of {model} (its tags: {', '.join(published) or 'none'}): name one, "
                f"or give an object with {', '.join(KEYS)}"
            )
        return published[tag], f"tag {tag}, named by `preprocess`"
    if asked is not None:
        return described(asked), "given by `preprocess`"
    if not published:
        return {}, f"open_clip's default: it has no weights of {model}"
    groups: dict[str, list[str]] = {}
    for tag, found in published.items():
        groups.setdefault(_said(found.values()), []).append(tag)
    if len(groups) > 1:
        alike = "; ".join(f"{', '.join(tags)} have {said}" for said, tags in groups.items())
        raise WeightsError(
            f"the published weights of {model} differ in their preprocessing ({alike}), and a file doesn't say which "
            f"it needs: name a tag of the same preprocessing as `preprocess`, or give {', '.join(KEYS)} there"
        )
    tags = list(published)
    return published[tags[0]], f"all published tags of {', '.join(names)}: {', '.join(tags)}"


def _said(values: Iterable[Any]) -> str:
    return ", ".join("/".join(f"{x:g}" for x in v) if isinstance(v, tuple) else str(v) for v in values)
