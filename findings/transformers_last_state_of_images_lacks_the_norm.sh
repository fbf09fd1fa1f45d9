#!/usr/bin/env bash
# transformers: CLIP's last_hidden_state is normalised for texts, and not for images.
#
# A competent person would guess: last_hidden_state is what a tower gives for each of its
# tokens, and the projection makes features of it: of the end token those of the text, of
# the first token (CLS) those of the image, of the others those of its patches, as dense
# methods (segmentation with words) use them. It is one thing in both towers of a model.
#
# Versions: transformers 5.24.0, torch 2.14.1, Python 3.11.
#
# What happens instead: CLIP's text tower normalises all tokens (final_layer_norm) and then
# takes one; its image tower takes the first and normalises that alone (post_layernorm), so
# that last_hidden_state lacks the last layer. SigLIP's image tower normalises all tokens,
# too. Patches of CLIP are projected from another place than it was trained with, and a gap
# between images and texts before the projection is partly that of the missing norm. The
# shapes are right, and nothing is raised or warned of. (The documentation says of
# hidden_states alone that they may lack a norm.)
#
# Seen, with weights drawn at random, of a token of last_hidden_state: cosine with what the
# model projects, and once projected, with the features that the model gives:
#   CLIP, texts, end token:     1.00, 1.00
#   CLIP, images, first token:  0.85, 0.86
#   and with post_layernorm:    1.00, 1.00
#   SigLIP, images: last_hidden_state is what post_layernorm gives
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check transformers==5.24.0 torch==2.14.1 numpy==2.4.6
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

cat > states.py <<'PY'
import sys
import warnings

import torch
from transformers import CLIPConfig, CLIPModel, SiglipVisionConfig, SiglipVisionModel

warnings.simplefilter("error")
torch.manual_seed(0)
tower = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
pixels = {"image_size": 64, "patch_size": 16}
words = {"vocab_size": 100, "bos_token_id": 98, "eos_token_id": 99}
model = CLIPModel(CLIPConfig(text_config={**tower, **words}, vision_config={**tower, **pixels})).eval()
siglip = SiglipVisionModel(SiglipVisionConfig(**tower, **pixels)).eval()
with torch.no_grad():
    for name, weights in [*model.named_parameters(), *siglip.named_parameters()]:
        if "norm" in name:
            # training leaves none at 1 and 0
            weights.normal_(mean=1.0 if name.endswith("weight") else 0.0, std=0.5)
    images, tokens = torch.rand(8, 3, 64, 64), torch.randint(98, (8, 12))
    tokens[:, 0], tokens[:, -1] = 98, 99
    shown, said = model.vision_model(images), model.text_model(tokens)
    first, end = shown.last_hidden_state[:, 0], said.last_hidden_state[:, -1]
    given = model.get_text_features(tokens).pooler_output, model.get_image_features(images).pooler_output
    normalised = []
    siglip.post_layernorm.register_forward_hook(lambda module, tokens, output: normalised.append(output))
    same = torch.equal(siglip(images).last_hidden_state, normalised[0])
    seen = []
    image = shown.pooler_output, model.visual_projection, given[1]
    for name, token, right, projection, features in (
        ("CLIP, texts, end token:", end, said.pooler_output, model.text_projection, given[0]),
        ("CLIP, images, first token:", first, *image),
        ("and with post_layernorm:", model.vision_model.post_layernorm(first), *image),
    ):
        before = torch.cosine_similarity(token, right).mean().item()
        after = torch.cosine_similarity(projection(token), features).mean().item()
        seen.append((before, after))
        print(f"{name:<27} {before:.2f}, {after:.2f}")
print("SigLIP, images: last_hidden_state", "is" if same else "isn't", "what post_layernorm gives")
texts, images, mended = seen
if not (same and min(texts + mended) > 0.999 and max(images) < 0.95):
    sys.exit("the behaviour changed")
PY
venv/bin/python states.py
