"""The models and tags that open_clip and timm register, read from their files: importing them would import torch."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import Any

from crossgap.backbones import towers
from crossgap.libraries import folder_of

QUICK = "-quickgelu"


@cache
def models() -> list[str]:
    """All that `load_backbone` takes by name: open_clip's, and those that crossgap has configurations of."""
    folders = (folder_of("open_clip") / "model_configs", towers.OWN_CONFIGS)
    return sorted({file.stem for folder in folders for file in folder.glob("*.json")})


@cache
def tags() -> dict[str, dict[str, dict[str, Any]]]:
    """What open_clip publishes of a model's weights, by model and tag: `hf_hub`, `url`, `quick_gelu`, as there are.

    Empty, where its file is not written as it was when this was: then only loading can tell.
    """
    tree = ast.parse((folder_of("open_clip") / "pretrained.py").read_text(encoding="utf-8"))
    values: dict[str, Any] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            values[statement.targets[0].id] = _value(statement.value, values)
    found = values.get("_PRETRAINED")
    if not isinstance(found, dict) or not all(isinstance(held, dict) for held in found.values()):
        return {}
    quick = {
        f"{model}{QUICK}": {tag: facts for tag, facts in held.items() if facts and facts.get("quick_gelu")}
        for model, held in found.items()
    }
    return found | {model: held for model, held in quick.items() if held}


def tag(model: str, name: str) -> dict[str, Any] | None:
    """What is published under a tag, as open_clip finds it; None where there is no such tag."""
    return tags().get(towers.canonical(model), {}).get(towers.canonical_tag(name))


@cache
def of_timm() -> dict[str, set[str]]:
    """timm's architectures, and the tags of the weights that its files name of each, as far as they do."""
    text = "\n".join(file.read_text("utf-8") for file in sorted((folder_of("timm") / "models").rglob("*.py")))
    names = re.findall(r"^@register_model\s+def (\w+)\(", text, re.MULTILINE)
    names = re.findall(r"^@register_model\s+def (\w+)\(", text, re.MULTILINE)
    found: dict[str, set[str]] = {name: set() for name in names}
    for name, of in re.findall(r"""['"](\w+)\.([\w.-]+)['"]""", text):
        if name in found:
            found[name].add(of)
    return found


def _value(node: ast.expr, values: dict[str, Any]) -> Any:
    """Of literals, names, dict(...) and calls with keywords, of which the keywords are kept; None of all else."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return values.get(node.id)
    if isinstance(node, ast.Call):
        return {keyword.arg: _value(keyword.value, values) for keyword in node.keywords if keyword.arg}
    if isinstance(node, ast.Dict):
        pairs = list(zip(node.keys, node.values, strict=True))
        found = {key.value: _value(value, values) for key, value in pairs if isinstance(key, ast.Constant)}
        return found if len(found) == len(pairs) else None
    return None
