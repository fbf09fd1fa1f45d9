"""Mixed-modality search of a cell, re-derived query by query, and on real features."""

from __future__ import annotations

import numpy as np
import pytest

from crossgap.corrections import Material, nnn, ridge
from crossgap.errors import CrossgapError
from crossgap.evaluation import Cell, elsewhere, evaluate, evaluation, mixed, roles
from crossgap.evaluation.comparisons import compared
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.options import MixedSearch
from crossgap.evaluation.work import Work
from crossgap.metrics import significance
from crossgap.metrics.mixed import image_documents
from crossgap.strict import options
from tests.evaluation.small import TEST, TRAIN, captions, groups, inverted, write
from tests.rows import unit

EVERY = captions(TEST)
ASKING, TEXTS, IMAGES = EVERY["features"][::2], EVERY["features"][1::2], TEST["features"]
FEW = MixedSearch(shares=[0, 0.5, 1], alphas=[0.25], draws=2)


def ranks(queries, gallery, own, bias=0.0) -> list[int]:
    scores = unit(queries) @ unit(gallery).T + bias
    return [1 + int((row > row[j]).sum()) for row, j in zip(scores, own, strict=True)]


def rows(found, task: str, at: str, draw: int = 0):
    return found[(found["task"] == task) & (found["at"] == at) & (found["draw"] == draw)]


def test_what_an_inversion_set_aside_is_no_document_and_is_not_asked_for(native, tmp_path):
    lost = TEST["id"][5]
    kept = {key: np.delete(np.asarray(values), 5, axis=0) for key, values in TEST.items()}
    made = inverted(tmp_path / "oti.zip", of=kept)
    arrays = {"id": kept["id"], "features": made["image/test"].features, "loss": made["image/test"].losses}
    said = made.provenance | {"set_aside": {"image/test": [lost]}}
    oti = write(tmp_path / "aside.zip", {"image/test": arrays}, said)
    for of in (roles.pairs, roles.halves):
        held = of(Cell(native, oti, None, "test", "test"))
        assert held.images.ids.tolist() == kept["id"].tolist()
        assert lost not in {*held.queries.groups, *held.texts.groups}


def test_natively_and_centred_by_role(native):
    work = Work(Cell(native, None, None, "test", "test"))
    found = mixed.searched(work, Rivals(work, ["centering"]), FEW, seed=7)
    sides = ASKING, TEXTS, IMAGES
    centred = [unit(rows) - unit(rows).mean(axis=0) for rows in sides]
    own = np.arange(24)
    for ending, (asking, texts, images) in (("", map(unit, sides)), ("+centering", centred)):
        for share, draws in ((0, 1), (0.5, 2), (1, 1)):
            for draw in range(draws):
                chosen = image_documents(TEST["id"], share, (7, draw))
                gallery = np.where(chosen[:, None], images, texts)
                held = rows(found, f"search{ending}", f"{share}", draw)
                assert held["rank"].tolist() == ranks(asking, gallery, own)
                first = (unit(asking) @ unit(gallery).T).argmax(axis=1)
                assert held["first_image"].tolist() == chosen[first].tolist()
                assert held["query"].tolist() == EVERY["id"][::2]
            assert rows(found, f"search{ending}", f"{share}", draws).empty
        held = rows(found, f"fused{ending}", "0.25")
        assert held["rank"].tolist() == ranks(asking, 0.25 * texts + 0.75 * images, own)
        assert held["first_image"].isna().all()

    rank = {draw: rows(found, "search", "0.5", draw)["rank"] for draw in (0, 1)}
    table = mixed.summary(found).set_index(["task", "at"])
    at = table.loc[("search", "0.5")]
    every = [*rank[0], *rank[1]]
    assert at["recall@5"] == np.mean([one <= 5 for one in every])
    assert at["nDCG@10"] == pytest.approx(
        np.mean([1 / np.log2(1 + one) if one <= 10 else 0 for one in every])
    )
    assert at["recall@1_std"] == pytest.approx(np.std([(rank[draw] == 1).mean() for draw in (0, 1)], ddof=1))
    assert (at["queries"], at["documents"], at["draws"]) == (24, 24, 2)
    assert np.isnan(table.loc[("search", "1"), "recall@1_std"])


def test_documents_that_a_correction_leaves_are_fused_as_unit_features(native):
    work = Work(Cell(native, None, None, "test", "train"))
    found = mixed.searched(work, Rivals(work, ["ridge"]), FEW)
    fitted = ridge.fit(np.repeat(TRAIN["features"], 2, axis=0), captions(TRAIN)["features"])
    gallery = 0.25 * unit(TEXTS) + 0.75 * unit(IMAGES)
    expected = ranks(fitted.apply(ASKING, "text"), gallery, range(24))
    assert rows(found, "fused+ridge", "0.25")["rank"].tolist() == expected


def test_halves_ask_among_all_images_and_the_other_captions(native):
    work = Work(Cell(native, None, None, "test", "test"))
    found = mixed.searched(work, Rivals(work, ["centering"]), FEW)
    asking, texts = ASKING[12:], ASKING[:12]
    for ending, sides in (
        ("", (asking, unit(IMAGES), unit(texts))),
        ("+centering", [unit(rows) - unit(rows).mean(axis=0) for rows in (asking, IMAGES, texts)]),
    ):
        gallery = np.concatenate([unit(rows) for rows in sides[1:]])
        held = rows(found, f"distractors{ending}", "half")
        assert held["rank"].tolist() == ranks(sides[0], gallery, range(12, 24))
        first = (unit(sides[0]) @ gallery.T).argmax(axis=1)
        assert held["first_image"].tolist() == (first < 24).tolist()
        assert held["query"].tolist() == EVERY["id"][24::2] and set(held["documents"]) == {36}


def test_a_bank_scores_each_gallery(native):
    work = Work(Cell(native, None, None, "test", "test", support="train"))
    found = mixed.searched(work, Rivals(work, ["nnn"]), FEW)
    bank = captions(TRAIN)["features"]
    for share in (0, 1):
        gallery = IMAGES if share else TEXTS
        bias = nnn.fit({"text": bank}, 16).scoring(ASKING, gallery, "text").gallery
        assert rows(found, "search+nnn_16", f"{share}")["rank"].tolist() == ranks(
            ASKING, gallery, range(24), bias
        )
    assert not work.reasons.rows


def test_inverted_images_and_texts_among_the_documents(native, tmp_path):
    """OTI of all images; OVI of first captions alone, which are documents of `distractors` only."""
    first = {name: values[::2] for name, values in EVERY.items()}
    oti = inverted(tmp_path / "oti.zip")
    held = {"id": first["id"], "features": first["features"] + 1, "loss": np.full(24, 0.3)}
    made_by = {
        "method": {"name": "ovi"},
        "recipe": {"steps": 20, "seed": 0},
        "fingerprint": "o",
        "inverts": "native",
    }
    ovi = write(tmp_path / "ovi.zip", {"text/test": held}, made_by)
    work = Work(Cell(native, oti, ovi, "test", "test"))
    found = mixed.searched(work, Rivals(work, []), FEW)
    own = np.arange(24)
    as_texts = oti["image/test"].features
    assert rows(found, "search+oti", "1")["rank"].tolist() == ranks(ASKING, as_texts, own)
    chosen = image_documents(TEST["id"], 0.5, (0, 1))
    gallery = np.where(chosen[:, None], unit(as_texts), unit(TEXTS))
    assert rows(found, "search+oti", "0.5", 1)["rank"].tolist() == ranks(ASKING, gallery, own)
    gallery = 0.25 * unit(TEXTS) + 0.75 * unit(as_texts)
    assert rows(found, "fused+oti", "0.25")["rank"].tolist() == ranks(ASKING, gallery, own)
    gallery = np.concatenate([IMAGES, ovi["text/test"].features[:12]])
    assert rows(found, "distractors+ovi", "half")["rank"].tolist() == ranks(ASKING[12:], gallery, own[12:])
    assert not found["task"].isin(["search+ovi", "fused+ovi"]).any()
    (row,) = work.reasons.rows
    assert row[:2] == ("mixed", "search+ovi") and "ovi.gallery" in row[2]


def test_one_caption_an_image_is_a_reason(tmp_path):
    one = {name: values[::2] for name, values in EVERY.items()}
    work = Work(
        Cell(write(tmp_path / "n.zip", {"image/test": TEST, "text/test": one}), None, None, "test", "test")
    )
    found = mixed.searched(work, Rivals(work, ["centering", "ridge"]))
    assert set(found["task"]) == {"distractors", "distractors+centering"}
    why = "no image has two captions, one to ask and one to be found"
    assert [*work.reasons.rows] == [("mixed", "search", why)]


def test_images_alone_are_not_searched_and_one_image_has_no_halves(tmp_path):
    work = Work(Cell(write(tmp_path / "a.zip", {"image/test": TEST}), None, None, "test", "test"))
    found = mixed.searched(work, Rivals(work, []))
    assert found.empty and not work.reasons.rows
    assert (
        mixed.summary(found).empty and not mixed.metrics(mixed.summary(found)) and not mixed.outcomes(found)
    )
    one = {"image/test": {name: values[:1] for name, values in TEST.items()}}
    one["text/test"] = {name: values[:2] for name, values in EVERY.items()}
    work = Work(Cell(write(tmp_path / "b.zip", one), None, None, "test", "test"))
    found = mixed.searched(work, Rivals(work, []), FEW)
    assert found.empty
    why = "search among 1 document finds it: give at least 2"
    assert [*work.reasons.rows] == [
        ("mixed", "search", why),
        ("mixed", "distractors", "halves of 1 captioned images: give at least 2"),
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"mixed_search": {"shares": [0.5, 1.5]}},
            r"mixed_search: shares\.1 is 1\.5: .*less than or equal to 1",
        ),
        ({"mixed_search": {"alphas": [float("nan")]}}, r"mixed_search: alphas\.0 is nan"),
        (
            {"mixed_search": {"shares": (0.5, 0.5)}},
            r"mixed_search: shares is \[0\.5, 0\.5\]: named twice: 0\.5",
        ),
        (
            {"mixed_search": {"share": [1], "draws": 0}},
            r"mixed_search: draws is 0: .*; share is no option of it; did you mean 'shares'\?; it has shares, alphas",
        ),
        ({"mixed_search": 3}, "mixed_search is 3: give a dict with shares, alphas, draws"),
        ({"look_at": {"queries": -1}}, "look_at: queries is -1"),
        ({"shots": (0,)}, r"evaluate: shots\.0 is 0"),
        ({"draws": 0}, "evaluate: draws is 0"),
        ({"logistic": "some"}, "evaluate: logistic is 'some': .*'none', 'native' or 'all'"),
        ({"corrections": ["centring"]}, "no correction centring; did you mean 'centering'.; known: basic, "),
        ({"resamples": True}, "evaluate: resamples is True: .*integer"),
        ({"mixed_search": []}, r"mixed_search is \[\]: give a dict"),
        ({"look_at": 0}, "look_at is 0: give a dict"),
        ({"elsewhere": "dtd"}, "evaluate: elsewhere is 'dtd': give a list"),
        ({"device": "tpu"}, "device is 'tpu': give 'cpu'"),
        ({"device": None}, "device is None: give 'cpu'"),
        ({"scratch": ""}, "evaluate: scratch is '': give a folder"),
        ({"scratch": __file__}, "evaluate: scratch is .*no folder"),
    ],
)
def test_options_are_refused_before_any_work(native, monkeypatch, given, said):
    cell = Cell(native, None, None, "test", "test")
    monkeypatch.setattr(evaluation, "Work", None)
    with pytest.raises(CrossgapError, match=said) as told:
        evaluate(cell, **given)
    assert "\n" not in str(told.value)


def test_a_place_named_twice_and_what_is_no_cell_are_refused(native):
    cell, place = Cell(native, None, None, "test", "test"), elsewhere.Elsewhere("far", {}, Material)
    with pytest.raises(CrossgapError, match="evaluate: elsewhere has far twice"):
        evaluate(cell, elsewhere=[place, place])
    with pytest.raises(CrossgapError, match=r"evaluate: cell is Store.*: give crossgap\.evaluation\.Cell"):
        evaluate(native)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"query": None}, "query is None: input should be a valid string"),
        ({"gallery": ""}, "gallery is '': string should have at least 1 character"),
        ({"labellings": "colour"}, "labellings is 'colour': input should be a valid list"),
        ({"subsets": ["warm"]}, r"subsets is \['warm'\]: input should be a valid dictionary"),
        ({"subsets": {"warm": {}}}, r"subsets is .*: 'warm' names the labellings none: give one"),
        ({"subsets": {"warm": {"colour": "red"}}}, r"subsets\.warm\.colour is 'red': .*list"),
        (
            {"subsets": {"warm": {"colour": ["red"]}}},
            r"subsets\.warm\.colour is \['red'\]: .*at least 2 items",
        ),
        ({"subsets": {"warm": {"colour": ["red", "red"]}}}, "subsets is .*named twice: red"),
        ({"subsets": {3: {"colour": ["red", "blue"]}}}, "subsets.*is 3: input should be a valid string"),
        ({"arithmetic": "colour"}, "arithmetic is 'colour': input should be a valid dictionary"),
        ({"arithmetic": {"colour": 3}}, r"arithmetic\.colour is 3: input should be a valid string"),
        ({"arithmetic": {"colour": "colour"}}, "arithmetic is .*'colour' can't be changed and kept"),
        ({"seeds": None}, "seeds is None: give a list of what `open_store` gives"),
        ({"sweep": ["x"]}, "sweep is 'x': give what `open_store` gives"),
        ({"native": "native.zip"}, "native is 'native.zip': give what `open_store` gives"),
        ({"native": None}, "native is None: give what"),
        ({"oti": "oti.zip"}, "oti is 'oti.zip': give what"),
    ],
)
def test_what_a_cell_is_given_is_looked_at_first(native, given, said):
    with pytest.raises(CrossgapError, match=f"^Cell: {said}") as told:
        Cell(**{"native": native, "oti": None, "ovi": None, "query": "test", "gallery": "train", **given})
    assert "\n" not in str(told.value)


def test_numpys_numbers_and_tuples_are_options(native):
    given = {"shares": np.array([0, 1.0]), "alphas": (), "draws": np.int64(1)}
    assert options(MixedSearch, "it", given) == MixedSearch(shares=[0, 1], alphas=[], draws=1)


def test_compared_with_native_features_under_holms_correction(native):
    work = Work(Cell(native, None, None, "test", "test"))
    found = mixed.searched(work, Rivals(work, ["centering", "whitening"]), FEW)
    tested = compared(work, mixed.outcomes(found), seed=0, resamples=99).set_index(["task", "relevance"])
    table = mixed.summary(found).set_index(["task", "at"])
    assert len(tested) == 2 * (3 + 1 + 1) and (tested["family"] == "mixed").all()
    for task in ("search", "fused", "distractors"):
        of = tested[tested["baseline"] == task]
        least = of["p"].min()
        assert of["p_adjusted"].min() == pytest.approx(min(1, least * len(of)))
    row = tested.loc[("search+centering", "0.5")]
    assert row["value"] == table.loc[("search+centering", "0.5"), "recall@1"]
    assert row["baseline_value"] == table.loc[("search", "0.5"), "recall@1"]
    assert row["queries"] == 24 and row["low"] <= row["difference"] <= row["high"]


@pytest.fixture(scope="module")
def on_real(real, tmp_path_factory):
    """`evaluate` of Flickr8k's 100 images with five captions and of COCO's 500 with one."""
    folder = tmp_path_factory.mktemp("real")

    def of(name: str, ids: list[str], images: np.ndarray, texts: np.ndarray, each: int):
        held = {"image/test": {"id": ids, "group": ids, "rank": [0] * len(ids), "features": images}}
        held["text/test"] = {
            "id": [f"{one}#{rank}" for one in ids for rank in range(each)],
            "group": np.repeat(ids, each).tolist(),
            "rank": list(range(each)) * len(ids),
            "features": texts,
        }
        cell = Cell(write(folder / f"{name}.zip", held), None, None, "test", "test")
        return evaluate(cell, resamples=99, corrections=["centering"], clouds=10)

    flickr = np.load(real / "clip-vit-b32/flickr8k_100x5.npz")
    coco = np.load(real / "clip-vit-b16/coco_val2017_500.npz")
    images = flickr["image_features"][::5]
    return {
        "flickr": of("flickr", [f"i{n:03}" for n in range(100)], images, flickr["text_features"], 5),
        "coco": of(
            "coco", [f"pair {n}" for n in range(500)], coco["image_features"], coco["text_features"], 1
        ),
    }


# task and at → R@1, R@5, nDCG@10 in %: raw, centred
REAL = {
    ("flickr", "search", "0"): ((70, 93, 83.81), (74, 95, 85.84)),
    ("flickr", "search", "1"): ((83, 100, 92.43), (85, 99, 93.19)),
    ("flickr", "fused", "0"): ((83, 100, 92.43), (85, 99, 93.19)),
    ("flickr", "fused", "0.25"): ((85, 99, 93.21), (89, 99, 95.0)),
    ("flickr", "fused", "0.5"): ((83, 98, 91.65), (85, 98, 92.81)),
    ("flickr", "fused", "0.75"): ((76, 95, 87.52), (80, 95, 89.73)),
    ("flickr", "fused", "1"): ((70, 93, 83.81), (74, 95, 85.84)),
    ("coco", "distractors", "half"): ((0, 0, 0), (5.6, 27.2, 22.33)),
}


@pytest.mark.parametrize(("name", "task", "at"), REAL)
def test_real_values(on_real, name, task, at):
    table = on_real[name].mixed.set_index(["task", "at"])
    for ending, values in zip(("", "+centering"), REAL[name, task, at], strict=True):
        held = table.loc[(f"{task}{ending}", at)]
        shown = [round(100 * held[metric], 2) for metric in ("recall@1", "recall@5", "nDCG@10")]
        assert tuple(shown) == values
        assert on_real[name].metrics[f"mixed/{task}{ending}/{at}/recall@1"] == held["recall@1"]


def test_real_draws_and_what_ranks_first(on_real):
    flickr, coco = (on_real[name].mixed.set_index(["task", "at"]) for name in ("flickr", "coco"))
    # other documents are images than in the published values, which are of one draw: 20.0 and 57.0
    assert flickr.loc[("search", "0.75"), "recall@1"] == pytest.approx(0.20, abs=0.04)
    assert flickr.loc[("search+centering", "0.75"), "recall@1"] == pytest.approx(0.57, abs=0.06)
    assert flickr.loc[("search", "0.75"), "draws"] == 5 and flickr.loc[("search", "0.75"), "first_image"] == 0
    assert coco.loc[("distractors", "half"), "first_image"] == 0
    assert coco.loc[("distractors+centering", "half"), "first_image"] == 0.06
    tested = on_real["flickr"].comparisons.set_index(["task", "relevance"]).loc[("search+centering", "0.75")]
    assert tested["low"] > 0.2 and tested["p_adjusted"] < 0.1
    why = "no image has two captions, one to ask and one to be found"
    assert ("mixed", "search", why) in set(on_real["coco"].unavailable.itertuples(index=False, name=None))


def test_documents_inverted_by_phi_and_documents_that_nobody_asks_for(native, tmp_path):
    """φ's images by themselves, and by the steps from there; images whose first caption is missing stay documents."""
    first, last = (inverted(tmp_path / f"plain-{seed}.zip", seed)["image/test"] for seed in (99, 7))
    columns = {"id": TEST["id"], "features": last.features, "loss": last.losses, "step": [0]}
    columns |= {"snapshots": first.features[:, None], "snapshot_loss": first.losses[:, None]}
    start = {"digest": "x", "loss": "searle", "on": {"dataset": "far", "split": "train", "features": "other"}}
    made_by = {
        "fingerprint": "phi", "inverts": "native", "method": {"name": "oti", "tokens": 1},
        "recipe": {"steps": 25}, "start": start,
    }  # fmt: skip
    by_phi = write(tmp_path / "oti-searle-far.zarr.zip", {"image/test": columns}, made_by)
    work = Work(Cell(native, None, None, "test", "test", distilled=[by_phi]))
    found = mixed.searched(work, Rivals(work, []), FEW)
    for words, features in (("distilled", first.features), ("warm", last.features)):
        expected = ranks(ASKING, features, range(24))
        assert rows(found, f"search+oti.{words}.searle.far", "1")["rank"].tolist() == expected

    some = {name: np.asarray(values)[np.arange(48) != 6] for name, values in EVERY.items()}  # image 3's query
    fewer = write(tmp_path / "fewer.zip", groups() | {"text/test": some})
    work = Work(Cell(fewer, None, None, "test", "test"))
    found = rows(mixed.searched(work, Rivals(work, []), FEW), "search", "1")
    asked = [place for place in range(24) if place != 3]
    assert found["rank"].tolist() == ranks(ASKING[asked], IMAGES, asked)
    assert set(found["documents"]) == {24} and len(found) == 23


KINDS = ("image", "text", "both")


def test_a_gallery_that_the_dataset_fixes(tmp_path):
    """Document k is an image, a text or both by its place; a document has 0 to 2 texts that ask for it."""
    kinds = [KINDS[place % 3] for place in range(24)]
    groups = [
        f"document/{name}" if kind == "text" else name for name, kind in zip(TEST["id"], kinds, strict=True)
    ]
    texts = {name: [] for name in ("id", "group", "rank", "features")}
    asking, wanted = [], []
    for place, (kind, group) in enumerate(zip(kinds, groups, strict=True)):
        held = {1: TEXTS[place]} if kind != "image" else {}
        asks = [(0, ASKING[place]), (2, ASKING[place - 1] + TEXTS[place])][: place // 3 % 3]
        for rank, features in {**held, **dict(asks)}.items():
            for name, value in zip(texts, (f"{group}#{rank}", group, rank, features), strict=True):
                texts[name].append(value)
        asking += [features for _, features in asks]
        wanted += [place] * len(asks)
    stored = {"image/test": {name: np.asarray(of)[np.array(kinds) != "text"] for name, of in TEST.items()}}
    stored["text/test"] = texts | {"features": np.array(texts["features"])}
    work = Work(Cell(write(tmp_path / "n.zip", stored), None, None, "test", "test"))
    found = mixed.searched(work, Rivals(work, ["centering"]), FEW)
    assert not work.reasons.rows and set(found["task"]) == {"corpus", "corpus+centering"}

    asks, of_text = unit(asking), [kind != "image" for kind in kinds]
    of_image = [kind != "text" for kind in kinds]
    for ending in ("", "+centering"):
        t, v, q = unit(TEXTS), unit(IMAGES), asks
        if ending:
            t, v, q = t - t[of_text].mean(axis=0), v - v[of_image].mean(axis=0), q - q.mean(axis=0)
        documents = {"image": v, "text": t, "both": 0.5 * t + 0.5 * v}
        gallery = unit([documents[kind][place] for place, kind in enumerate(kinds)])
        held = rows(found, f"corpus{ending}", "mixed")
        assert held["rank"].tolist() == ranks(q, gallery, wanted)
        assert held["rank"].mean() < 11 and set(held["documents"]) == {24} and len(held) == len(wanted)
        first = [kinds[place] == "image" for place in (unit(q) @ gallery.T).argmax(axis=1)]
        assert held["first_image"].mean() == np.mean(first)
    table = mixed.summary(found).set_index("task")
    assert table.loc["corpus", "recall@1"] == rows(found, "corpus", "mixed")["rank"].eq(1).mean()
    assert mixed.metrics(table.reset_index())["mixed/corpus+centering/mixed/recall@1"] > 0

    outcomes = mixed.outcomes(found)  # the two texts that ask for a document say less than two others
    one, other = (outcomes["mixed", task, "mixed"].sort_index() for task in ("corpus+centering", "corpus"))
    documents = one.index.str.partition("#").get_level_values(0)
    assert documents.nunique() < len(documents)
    differences = (one - other).to_frame().to_numpy()
    expected = significance.paired(differences, groups=documents, resamples=199).iloc[0]
    tested = compared(work, outcomes, seed=0, resamples=199).iloc[0]
    np.testing.assert_allclose(tested[["low", "high", "p"]].astype(float), expected[["low", "high", "p"]])


def test_a_fused_document_without_direction_ends_no_other_search(tmp_path):
    """Half of an image and half of its opposite is nothing: a reason of that α alone."""
    features = EVERY["features"].copy()
    features[1] = -IMAGES[0]
    stored = groups() | {"text/test": EVERY | {"features": features}}
    work = Work(Cell(write(tmp_path / "n.zip", stored), None, None, "test", "test"))
    asked = MixedSearch(shares=[0, 1], alphas=[0.25, 0.5, 1], draws=1)
    found = mixed.searched(work, Rivals(work, []), asked)
    assert [*found[["task", "at"]].drop_duplicates().itertuples(index=False, name=None)] == [
        ("search", "0"),
        ("search", "1"),
        ("fused", "0.25"),
        ("fused", "1"),
        ("distractors", "half"),
    ]
    (row,) = work.reasons.rows
    assert row[:2] == ("mixed", "fused 0.5") and "zero vectors" in row[2]
