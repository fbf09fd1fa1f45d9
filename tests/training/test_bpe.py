from __future__ import annotations

from collections import Counter

import open_clip

from crossgap.training.bpe import learn_merges, write_merges


def test_merges_by_hand() -> None:
    # ab: 3 + 2 times, then (ab, c</w>) 3 times before (ab, d</w>) 2 times and (x, y</w>) once
    words = {"abc": 3, "abd": 2, "xy": 1}
    expected = [("a", "b"), ("ab", "c</w>"), ("ab", "d</w>"), ("x", "y</w>")]
    assert learn_merges(words, 10) == expected
    assert learn_merges(dict(reversed(words.items())), 10) == expected
    assert learn_merges(words, 2) == expected[:2]


def test_open_clips_tokenizer_reads_them(tmp_path) -> None:
    text = "a photo of a red circle on the left, at night"
    merges = learn_merges(Counter(text.replace(",", "").split()), 500)
    paths = [tmp_path / "one.txt.gz", tmp_path / "two.txt.gz"]
    for path in paths:
        write_merges(path, merges)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    tokenizer = open_clip.tokenizer.SimpleTokenizer(bpe_path=str(paths[0]), context_length=32)
    assert tokenizer.vocab_size == 2 * 256 + len(merges) + 2
    assert len(tokenizer.encode(text)) == len(text.replace(",", " ,").split())
    assert tokenizer.eot_token_id == tokenizer.vocab_size - 1
    other = "Zwölf Boxkämpfer jagen Viktor, 100 % naïve 日本"
    assert (
        tokenizer.decode(tokenizer.encode(other)).split()
        == other.lower().replace(",", " ,").replace("100", "1 0 0").split()
    )
