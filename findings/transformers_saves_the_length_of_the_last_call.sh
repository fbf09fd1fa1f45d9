#!/usr/bin/env bash
# transformers and tokenizers: a tokenizer that was used for short prompts cuts captions.
#
# A competent person would guess: truncation and max_length are arguments of one call, and
# save_pretrained writes the tokenizer as it was loaded. The package tokenizers (and all
# that read tokenizer.json: servers of features, browsers, exports) gives a text the ids
# that transformers gives it.
#
# Versions: transformers 5.24.0, tokenizers 0.23.3, Python 3.11.
#
# What happens instead: the arguments of the last call stay in the tokenizer and are saved
# in tokenizer.json. There they hold for every text: after zero-shot classification with
# prompts of 8 tokens, tokenizers cuts all captions to 8 and fills shorter texts with
# padding, while transformers reads the same folder as if it weren't so. Which of
# two calls came last decides; one without truncation, even of one word, takes it away.
# Features of long captions are those of their first words, and have the right shape.
# Nothing is raised or warned of, and a token at the end of the text is set after the cut.
# (Known upstream: issue 24441 of transformers.)
#
# Seen, the number of ids of a caption of 20 words, with one for the end:
#   saved as made:            transformers 21, tokenizers 21
#   after prompts, 8 tokens:  transformers 21, tokenizers 8
#   after one more word:      transformers 21, tokenizers 21
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check transformers==5.24.0 tokenizers==0.23.3 numpy==2.4.6
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

cat > lengths.py <<'PY'
import sys
import warnings

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

warnings.simplefilter("error")
words = [f"word{number}" for number in range(20)]
vocabulary = {word: number for number, word in enumerate(["<pad>", "<unknown>", "<end>", *words])}
made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))
made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
made.post_processor = processors.TemplateProcessing(single="$A <end>", special_tokens=[("<end>", 2)])
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=made, unk_token="<unknown>", pad_token="<pad>", eos_token="<end>", model_max_length=77
)
caption, seen = " ".join(words), []


def saved(name):
    tokenizer.save_pretrained(name)
    read = Tokenizer.from_file(f"{name}/tokenizer.json").encode(caption).ids
    seen.append((len(AutoTokenizer.from_pretrained(name)(caption).input_ids), len(read)))
    if read[-1] != vocabulary["<end>"]:
        sys.exit("the text has no end")
    print("{:<25} transformers {}, tokenizers {}".format(f"{name}:", *seen[-1]))


saved("saved as made")
tokenizer(["word1", "word2 word3"], padding="max_length", truncation=True, max_length=8)
saved("after prompts, 8 tokens")
tokenizer("word1")
saved("after one more word")
if seen != [(21, 21), (21, 8), (21, 21)]:
    sys.exit("the behaviour changed")
PY
venv/bin/python lengths.py
