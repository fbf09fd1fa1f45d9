"""Byte-pair merges for open_clip's `SimpleTokenizer` (Sennrich et al. 2016): a small vocabulary of our own.

The tokenizer falls back to bytes, so it reads any text, though in more tokens.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

END = "</w>"


def learn_merges(words: Mapping[str, int], limit: int) -> list[tuple[str, str]]:
    """The merges that make words whole, the most frequent pair first and ties in alphabetical order.

    Args:
        words: lower-case ASCII words and how often they come.
        limit: most merges to learn; fewer if every word has become one token.
    """
    parts = {word: (*word[:-1], word[-1] + END) for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < limit:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in parts.items():
            for pair in pairwise(symbols):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        parts = {word: _merged(symbols, best) for word, symbols in parts.items()}
    return merges


def write_merges(path: Path, merges: Iterable[tuple[str, str]]) -> None:
    """Write merges as the gzipped text that `SimpleTokenizer` reads: a heading, then a pair a line."""
    lines = ["#version: crossgap embedded world", *(" ".join(pair) for pair in merges)]
    Path(path).write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


def _merged(symbols: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    out: list[str] = []
    for symbol in symbols:
        if out and (out[-1], symbol) == pair:
            out[-1] += symbol
        else:
            out.append(symbol)
    return tuple(out)
