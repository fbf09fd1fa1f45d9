from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import open_clip
import pytest
from pydantic import TypeAdapter

from crossgap.datasets import world
from crossgap.datasets.declared import DatasetError, Declaration, World
from crossgap.datasets.preparing import prepare
from crossgap.datasets.vocabulary import names, rows
from crossgap.prepared import manifest

SAME = {"query": "test", "gallery": "test"}


def test_imagenet_names_are_open_clips() -> None:
    assert names("imagenet") == list(open_clip.IMAGENET_CLASSNAMES)
    assert len(names("imagenet")) == 1000


def test_imagenet_names_are_read_without_importing_open_clip() -> None:
    code = "import sys; from crossgap.datasets.vocabulary import names; names('imagenet'); "
    code += "print([name for name in ('torch', 'open_clip') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_world_names_are_words_and_training_combinations() -> None:
    found = names("world", 3)
    assert len(found) == len(set(found)) == 1000 and found == names("world", 3) != names("world", 0)
    plain = [synonyms[0] for values in world.SYNONYMS.values() for synonyms in values.values()]
    assert found[: len(plain)] == plain
    assert all(
        re.fullmatch(r"\w+ \w+ \w+ \w+ (on the|at the|in the) \w+ \w+ .*\w+", name) for name in found[32:]
    )
    factors = list(world.SYNONYMS)
    scenes = []
    for name in found[len(plain) :]:
        said = {
            (factor, value)
            for factor, values in world.SYNONYMS.items()
            for value, synonyms in values.items()
            if re.search(rf"\b{synonyms[0]}\b", name)
        }
        assert sorted(factor for factor, _ in said) == sorted(factors)
        said = dict(said)
        scenes.append([world.FACTORS[factor].index(said[factor]) for factor in factors])
    assert not world.held_out(np.array(scenes)).any()


def test_names_of_a_file_in_its_order(tmp_path) -> None:
    file = tmp_path / "names.txt"
    file.write_bytes("\ufeffcat\r\n\r\n dog \nübermensch\ncat\n".encode())
    assert names(str(file)) == ["cat", "dog", "übermensch", "cat"]
    assert names("none") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "vocabulary .*can't be read: No such file"),
        (b" \n\n", "has no names: write one a line, or declare `vocabulary: none`"),
        (b"cat\ncaf\xe9\n", "line 2: not UTF-8"),
    ],
)
def test_a_file_that_has_no_names(tmp_path, content, message) -> None:
    if content is not None:
        (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        names(str(tmp_path / "names.txt"))


def test_rows_are_texts_of_the_two_splits_with_ids_of_their_own() -> None:
    frame = manifest.validate(rows(["cat", "dog {}", "cat"]))
    assert frame[["id", "split", "text", "rank"]].to_numpy().tolist() == [
        ["vocabulary/cat", "vocabulary", "cat", 0],
        ["vocabulary/dog {}", "vocabulary", "dog {}", 1],
        ["vocabulary/cat-2", "vocabulary", "cat", 2],
        ["vocabulary-photo/cat", "vocabulary-photo", "a photo of cat", 0],
        ["vocabulary-photo/dog {}", "vocabulary-photo", "a photo of dog {}", 1],
        ["vocabulary-photo/cat-2", "vocabulary-photo", "a photo of cat", 2],
    ]
    assert set(frame["modality"]) == {"text"} and frame["group"].isna().all()
    assert frame["digest"].tolist() == [manifest.text_digest(text) for text in frame["text"]]
    assert manifest.validate(rows(names("imagenet")))["id"].is_unique


@pytest.mark.parametrize(("vocabulary", "count"), [(None, 2000), ("none", 0), ("imagenet", 2000)])
def test_prepare_writes_the_declared_vocabulary(tmp_path, vocabulary, count) -> None:
    fields = {} if vocabulary is None else {"vocabulary": vocabulary}
    declaration = World(layout="world", images={"test": 2}, retrieval=SAME, **fields)
    items = prepare(declaration, tmp_path).items
    of_it = items[items["split"].isin(manifest.VOCABULARIES)]
    assert len(of_it) == count
    if count:
        expected = names(vocabulary or "world")
        assert manifest.select(items, "text", "vocabulary")["text"].tolist() == expected
    assert set(items["split"]) - {*manifest.VOCABULARIES, manifest.COMPOSED, manifest.STYLES} == {
        "test",
        "classes",
    }
    assert (manifest.STYLES in set(items["split"])) == bool(count)


def test_defaults_by_layout_and_unknown_names() -> None:
    adapter = TypeAdapter(Declaration)
    fields = {"layout": "imagefolder", "root": "a", "retrieval": SAME}
    assert adapter.validate_python(fields).vocabulary == "imagenet"
    assert adapter.validate_python(fields | {"vocabulary": "a/b.txt"}).vocabulary == "a/b.txt"
    with pytest.raises(ValueError, match=r"'wordnet' is none of imagenet, world, none and no \.txt file"):
        adapter.validate_python(fields | {"vocabulary": "wordnet"})


def test_a_repeated_name_takes_the_id_of_no_other_one():
    found = rows(["gpt", "gpt", "gpt-2", "gpt", "gpt-2"], {"vocabulary": "{}"})
    assert found["id"].tolist() == [
        f"vocabulary/{name}" for name in ("gpt", "gpt-3", "gpt-2", "gpt-4", "gpt-2-2")
    ]
    plain = rows(["a", "a", "a"], {"vocabulary": "{}"})
    assert plain["id"].tolist() == ["vocabulary/a", "vocabulary/a-2", "vocabulary/a-3"]
