"""The transform of a batch against the library's own, image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import Compose, Normalize, ToTensor

from crossgap.backbones.batch_transform import BatchTransform

MODES = ("RGB", "L", "RGBA", "P", "CMYK", "LA", "1")


def pictures() -> list[Image.Image]:
    random = np.random.default_rng(0)
    sizes = [(40, 31), (31, 40), (9, 9), (64, 200), (33, 33), (32, 32), (3, 50)]
    held = [Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)) for size in sizes]
    return [image.convert(mode) for image, mode in zip(held, MODES, strict=True)]


OPENAI = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}
RGB = create_transform((3, 32, 32), is_training=False, **OPENAI)
TRANSFORMS = {
    **{
        f"open_clip's {mode}, {kind}": image_transform_v2(
            PreprocessCfg(size=32, resize_mode=mode, interpolation=kind, **OPENAI), is_train=False
        )
        for mode in ("shortest", "longest", "squash")
        for kind in ("bicubic", "bilinear")
    },
    "timm's": Compose([lambda image: image.convert("RGB"), RGB]),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_batch_is_bit_for_bit_what_the_library_makes_of_each_image(transform) -> None:
    pixels, images = BatchTransform(transform), pictures()
    parts = [pixels.one(image) for image in images]
    assert {part.dtype for part in parts} == {torch.uint8}, "the arithmetic is the batch's"
    wanted = torch.stack([transform(image) for image in images])
    found = pixels.batch(parts)
    assert found.dtype == wanted.dtype and found.is_contiguous() and torch.equal(found, wanted)


def test_every_byte_becomes_the_float_that_the_library_makes_of_it() -> None:
    bytes_ = np.arange(256 * 3, dtype=np.int64).reshape(16, 16, 3) % 256
    image, transform = Image.fromarray(bytes_.astype(np.uint8)), TRANSFORMS["open_clip's squash, bicubic"]
    tail = Compose([image.__class__.copy, *transform.transforms[1:]])
    pixels = BatchTransform(tail)
    assert torch.equal(pixels.batch([pixels.one(image)])[0], tail(image))


@pytest.mark.parametrize(
    "transform",
    [
        lambda image: ToTensor()(image.convert("RGB").resize((8, 8))),
        Compose([lambda image: image.resize((8, 8)).convert("RGB"), ToTensor()]),
        # leaves grey as it is
        Compose([lambda image: image.resize((8, 8)), ToTensor(), Normalize(0.5, 0.5)]),
    ],
)
def test_another_transform_is_applied_as_it_is(transform) -> None:
    pixels, image = BatchTransform(transform), pictures()[1]
    assert pixels.one is transform
    assert torch.equal(pixels.batch([pixels.one(image)] * 2)[1], transform(image))
