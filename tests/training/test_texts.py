from __future__ import annotations

import open_clip
import pytest
import torch

from crossgap.training import texts
from crossgap.training.texts import text_features

TEXT = {"context_length": 16, "vocab_size": 40, "width": 16, "heads": 2, "layers": 2}
VISION = {"image_size": 8, "patch_size": 4, "width": 16, "layers": 1, "head_width": 8}


@pytest.fixture
def ids() -> torch.Tensor:
    """Texts of 3, 7 and 5 tokens; the end token has the highest id, behind it are zeros."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.zeros(3, 16, dtype=torch.long)
    for row, length in enumerate((3, 7, 5)):
        rows[row, :length] = torch.randint(1, 38, (length,), generator=generator)
        rows[row, length - 1] = 39
    return rows


@pytest.mark.parametrize(
    ("more", "cut"),
    [
        ({}, True),
        ({"proj_bias": True}, True),
        ({"no_causal_mask": True}, False),
        ({"pool_type": "last"}, False),
        ({"proj_type": "none"}, False),
    ],
)
def test_the_end_of_the_longest_text_is_enough(ids, more, cut, monkeypatch) -> None:
    torch.manual_seed(0)
    model = open_clip.CLIP(embed_dim=8, vision_cfg=VISION, text_cfg={**TEXT, **more})
    seen = []
    model.transformer.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape[1]))
    whole = model.encode_text(ids)
    whole.square().sum().backward()
    wanted = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    found = text_features(model, ids)
    found.square().sum().backward()
    assert seen == [16, 7 if cut else 16]
    torch.testing.assert_close(found, whole)
    for name, gradient in wanted.items():
        torch.testing.assert_close(dict(model.named_parameters())[name].grad, gradient, rtol=1e-4, atol=1e-3)


def test_another_kind_of_model_is_left_to_itself(ids) -> None:
    model = open_clip.CustomTextCLIP(embed_dim=8, vision_cfg=VISION, text_cfg=TEXT)
    assert not texts._ends_early(model)
    torch.testing.assert_close(text_features(model, ids), model.encode_text(ids))
