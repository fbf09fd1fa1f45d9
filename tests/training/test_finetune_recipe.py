from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from crossgap.losses import TERMS
from crossgap.training.augment import Augment
from crossgap.training.finetune_recipe import Finetune
from crossgap.training.trainer import rate

NEEDED = {"backbone": "nano", "dataset": "world"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"losses": {"clip": 1, "moco": 1}}, f"losses\n.*no loss moco; known: {', '.join(TERMS)}"),
        ({"losses": {"clip": 0}}, "losses.clip\n.*greater than 0"),
        ({"losses": {"clip": math.inf}}, "losses.clip\n.*finite"),
        ({"losses": {}}, "losses\n.*at least 1 item"),
        ({"temperature": 0}, "temperature\n.*greater than 0"),
        ({"temperature": math.inf}, "temperature\n.*finite"),
        ({"batch_size": 1}, "batch_size\n.*greater than or equal to 2"),
        ({"epochs": 0}, "epochs\n"),
        ({"width": 0}, "width\n"),
        ({"lr": 0}, "lr\n"),
        ({"lr": math.inf}, "lr\n.*less than or equal to 10{30}"),
        ({"projection_lr": 1e38, "width": 8}, "projection_lr\n.*less than or equal to 10{30}"),
        ({"clip_grad_norm": 0}, "clip_grad_norm\n"),
        ({"captions": "all"}, "captions\n.*'first' or 'any'"),
        ({"precision": "fp16"}, "precision\n.*'fp32' or 'bf16'"),
        ({"augment": {"flip": 0}}, "augment, intra_modal_temperature: only of the loss `slip`; remove them or add it"),
        ({"intra_modal_temperature": 0.5}, "only of the loss `slip`"),
        ({"losses": {"slip": 1}, "augment": {"turn": 1}}, "augment.turn\n.*not permitted"),
        ({"distillation_temperature": 2}, "only of the loss `hybrid_distillation`; remove it or add the loss"),
        ({"losses": {"hybrid_distillation": 1}, "distillation_temperature": 0}, "distillation_temperature\n.*greater"),
        ({"projection_lr": 1e-3}, "projection_lr: nothing is new without a width"),
        ({"steps": 5}, "steps\n.*not permitted"),
        ({"backbone": "a/b"}, "backbone\n"),
    ],
)  # fmt: skip
def test_errors_name_the_field(given, said) -> None:
    with pytest.raises(ValidationError, match=said):
        Finetune(**{**NEEDED, **given})


def test_what_is_not_given_is_the_papers() -> None:
    recipe = Finetune(**NEEDED)
    assert (recipe.losses, recipe.temperature, recipe.learn_temperature) == ({"clip": 1}, 0.01, False)
    assert (recipe.epochs, recipe.batch_size, recipe.lr) == (9, 64, 1e-6)
    assert (recipe.betas, recipe.weight_decay) == ((0.9, 0.99), 0.1)
    views = Finetune(**NEEDED, losses={"slip": 2}, augment={"flip": 0}, intra_modal_temperature=0.5)
    assert views.augment == Augment(flip=0)


def test_rates() -> None:
    def rates(**given) -> list[float]:
        recipe = Finetune(**NEEDED, **given)
        return [rate(step, 8, recipe.warmup, recipe.schedule) for step in range(8)]

    assert rates() == [1] * 8
    assert rates(warmup=4) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    cosine = [(1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)]
    assert rates(schedule="cosine") == pytest.approx(cosine)
    assert rates(schedule="cosine", warmup=2) == pytest.approx([0.5, *cosine[1:]])
