"""Composed retrieval of a cell, derived again from its store, with corrections and with OTI."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crossgap.corrections import basic, centering, qb_norm
from crossgap.evaluation import Cell, composed, composed_banks
from crossgap.evaluation.comparisons import compared
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.items import Items
from crossgap.evaluation.work import Work
from crossgap.metrics.composed import PER_QUERY, Goal, expanded, found_by, summarise
from crossgap.prepared.composed import Composed
from crossgap.stores import store
from tests.evaluation.small import DIM, TEST, TRAIN, WORDS, groups, inverted, texts
from tests.rows import unit

RNG = np.random.default_rng(3)
ASKING = RNG.normal(size=(3, DIM)) + 1
STYLES = 0.3 * RNG.normal(size=(9, DIM)) + 1
IDS = [*TEST["id"], *TRAIN["id"]]
IMAGES = np.concatenate([TEST["features"], TRAIN["features"]])
A, B, C = TEST["id"][:3]
SOME = TRAIN["id"][:4]
TABLES = Composed.of(
    [(A, A, "t0", "is red", "x"), (A, A, "t1", "red it is", "x"), (B, B, "t2", "is blue", "y"), (C, C, "t2", "", "y")],
    [
        (A, SOME[0], "target"), (A, SOME[1], "relevant"), (A, A, "ignored"), (A, SOME[0], "member"),
        (A, SOME[2], "member"), (B, SOME[3], "relevant"), (C, SOME[1], "relevant"), (C, SOME[2], "relevant"),
    ],
    [("y", one) for one in TRAIN["id"]],
)  # fmt: skip
PLACE = {name: place for place, name in enumerate(IDS)}
AMONG = np.arange(len(TEST["id"]), len(IDS))
WANTED = [
    Goal(np.array([PLACE[SOME[0]], PLACE[SOME[1]]]), PLACE[SOME[0]], np.array([PLACE[A]]),
           np.array([PLACE[SOME[0]], PLACE[SOME[2]]])),
    Goal(np.array([PLACE[SOME[3]]]), among=AMONG),
    Goal(np.array([PLACE[SOME[1]], PLACE[SOME[2]]]), among=AMONG),
]  # fmt: skip
QUERIES = IMAGES[:3]


def put(path, tables: Composed = TABLES, **more):
    with store.creating(path, path.parent / "scratch", {"fingerprint": "native"}) as writer:
        held = groups() | {
            "text/composed": texts(["t0", "t1", "t2"], ASKING),
            "text/styles": texts([f"styles/{n}" for n in range(9)], STYLES),
        }
        for name, columns in (held | more).items():
            arrays = {"features": np.asarray(columns["features"], np.float32)}
            others = {
                key: np.array(values, np.int64 if key == "rank" else object)
                for key, values in columns.items()
                if key in ("id", "group", "rank") or key.startswith("label.")
            }
            writer.add(name, others, [arrays])
        writer.add_composed(tables)
    return store.open_store(path)


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    return put(tmp_path_factory.mktemp("native") / "native.zip")


def mean(rows: np.ndarray) -> np.ndarray:
    return np.stack([rows[:2].mean(axis=0), rows[2], rows[2]])


TEXT = mean(unit(ASKING))


def check(found, task: str, table) -> None:
    held = found[found["task"] == task].set_index("query")
    assert held.index.tolist() == [A, B, C] and held["set"].tolist() == ["x", "y", "y"]
    np.testing.assert_allclose(held[table.columns].astype(float), table, rtol=1e-5)


def test_natively_and_corrected(native):
    work = Work(Cell(native, None, None, "test", "test", support="train"))
    found = composed.searched(work, Rivals(work, ["centering", "basic", "nnn"]))
    assert set(found["task"]) == {
        "image", "text", "sum", "product", "harris", "expansion",
        "sum+centering", "harris+centering", "sum+basic", "harris+basic", "expansion+basic",
    }  # fmt: skip
    for rule, table in found_by(QUERIES, TEXT, IMAGES, WANTED).items():
        check(found, rule, table)
    spread = expanded(QUERIES, QUERIES, IMAGES, WANTED)
    check(found, "expansion", found_by(spread, TEXT, IMAGES, WANTED, ["harris"])["harris"])

    centred = centering.fit(TEST["features"], groups()["text/test"]["features"])
    sides = centred.apply(IMAGES, "image"), mean(unit(centred.apply(ASKING, "text")))
    for rule, table in found_by(sides[0][:3], sides[1], sides[0], WANTED, ["sum", "harris"]).items():
        check(found, f"{rule}+centering", table)

    fit = basic.fit(TEST["features"], WORDS.astype(np.float32), STYLES.astype(np.float32))
    gallery, asking = fit.apply(IMAGES, "image", "gallery"), mean(fit.apply(ASKING, "text"))
    projection = fit.maps["image"].matrix
    by = found_by(gallery[:3] @ projection, asking, gallery, WANTED, ["sum", "harris"], unit=False)
    for rule, table in by.items():
        check(found, f"{rule}+basic", table)
    spread = expanded(gallery[:3], gallery[:3] @ projection, gallery, WANTED, unit=False) @ projection
    table = found_by(spread, asking, gallery, WANTED, ["harris"], unit=False)["harris"]
    check(found, "expansion+basic", table)
    assert not work.reasons.rows


def test_the_table_and_the_comparisons(native):
    work = Work(Cell(native, None, None, "test", "test", support="train"))
    found = composed.searched(work, Rivals(work, ["centering"]))
    table = composed.summary(found).set_index(["task", "at"])
    held = found[found["task"] == "sum"].set_index("query")
    assert table.loc[("sum", "all"), "mAP"] == held["ap"].mean()
    assert table.loc[("sum", "y"), "mAP"] == pytest.approx(held.loc[[B, C], "ap"].mean())
    of_sets = (held.loc[A, "ap"] + held.loc[[B, C], "ap"].mean()) / 2
    assert table.loc[("sum", "mean of sets"), "mAP"] == pytest.approx(of_sets)
    assert table.loc[("sum", "all"), ["queries", "candidates"]].tolist() == [3, 53]
    assert table.loc[("sum", "x"), "subset_recall@1"] == (held.loc[A, "subset_rank"] <= 1)
    numbers = composed.metrics(composed.summary(found))
    assert numbers["composed/sum/all/mAP"] == held["ap"].mean() and len(numbers) == 8 * 5
    tested = compared(work, composed.outcomes(found), seed=0, resamples=99).set_index("task")
    assert tested.loc["sum+centering", "baseline"] == "sum" and tested.loc["harris", "baseline"] == "sum"
    assert tested.loc["expansion", "baseline"] == "harris"
    assert tested.loc["harris+centering", "value"] == found[found["task"] == "harris+centering"]["ap"].mean()
    assert set(tested["metric"]) == {"mAP"} and set(tested["queries"]) == {3}


def test_an_answer_that_is_ignored_is_none(tmp_path):
    tables = Composed.of(
        [("p", A, "t0", "", ""), ("q", B, "t1", "", "")],
        [
            ("p", SOME[0], "relevant"), ("p", SOME[1], "relevant"), ("p", SOME[1], "ignored"),
            ("q", SOME[2], "target"), ("q", SOME[2], "ignored"),
        ],
    )  # fmt: skip
    work = Work(Cell(put(tmp_path / "n.zip", tables), None, None, "test", "test", support="train"))
    found = composed.searched(work, Rivals(work, []))
    goal = Goal(np.array([PLACE[SOME[0]]]), ignored=np.array([PLACE[SOME[1]]]))
    table = found_by(QUERIES[:1], unit(ASKING)[:1], IMAGES, [goal], ["sum"])["sum"]
    held = found[found["task"] == "sum"]
    assert held["query"].tolist() == ["p"]
    np.testing.assert_allclose(held[table.columns].astype(float), table, rtol=1e-5)
    assert [*work.reasons.rows] == [
        ("composed", "queries", "1 composed queries are left out: no answer is searched")
    ]


def test_every_mean_has_a_column_and_so_many_sets_a_row():
    table = np.random.default_rng(0).integers(1, 9, (24, len(PER_QUERY))).astype(float)
    found = pd.DataFrame(table, columns=list(PER_QUERY))
    assert set(composed.RATES) == set(summarise(found))
    for count, rows in ((1, 1), (10, 12), (11, 2)):
        sets = [f"set {n % count}" for n in range(24)]
        named = found.assign(task="sum", asked="all", query=range(24), set=sets)
        assert len(composed.summary(named)) == rows


def test_with_oti_and_its_template(native, tmp_path):
    oti = inverted(tmp_path / "oti.zip")
    work = Work(Cell(native, oti, None, "test", "test", support="train"))
    found = composed.searched(work, Rivals(work, []))
    as_texts = oti["image/test"].features[:3]
    for rule, table in found_by(as_texts, TEXT, IMAGES, WANTED, ["sum", "harris"]).items():
        check(found, f"{rule}+oti", table)
    assert "oti-template" not in set(found["task"])
    assert [*work.reasons.rows] == [
        ("composed", "oti-template", "OTI was made without the composed queries: run its stage again")
    ]

    features = RNG.normal(size=(2, DIM)).astype(np.float32)
    columns = {"id": TEST["id"][1:], "features": oti["image/test"].features[1:], "loss": np.ones(23)}
    made_by = oti.provenance | {"composed_left_out": {"its image was not inverted": 1}}
    with store.creating(tmp_path / "again.zip", tmp_path / "scratch", made_by) as writer:
        arrays = {name: columns[name].astype(np.float32) for name in ("features", "loss")}
        writer.add("image/test", {"id": np.array(columns["id"], object)}, [arrays])
        writer.add("composed", {"id": np.array([C, B], object)}, [{"features": features}])
    again = store.open_store(tmp_path / "again.zip")
    work = Work(Cell(native, again, None, "test", "test", support="train"))
    found = composed.searched(work, Rivals(work, []))
    table = found_by(features[::-1], features, IMAGES, WANTED[1:], ["image"])["image"]
    held = found[found["task"] == "oti-template"].set_index("query")
    assert held.index.tolist() == [B, C]
    np.testing.assert_allclose(held["ap"], table["ap"])
    assert found[found["task"] == "sum+oti"]["query"].tolist() == [B, C]
    assert [*work.reasons.rows] == [
        ("composed", "oti", "1 composed queries have no inverted image"),
        ("composed", "oti-template", "1 composed queries are left out: its image was not inverted"),
    ]


def test_queries_without_their_items_are_counted(tmp_path):
    tables = Composed.of(
        [
            ("a", "gone", "t0", "", ""), ("b", B, "t9", "", ""), ("c", C, "t0", "", ""), ("d", A, "t0", "", ""),
            ("e", A, "t0", "", "y"),
        ],
        [
            ("a", A, "target"), ("b", A, "target"), ("c", "gone", "target"), ("d", B, "relevant"),
            ("e", C, "target"), ("e", B, "relevant"),
        ],
        [("y", A), ("y", B)],
    )  # fmt: skip
    work = Work(Cell(put(tmp_path / "n.zip", tables), None, None, "test", "test"))
    found = composed.searched(work, Rivals(work, []))
    assert found["query"].unique().tolist() == ["d"]
    assert [why for *_, why in work.reasons.rows] == [
        "1 composed queries are left out: the image is in none of the splits",
        "1 composed queries are left out: a text has no features",
        "2 composed queries are left out: no answer is searched",
    ]
    none = Composed(tables.asked[:1], tables.judged, tables.galleries)
    work = Work(Cell(put(tmp_path / "m.zip", none), None, None, "test", "test"))
    assert composed.searched(work, Rivals(work, ["centering"])).empty
    assert [*work.reasons.rows] == [
        ("composed", "native", "no composed query is left: the image is in none of the splits")
    ]
    twice = put(tmp_path / "o.zip", **{"image/train": TRAIN | {"id": TEST["id"] + TRAIN["id"][24:]}})
    work = Work(Cell(twice, None, None, "test", "test", support="train"))
    assert composed.searched(work, Rivals(work, [])).empty
    assert "two images of the splits have one id" in next(iter(work.reasons.rows))[2]


@pytest.mark.parametrize("name", ["all", "half", "mean of sets"])
def test_a_set_called_as_the_rows_of_all_queries_is_refused(tmp_path, name):
    """Its mean would stand in metrics as that of all queries."""
    asked = TABLES.asked.assign(set=TABLES.asked["set"].replace("x", name))
    held = put(tmp_path / "n.zip", TABLES._replace(asked=asked))
    work = Work(Cell(held, None, None, "test", "test", support="train"))
    assert composed.metrics(composed.summary(composed.searched(work, Rivals(work, [])))) == {}
    (row,) = work.reasons.rows
    assert row == ("composed", "native", f"a set of composed queries is called {name!r}: name it otherwise")


def test_a_bank_of_the_other_half_of_the_queries(tmp_path):
    """NNN, inverted softmax and QB-Norm of image and text together, derived again query by query."""
    some, answers = TEST["id"][:12], [TRAIN["id"][n % 7] for n in range(12)]
    rows = unit(unit(IMAGES[[PLACE[one] for one in some]]) + unit(ASKING)[np.arange(12) % 3])
    similar = rows @ unit(IMAGES).T
    nearest = [[IDS[place] for place in np.argsort(-row) if IDS[place] not in answers] for row in similar]
    ignored = [{some[n], *nearest[n][: 1 + n % 3]} for n in range(12)]
    tables = Composed.of(
        [(f"q{n}", one, f"t{n % 3}", "", "x" if n % 2 else "y") for n, one in enumerate(some)],
        [
            *((f"q{n}", answer, "target") for n, answer in enumerate(answers)),
            *((f"q{n}", one, "ignored") for n in range(12) for one in sorted(ignored[n])),
        ],
        [("y", one) for one in [*TRAIN["id"], *some]],
    )  # fmt: skip
    held = put(tmp_path / "n.zip", tables)
    work = Work(Cell(held, None, None, "test", "test", support="train"))
    rivals = Rivals(work, ["nnn", "inverted_softmax", "qb_norm"])
    found = composed_banks.halved(work, rivals)

    by_id = sorted(range(12), key=lambda n: some[n])
    lent, asked = by_id[:6], by_id[6:]
    taken = {answers[n] for n in asked}
    bank = [n for n in lent if answers[n] not in taken]
    assert 0 < len(bank) < 6
    why = f"{6 - len(bank)} of 6 queries of the bank left out: their image or an answer answers one that is asked"
    assert ("composed", "halves", why) in work.reasons.rows
    nnn = 0.75 * np.sort(similar[bank], axis=0)[-16:].mean(axis=0)
    softmax = np.log(np.exp(20 * similar[bank]).sum(axis=0)) / 20
    for task, less in {"": 0, "+nnn_16": nnn, "+inverted_softmax": softmax, "+qb_norm": None}.items():
        table = found[found["task"] == f"sum{task}"].set_index("query")
        assert sorted(table.index) == sorted(f"q{n}" for n in asked) and set(table["asked"]) == {"half"}
        for n in asked:
            among = np.arange(len(IDS)) if n % 2 else np.array([PLACE[one] for one in [*TRAIN["id"], *some]])
            free = among[~np.isin(among, [PLACE[one] for one in ignored[n]])]
            scores = similar[n] - (softmax if less is None else less)
            if less is None and free[similar[n][free].argmax()] not in {
                among[similar[lender][among].argmax()] for lender in bank
            }:
                scores = similar[n]
            rank = 1 + (scores[free] > scores[PLACE[answers[n]]]).sum()
            assert (table.loc[f"q{n}", "rank"], table.loc[f"q{n}", "candidates"]) == (rank, len(free))
    assert composed.metrics(composed.summary(found))["composed/sum+nnn_16/half/recall@10"] >= 0
    tested = compared(work, composed.outcomes(found), seed=0, resamples=99).set_index("task")
    assert tested.loc["sum+nnn_16", "baseline"] == "sum"


def test_which_queries_lend_the_bank_and_which_of_them_share_an_answer():
    """The smaller half of an odd number of images, by number; whose own image is an answer shares it too."""
    ids = np.array(["i10", "i9", "i2", "i1", "i3", "g1", "g2", "g3", "g4"], object)
    images = Items(ids, ids, np.zeros(9, int), made=np.ones((9, 2)))
    asked = {"i9": ["i1", "g1"], "i10": ["g2"], "i3": ["g3"], "i1": ["g4"], "i2": ["g3", "g4"]}
    asked |= {"i2 again": ["g4"]}
    place = {name: at for at, name in enumerate(ids)}
    sides = composed.ComposedQueries(
        np.array([*asked], object), np.full(6, ""), [images],
        np.array([place[query.split()[0]] for query in asked]), images, [np.array([0])] * 6,
        [Goal(np.array([place[one] for one in answers])) for answers in asked.values()],
    )  # fmt: skip
    lends, overlaps = composed_banks._lending(sides)
    assert sides.queries[lends].tolist() == ["i1", "i2", "i2 again"]
    assert sides.queries[overlaps].tolist() == ["i1", "i2"]


def test_a_bank_is_searched_for_among_the_candidates_of_each_query():
    rng = np.random.default_rng(0)
    queries, images, bank = (unit(rng.normal(size=(n, 3))) for n in (40, 30, 5))
    galleries = [None, np.arange(0, 30, 2), rng.permutation(30)[:12]]
    own, wanted = rng.integers(0, 30, 40), []
    for row in range(40):
        out = np.unique(np.append(rng.integers(0, 30, row % 3), own[row]))
        wanted.append(Goal(np.array([0]), ignored=out if row % 4 else None, among=galleries[row % 3]))
    scoring = qb_norm.fit({composed_banks.SIDES: bank}).scoring
    bias = composed_banks._bias(scoring, queries, images, wanted, own)
    for query, of, flagged in zip(queries, wanted, bias.queries, strict=True):
        among = range(30) if of.among is None else of.among.tolist()
        firsts = {max(among, key=lambda place, lender=lender: lender @ images[place]) for lender in bank}
        out = [] if of.ignored is None else of.ignored.tolist()
        free = [place for place in among if place not in out]
        assert flagged == (max(free, key=lambda place, query=query: query @ images[place]) in firsts)
    assert 0 < bias.queries.sum() < 40
    softmax = -np.log(np.exp(20 * images @ bank.T).sum(axis=1)) / 20
    np.testing.assert_allclose(bias.gallery, softmax, atol=1e-7)


def test_halves_need_two_images_that_ask_and_a_bank(tmp_path):
    alone = Composed.of([("q", A, "t0", "", "x")], [("q", SOME[0], "target")], [])
    same = Composed.of(
        [("q", A, "t0", "", "x"), ("p", B, "t1", "", "x")], [("q", C, "target"), ("p", C, "target")], []
    )
    for tables, why in (
        (alone, "halves of 1 composed queries: give more images that ask"),
        (same, "no query is left in the bank"),
    ):
        work = Work(
            Cell(put(tmp_path / f"{len(why)}.zip", tables), None, None, "test", "test", support="train")
        )
        found = composed_banks.halved(work, Rivals(work, ["nnn"]))
        assert set(found["task"]) <= {"sum"} and ("composed", "halves", why) in work.reasons.rows
