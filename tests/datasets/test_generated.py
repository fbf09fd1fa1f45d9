"""Data sets as hypothesis makes them up, prepared, against a slow and obvious reading of the same files."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
import tempfile
from collections import Counter, defaultdict
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from crossgap.datasets.declared import Beir, Captions, ImageFolder, Table, WebDataset
from crossgap.datasets.preparing import prepare
from crossgap.fingerprint import of_content
from crossgap.metrics.retrieval import judged_metrics
from crossgap.prepared import manifest

SHADES = 12


def _jpeg(shade: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (20 * shade, 40, 60)).save(data, "JPEG")
    return data.getvalue()


PHOTOS = [_jpeg(shade) for shade in range(SHADES)]
BAD = {"empty": b"", "cut": PHOTOS[0][:200], "text": b"no image"}
FOLDERS = ["cat", "dog", "NA", "null", "-1", "a b", "x.y", "ünï", "it's", "c_d"]
FILES = ["1.jpg", "1.jpg.png", "1.png", "2.jpg", "NA.jpg", "a b.jpg", ".hidden.jpg", "notes.txt", "ä.jpeg"]
WORDS = ["a dog", "A dog", "a cat; black", "NA", "null", "a, b", 'so "big"', "tab\tbed", "ünï", "-1", "1.0"]
few = settings(max_examples=20, deadline=None)


@contextmanager
def scratch():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        yield root, Path(folder)


def prepared(declared, folder: Path):
    return prepare(declared, folder, workers=1)


photos = st.integers(0, SHADES - 1).map(PHOTOS.__getitem__) | st.sampled_from(sorted(BAD)).map(BAD.get)
trees = st.dictionaries(
    st.tuples(st.sampled_from(["train", "test"]), st.sampled_from(FOLDERS), st.sampled_from(FILES)), photos
)
links = st.lists(
    st.tuples(
        st.sampled_from(["train", "test"]),
        st.sampled_from(["linked", "cat", "loop"]),
        st.sampled_from(["", "train", "test", *(f"{s}/{c}" for s in ("train", "test") for c in FOLDERS)]),
    ),
    max_size=4,
)


def by_hand(folder: str, above: list[str]) -> list[str]:
    """Files under a folder, links followed but for those that lead to a folder that holds them."""
    if os.path.realpath(folder) in above:
        return []
    found = []
    for name in os.listdir(folder):
        path = f"{folder}/{name}"
        if name.startswith("."):
            continue
        if os.path.isdir(path):
            found += by_hand(path, [*above, os.path.realpath(folder)])
        elif name.lower().endswith((".jpg", ".png", ".jpeg")):
            found.append(path)
    return found


@few
@example(
    {("test", "cat", "1.jpg"): PHOTOS[3], ("test", "cat", "1.jpg.png"): PHOTOS[4]},
    [("train", "linked", "test/cat")],
)
@example({("test", "-1", "1.jpg"): PHOTOS[3]}, [("test", "loop", ""), ("train", "linked", "test")])
@given(trees, links)
def test_folders_of_classes(tree, links):
    with scratch() as (root, folder):
        sound = {("train", "cat", "s.jpg"): PHOTOS[1], ("test", "cat", "s.jpg"): PHOTOS[2]}
        for (split, label, name), data in {**tree, **sound}.items():
            (root / split / label).mkdir(parents=True, exist_ok=True)
            (root / split / label / name).write_bytes(data)
        for split, name, target in links:
            if not (root / split / name).exists() and not (root / split / name).is_symlink():
                (root / split / name).symlink_to(root / target, target_is_directory=True)
        declared = ImageFolder(
            layout="imagefolder", root=root, splits=["train", "test"], on_problem="set_aside", vocabulary="none",
            retrieval={"query": "test", "gallery": "train"},
        )  # fmt: skip
        made = prepared(declared, folder)
        paths = [path[len(f"{root}/") :] for path in by_hand(str(root), [])]
        right, wrong = {}, set()
        for path in paths:
            parts = path.split("/")
            if len(parts) != 3 or (root / path).read_bytes() in BAD.values():
                wrong.add(path)
            else:
                label = None if parts[1] == "-1" else parts[1]
                right[path] = (parts[0], label, of_content((root / path).read_bytes()))
        images = manifest.select(made.items, "image")
        columns = zip(images["split"], images["label.class"], images["digest"], strict=True)
        assert dict(zip(images["path"], columns, strict=True)) == right
        assert images["id"].is_unique and set(made.problems["item"]) == wrong
        for path, name in zip(images["path"], images["id"], strict=True):
            assert name not in set(paths) - {path}, "the id of an image is another's path"
        prompts = made.items[made.items["split"] == "classes"]
        held = {label for _, label, _ in right.values()} | {
            path.split("/")[1] for path in wrong if len(path.split("/")) == 3
        }
        assert set(prompts["label.class"]) == {label for label in held if label not in (None, "-1")}
        assert all(
            f"a photo of a {label.replace('_', ' ')}." in set(prompts["text"])
            for label in held - {None, "-1"}
        )


labels = st.sampled_from(["", "-1", "-1.0", "cat", "NA", "null", "c_d"])
boxes = st.sampled_from(["", "0 0 4 4", "1.4 2 8 8"])
pictures = st.lists(
    st.tuples(st.sampled_from([name for name in FILES if name != "notes.txt"]), labels, boxes, st.booleans()),
    min_size=1, max_size=6, unique_by=lambda row: row[0],
)  # fmt: skip
sentences = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sampled_from(WORDS),
        st.integers(0, 5),
        st.sampled_from(["path", "group", "./group"]),
    ),
    max_size=12,
)


@few
@given(pictures, sentences, st.sampled_from(",;\t"), st.booleans())
def test_tables(pictures, sentences, delimiter, ranked):
    """Rows of images, then captions of them by path or by group, with ranks that start anywhere and maybe are equal."""
    with scratch() as (root, folder):
        rows = []
        for number, (name, label, box, dotted) in enumerate(pictures):
            (root / name).write_bytes(PHOTOS[number])
            rows.append({"path": f"./{name}" if dotted else name, "label": label, "box": box})
        captions = defaultdict(list)
        for number, text, rank, form in sentences:
            name, *of_image = pictures[number % len(pictures)]
            row = {"text": text, "rank": rank if ranked else ""}
            if form == "path":
                row |= {"path": name, "label": of_image[0], "box": of_image[1]}
            else:
                row |= {"group": form.replace("group", name)}
            rows.append(row)
            captions[name].append((rank, text))
        columns = ["path", "text", "group", "rank", "label", "box"]
        with open(root / "t.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="", delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
        declared = Table(
            layout="table", root=root, table="t.csv", on_problem="set_aside", vocabulary="none", retrieval={}
        )
        made = prepared(declared, folder)
        images = manifest.select(made.items, "image")
        assert images["path"].tolist() == [name for name, *_ in pictures]
        found = images["label.class"] if "label.class" in images else [None] * len(images)
        assert list(found) == [
            label if label not in ("", "-1", "-1.0") else None for _, label, *_ in pictures
        ]
        held = images["box"] if "box" in images else [None] * len(images)
        assert list(held) == [box or None for _, _, box, _ in pictures]
        names = dict(zip(images["path"], images["id"], strict=True))
        texts = made.items[(made.items["modality"] == "text") & made.items["group"].notna()]
        lost = 0
        for name, given in captions.items():
            own = texts[texts["group"] == names[name]].sort_values("rank")
            kept, met = [], set()
            for rank, text in given:
                if ranked and rank in met:
                    lost += 1
                    continue
                met.add(rank)
                kept.append((rank if ranked else 0, text))
            assert own["text"].tolist() == [text for _, text in sorted(kept, key=lambda pair: pair[0])]
            assert own["rank"].tolist() == list(range(len(kept)))
        assert len(made.problems) == lost


@few
@given(
    st.lists(st.tuples(st.sampled_from(FILES), st.sampled_from(WORDS), st.sampled_from("12")), min_size=1),
    st.sets(st.sampled_from([name for name in FILES if name.endswith("g")]), min_size=1),
    st.sampled_from(",;\t"),
)
def test_captions_files(rows, there, delimiter):
    """Some rows name no image, some images no row names, some rows are there twice, some differ in another column."""
    with scratch() as (root, folder):
        for number, name in enumerate(sorted(there)):
            (root / name).write_bytes(PHOTOS[number])
        visible = {name for name in there if not name.startswith(".")}
        if not visible & {name for name, *_ in rows}:
            rows = [*rows, ("sound.jpg", "A sound one.", "1")]
            (root / "sound.jpg").write_bytes(PHOTOS[-1])
            visible.add("sound.jpg")
        with open(folder / "c.csv", "w", newline="") as file:
            csv.writer(file, delimiter=delimiter).writerows([("image", "caption", "number"), *rows])
        declared = Captions(
            layout="captions", root=root, captions=folder / "c.csv", on_problem="set_aside", vocabulary="none",
            retrieval={},
        )  # fmt: skip
        made = prepared(declared, folder)
        expected = defaultdict(list)
        for name, text, _ in dict.fromkeys(rows):
            if name in visible:
                expected[name].append(text)
        images = manifest.select(made.items, "image")
        assert sorted(images["path"]) == sorted(expected)
        texts = manifest.select(made.items, "text")
        for name, path in zip(images["id"], images["path"], strict=True):
            own = texts[texts["group"] == name]
            assert own.sort_values("rank")["text"].tolist() == expected[path]
        bad = [row for row in dict.fromkeys(rows) if row[0] not in visible]
        assert len(made.problems) == len(rows) - len(set(rows)) + len(bad)
        alone = len(visible - set(expected))
        assert any(f"{alone} images" in note and "left alone" in note for note in made.notes) == bool(alone)
        again = sum(len(held) - len(set(held)) for held in expected.values())
        assert any(note.startswith(f"{again} captions repeat") for note in made.notes) == bool(again)


samples = st.lists(
    st.tuples(
        st.sampled_from(["file", "hard", "soft", "none", "cut"]),
        st.lists(st.sampled_from(["A dog.", "A cat.", "It runs."]), max_size=3),
        st.sampled_from([None, "cat", "-1", "c_d"]),
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@few
@given(samples, st.booleans())
def test_shards(samples, lines):
    """Images as files and as links to others, some missing or damaged; captions of several lines; classes of -1."""
    with scratch() as (root, folder):
        samples = [("file", ["Sound."], "cat"), *samples]
        expected, problems = {}, 0
        with tarfile.open(root / "0.tar", "w") as tar:

            def add(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = "") -> None:
                member = tarfile.TarInfo(name)
                member.size, member.type, member.linkname = len(data), kind, target
                tar.addfile(member, io.BytesIO(data))

            for number, (form, texts, label) in enumerate(samples):
                data = {"file": PHOTOS[number], "cut": BAD["cut"]}.get(form, PHOTOS[0])
                kind = {"hard": tarfile.LNKTYPE, "soft": tarfile.SYMTYPE}.get(form, tarfile.REGTYPE)
                if form != "none":
                    linked = kind != tarfile.REGTYPE
                    add(f"{number}.jpg", b"" if linked else data, kind, "./0.jpg" if linked else "")
                add(f"{number}.txt", "\r\n".join(texts).encode())
                if label is not None:
                    add(f"{number}.cls", label.encode())
                if form in ("none", "cut") or not texts:
                    problems += 1
                    continue
                expected[f"0/{number}"] = (of_content(data), texts, None if label == "-1" else label)
        declared = WebDataset(
            layout="webdataset", root=root, splits={"test": "*.tar"}, caption_lines=lines, on_problem="set_aside",
            vocabulary="none", retrieval={},
        )  # fmt: skip
        made = prepared(declared, folder)
        images, texts = manifest.select(made.items, "image"), manifest.select(made.items, "text", "test")
        own = {
            name: texts[texts["group"] == name].sort_values("rank")["text"].tolist() for name in images["id"]
        }
        columns = zip(
            images["digest"], (own[name] for name in images["id"]), images["label.class"], strict=True
        )
        right = {
            name: (digest, held if lines else ["\r\n".join(held)], label)
            for name, (digest, held, label) in expected.items()
        }
        assert dict(zip(images["id"], columns, strict=True)) == right
        assert sum(problem != "set aside with its image" for problem in made.problems["problem"]) == problems


topics = st.lists(st.integers(0, 5), min_size=2, max_size=8)


@few
@given(
    topics,
    st.lists(
        st.tuples(st.integers(0, 7), st.booleans()), min_size=1, max_size=5, unique_by=lambda pair: pair[0]
    ),
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from([-1, 0, 1, 2])),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from(["{}", "{}.0", "{}.00"]),
)
def test_queries_that_are_documents_are_measured_as_by_hand(topics, asked, pairs, form):
    """nDCG@10 of what was prepared, against a ranking by hand in which no query finds itself."""
    with scratch() as (root, folder):
        corpus = {f"d{number}": f"document {number} on {topic}" for number, topic in enumerate(topics)}
        queries = {}
        for number, same in asked:
            name = f"d{number}"  # with its text it is that document, with another it has its id alone
            queries[name] = corpus[name].upper() if same and name in corpus else f"a query {number}"
        grades = {(f"d{query}", f"d{item}"): grade for query, item, grade in pairs}
        (root / "qrels").mkdir()
        for file, held in (("corpus", corpus), ("queries", queries)):
            lines = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in held.items()]
            (root / f"{file}.jsonl").write_text("\n".join(lines))
        with open(root / "qrels/test.tsv", "w", newline="") as file:
            table = [(*pair, form.format(grade)) for pair, grade in grades.items()]
            csv.writer(file, delimiter="\t").writerows([("query-id", "corpus-id", "score"), *table])
        (root / "qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\nd0\td0\t1\n")
        known = {(query, item): max(grade, 0) for (query, item), grade in grades.items()}
        lost = [pair for pair in known if pair[0] not in queries or pair[1] not in corpus]
        known = {pair: grade for pair, grade in known.items() if pair not in lost}
        measured = sorted({query for query, _ in known}, key=list(queries).index)
        if not measured:
            return
        declared = Beir(
            layout="beir", root=root, on_problem="set_aside", vocabulary="none",
            retrieval={"query": "query", "gallery": "gallery"},
        )  # fmt: skip
        made = prepared(declared, folder)
        assert len(made.problems) == len(lost)
        draw = np.random.default_rng(0)
        vectors = {name: draw.normal(size=4).astype(np.float32) for name in corpus}
        said = {
            name: vectors[name]
            if text.lower() == corpus.get(name)
            else draw.normal(size=4).astype(np.float32)
            for name, text in queries.items()
        }
        held = [made.items[made.items["split"] == split]["id"].tolist() for split in ("query", "gallery")]
        found = judged_metrics(
            np.array([said[name.removeprefix("query/")] for name in held[0]]),
            np.array([vectors[name] for name in held[1]]),
            made.judgements, query_ids=held[0], gallery_ids=held[1],
        )  # fmt: skip
        value = dict(zip(held[0], found["ndcg@10"], strict=True))
        for query in measured:
            itself = queries[query].lower() == corpus.get(query)
            scores = {
                name: vector @ said[query] / np.linalg.norm(vector)
                for name, vector in vectors.items()
                if not (itself and name == query)
            }
            order = sorted(scores, key=scores.get, reverse=True)[:10]
            gains = {item: grade for (of, item), grade in known.items() if of == query and item in scores}
            weights = 1 / np.log2(np.arange(2, 12))
            best = sorted(gains.values(), reverse=True)[:10]
            ideal = sum(g * w for g, w in zip(best, weights, strict=False))
            gained = sum(gains.get(name, 0) * w for name, w in zip(order, weights, strict=False))
            if ideal:
                np.testing.assert_allclose(value[f"query/{query}"], gained / ideal, rtol=1e-5)
        counted = Counter(judged == -1 for judged in made.judgements["grade"])
        judged = {query for query, _ in grades} & set(queries)
        assert counted[True] == sum(queries[query].lower() == corpus.get(query) for query in judged)
