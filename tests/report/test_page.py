"""The report's page against an independent HTML parser."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from crossgap.report import Results, render

IMAGE_QUERIES = ("image-image", "oti-image", "oti-oti", "text-image")
TEXT_QUERIES = ("text-text", "ovi-text", "ovi-ovi", "image-text")
CLASSIFICATION = ("image-text", "oti-text", "image-ovi")
METRICS = ("mAP", "mAP@R", "R-precision", "recall@1", "recall@5", "recall@10")
URL_ATTRIBUTES = {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}


def metrics(relevances=("group", "colour")) -> dict[str, float]:
    """Every key of the contract, each with a value of its own."""
    values: dict[str, float] = {}
    number = 0.100011
    for task in (*IMAGE_QUERIES, *TEXT_QUERIES):
        for relevance in relevances:
            for metric in METRICS:
                values[f"retrieval/{task}/{relevance}/{metric}"] = number = round(number + 0.007013, 6)
    for task in CLASSIFICATION:
        values[f"classification/{task}/colour/accuracy"] = number = round(number - 0.003017, 6)
    gap = [("centroid_distance", 0.8514), ("linear_separability", 0.9876), ("alignment", 1.3804)]
    gap += [("uniformity_image", -1.7951), ("uniformity_text", -1.8412), ("matching_distance", 1.1745)]
    gap += [("cross_uniformity", -3.3343), ("relative_modality_gap", 0.5915)]
    gap += [("effective_rank_image", 104.5946), ("effective_rank_text", 96.9295)]
    values |= {f"gap/{name}": value for name, value in gap}
    values |= {"items/images": 1000, "items/texts": 5000, "items/texts_truncated": 7}
    return values | {"inversion/oti/loss": 0.12346, "inversion/ovi/loss": 0.34567}


def clouds() -> pd.DataFrame:
    modalities = ["image"] * 5 + ["text"] * 5
    ids = [f"{modality}{i}" for i, modality in enumerate(modalities)]
    return pd.DataFrame({"x": range(10), "y": [i % 3 for i in range(10)], "modality": modalities, "id": ids})


def curves(steps=(5, 17, 150)) -> pd.DataFrame:
    """Two numbers of tokens of OTI by two relevances; R = 4 has one step less. Then the one point of OVI."""
    mean = {5: 0.31, 17: 0.42, 150: 0.3}
    rows = [
        (
            "oti-image",
            tokens,
            relevance,
            step,
            0.5 / step,
            mean[step] + tokens / 100 + len(relevance) / 1000,
            0.25,
        )
        for relevance in ("colour", "group")
        for tokens in (1, 4)
        for step in steps
        if (tokens, step) != (4, 17)
    ]
    columns = ["task", "tokens", "relevance", "step", "loss", "mAP", "baseline"]
    return pd.DataFrame([*rows, ("ovi-text", 1, "group", 1000, 0.1, 0.5, 0.4)], columns=columns)


def cell(backbone="nano", dataset="world", **changes) -> Results:
    problems = pd.DataFrame({"id": ["w/3"], "item": ["images/3.jpg"], "problem": ["zero-byte file"]})
    provenance = {"model": "nano-vit", "libraries": {"torch": "2.15"}, "mean": [0.5, 0.25]}
    defaults = {"metrics": metrics(), "clouds": clouds(), "problems": problems, "provenance": provenance}
    return Results(backbone, dataset, **defaults | changes)


def percent(fraction: float) -> str:
    return f"{fraction * 100:.2f}"


def points(difference: float) -> str:
    return f"{difference * 100:+.2f}".replace("-", "−")


@pytest.mark.parametrize("tasks", [IMAGE_QUERIES, TEXT_QUERIES])
def test_retrieval_tables_hold_every_number(parse, tasks):
    values = metrics()
    baseline, *others, across = tasks
    page = parse(render([cell()]))
    caption = f"mAP in percent, by query-gallery; below, the difference to {baseline} in points"
    heading, *rows = page.table(caption)
    assert heading == ["method", "group", "colour"]
    assert [row[0].lower() for row in rows] == [baseline, *others]
    for row, task in zip(rows, (baseline, *others), strict=True):
        for relevance, shown in zip(heading[1:], row[1:], strict=True):
            value, base = (values[f"retrieval/{of}/{relevance}/mAP"] for of in (task, baseline))
            assert shown == percent(value) + ("" if task == baseline else f" {points(value - base)}")

    name = "image" if baseline == "image-image" else "text"
    heading, *rows = page.table(f"Retrieval with {name} queries: all metrics in percent")
    assert len(rows) == 2 * len(tasks[:-1])
    for relevance, task, *shown in rows:
        keys = [f"retrieval/{task.lower()}/{relevance}/{metric}" for metric in heading[2:]]
        assert shown == [percent(values[key]) for key in keys]

    heading, row = page.table("mAP in percent, by query-gallery", 2)
    assert heading == ["method", "text-image", "text-image, colour", "image-text", "image-text, colour"]
    at = heading.index(across)
    assert row[at : at + 2] == [percent(values[f"retrieval/{across}/{of}/mAP"]) for of in ("group", "colour")]


def test_classification_gap_items_and_inversion_hold_every_number(parse):
    values = metrics()
    page = parse(render([cell()]))
    heading, first, *rows = page.table(
        "Accuracy in percent, by feature and class prompt; below, the difference"
    )
    base, *others = (values[f"classification/{task}/colour/accuracy"] for task in CLASSIFICATION)
    assert [heading, first] == [["method", "colour"], ["image-text", percent(base)]]
    assert rows == [
        [name, f"{percent(other)} {points(other - base)}"]
        for name, other in zip(("OTI-text", "image-OVI"), others, strict=True)
    ]
    heading, row = page.table("Gap measures of the cell")
    assert dict(zip(heading, row, strict=True)) == {
        "backbone": "nano",
        "dataset": "world",
        "centroid distance": "0.851",
        "linear separability": "0.988",
        "uniformity, images": "−1.795",
        "uniformity, texts": "−1.841",
        "effective rank, images": "104.595",
        "effective rank, texts": "96.930",
        "alignment": "1.380",
        "matching distance": "1.175",
        "cross uniformity": "−3.334",
        "relative modality gap": "0.592",
    }
    assert [value for _, value, _ in page.table("Gap measures", 1)] == row[2:]
    assert page.table("Mean final loss") == [["OTI", "0.1235"], ["OVI", "0.3457"]]
    assert page.table("Left out")[1:] == [["w/3", "images/3.jpg", "zero-byte file"]]
    facts = re.sub(r"\s+", " ", page.text)
    assert "images 1,000" in facts
    assert "texts truncated 7" in facts
    assert "set aside 1" in facts
    assert "libraries torch 2.15" in facts
    assert "mean 0.5, 0.25" in facts


def test_summary_over_several_cells_and_contents(parse):
    cells = [cell(), cell(dataset="flickr8k"), cell("ViT-B-32", "world", metrics={"gap/new_measure": 0.25})]
    page = parse(render(cells))
    heading, *rows = page.table("Gap measures of all cells")
    assert [row[:2] for row in rows] == [["nano", "world"], ["nano", "flickr8k"], ["ViT-B-32", "world"]]
    assert heading[-1] == "new measure"
    assert [row[-1] for row in rows] == ["–", "–", "0.250"]
    assert rows[2][2:-1] == ["–"] * 10
    for tasks, name in ((IMAGE_QUERIES, "image"), (TEXT_QUERIES, "text")):
        base, *others = (metrics()[f"retrieval/{task}/group/mAP"] for task in tasks[:-1])
        expected = [percent(base), *(f"{percent(other)} {points(other - base)}" for other in others)]
        heading, *rows = page.table(f"Retrieval with {name} queries: mAP in percent")
        assert [part.lower() for part in heading] == ["backbone", "dataset", "relevance", *tasks[:-1]]
        assert rows[0] == ["nano", "world", "group", *expected]
        assert [row[1:3] for row in rows[1:]] == [
            ["world", "colour"],
            ["flickr8k", "group"],
            ["flickr8k", "colour"],
        ]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [link["href"] for link in page.all("a") if link["href"].startswith("#")]
    assert {target.removeprefix("#") for target in targets} <= set(ids)
    assert len(set(targets)) == 3
    assert not parse(render([cell()])).all("nav")


def test_anchors_of_like_names_differ(parse):
    page = parse(render([cell("a/b", "c"), cell("a b", "c"), cell("日本", "c")]))
    headings = [heading["id"] for heading in page.all("h2") if heading["id"].startswith("cell-")]
    assert len(set(headings)) == 3


@pytest.mark.parametrize(
    ("difference", "text", "sign"),
    [(0.0123, "+1.23", "up"), (-0.0123, "−1.23", "down"), (-0.00002, "±0.00", "level")],
)
def test_difference_carries_its_sign(parse, difference, text, sign):
    values = {"retrieval/image-image/group/mAP": 0.5, "retrieval/oti-image/group/mAP": 0.5 + difference}
    page = parse(render([cell(metrics=values)]))
    assert page.table("mAP in percent")[2][1].endswith(f" {text}")
    assert {"class": f"difference {sign}"} in page.all("span")


def test_user_text_is_escaped(parse):
    nasty = "<script>alert('x')</script> & \"q\" {{ 7 * 7 }}"
    values = {f"retrieval/image-image/{nasty}/mAP": 0.5, f"gap/{nasty}": 0.5, f"items/{nasty}": 3, nasty: 0.5}
    problems = pd.DataFrame({"id": [nasty], "item": [nasty], "problem": [nasty]})
    points = clouds().assign(modality=nasty)
    aside = pd.DataFrame({"inversion": [nasty], "group": [nasty], "id": [nasty]})
    steps = curves().assign(relevance=nasty, task="oti-image").drop_duplicates(["tokens", "step"])
    html = render([Results(nasty, nasty, values, points, problems, {nasty: nasty}, aside, steps), cell()])
    page = parse(html)
    assert not page.all("script")
    assert "<script" not in html
    assert page.table("Left out")[1] == [nasty] * 3
    assert page.table("mAP in percent, by")[0][1] == nasty
    assert page.text.count(nasty) > 8


def test_page_loads_nothing(parse):
    html = render([cell(), cell(dataset="other")])
    page = parse(html)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in URL_ATTRIBUTES & attributes.keys():
            address = attributes[name]
            allowed = ("#", "https://arxiv.org/abs/") if tag == "a" else ("data:image/",)
            assert address.startswith(allowed), (tag, name, address)
    assert "url(" not in html
    assert "@import" not in html
    for number in ("2502.04263", "2405.18570", "2603.16100"):
        assert f"https://arxiv.org/abs/{number}" in html


def test_figures_are_described_and_page_is_labelled(parse):
    page = parse(render([cell()]))
    (image,) = page.all("img")
    assert "5 image features and 5 text features" in image["alt"]
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in heading for heading in page.all("th"))


def test_equal_cells_give_equal_bytes():
    first = render([cell()])
    assert render([cell(metrics=dict(reversed(metrics().items())))]) == first
    assert not re.search(r"20\d\d-\d\d-\d\d", first)


def test_imported_image_features_alone(parse):
    """No text, no test and no figure: nothing is said of them."""
    page = parse(render([Results("openai", "dtd", {"retrieval/image-image/class/mAP": 0.2897})]))
    assert page.tables == [
        ("mAP in percent, by query-gallery", [["method", "class"], ["image-image", "28.97"]])
    ]
    assert "– not recorded" in page.text
    assert re.search(r"truncated captions\s*–", page.text)
    assert re.search(r"set aside\s*0", page.text)
    assert not page.all("img")
    for word in ("Text queries", "text queries", "Summary", "Clusters", "Better, worse", "Corrections"):
        assert word not in page.text


def test_nothing_evaluated(parse):
    assert "– neither retrieval nor classification was evaluated" in parse(render([cell(metrics={})])).text


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": {}, "clouds": None, "problems": None, "provenance": {}},
        {"clouds": clouds().iloc[:0], "problems": pd.DataFrame(columns=["id", "item", "problem"])},
        {"clouds": clouds().query("modality == 'text'")},
        {"clouds": clouds().iloc[:1]},
        {"curves": curves().assign(mAP=float("nan"), loss=float("nan"), baseline=float("nan"))},
        {"metrics": {key: value for key, value in metrics().items() if not re.search("oti|ovi", key)}},
        {"metrics": {key: value for key, value in metrics().items() if "image-image" not in key}},
        {"metrics": dict.fromkeys(metrics(), float("nan"))},
        {"metrics": dict.fromkeys(metrics())},
    ],
)
def test_missing_pieces(parse, changes):
    page = parse(render([cell(**changes)]))
    assert not re.search(r"\b(nan|None|inf)\b", page.text)


def test_missing_baseline_gives_no_difference(parse):
    page = parse(render([cell(metrics={"retrieval/oti-image/group/mAP": 0.25})]))
    assert page.table("mAP in percent")[1:] == [["image-image", "–"], ["OTI-image", "25.00"]]


def test_unknown_numbers_are_listed(parse):
    values = {
        "retrieval_ceiling/text-image/group/recall@1": 0.63,
        "retrieval/pca-image/colour/mAP": 0.5,
        "classification/image-text/colour/top5": 0.75,
        "speed": 12.5,
    }
    page = parse(render([cell(metrics=values)]))
    assert page.table("Metrics by their key") == [
        ["classification/image-text/colour/top5", "0.75"],
        ["retrieval/pca-image/colour/mAP", "50.00 %"],
        ["retrieval_ceiling/text-image/group/recall@1", "63.00 %"],
        ["speed", "12.5"],
    ]


def test_over_steps_holds_every_number_and_marks_the_best(parse):
    values = metrics() | {
        "snapshots/oti-image/colour/best_step": 17,
        "snapshots/oti-image/colour/best_mAP": 0.436,
    }
    html = render([cell(metrics=values, curves=curves())])
    page = parse(html)
    heading, *rows = page.table("OTI-image, mAP in percent, by step")
    assert heading == ["relevance", "R", "image-image", "5", "17", "150", "best step"]
    assert rows == [
        ["group", "1", "25.00", "32.50", "43.50", "31.50", "17"],
        ["group", "4", "25.00", "35.50", "–", "34.50", "5"],
        ["colour", "1", "25.00", "32.60", "43.60", "31.60", "17"],
        ["colour", "4", "25.00", "35.60", "–", "34.60", "5"],
    ]
    assert re.findall("<strong>(.+?)</strong>", html) == ["43.50", "35.50", "43.60", "35.60"]
    heading, *rows = page.table("OTI-image, mean loss")
    assert heading == ["R", "5", "17", "150"]
    assert rows == [["1", "0.1000", "0.0294", "0.0033"], ["4", "0.1000", "–", "0.0033"]]
    assert not [caption for caption, _ in page.tables if caption.startswith("OVI-text, ")], "it has one point"
    (alternative,) = [image["alt"] for image in page.all("img") if image.get("class") == "panels"]
    assert "OTI-image over steps 5 to 150" in alternative
    assert "choose the step on other data" in page.text
    assert not [caption for caption, _ in page.tables if caption.startswith("Metrics by their key")]
    assert render([cell(metrics=values, curves=curves())]) == html


@pytest.mark.parametrize("lacking", [None, curves().iloc[:0], curves(steps=(150,)).query("tokens == 1")])
def test_no_section_over_steps_without_snapshots(parse, lacking):
    values = metrics() | {"snapshots/oti-image/colour/best_step": 17}
    html = render([cell(metrics=values, curves=lacking)])
    page = parse(html)
    assert "Over steps" not in html and len(page.all("img")) == 1
    assert page.table("Metrics by their key") == [["snapshots/oti-image/colour/best_step", "17"]]


def test_items_set_aside_by_an_inversion_are_named(parse):
    aside = pd.DataFrame({"inversion": ["oti"], "group": ["image/test"], "id": ["<w/7>"]})
    values = {"inversion/oti/set_aside": 1, "inversion/oti/loss": 0.5}
    page = parse(render([cell(metrics=values, not_inverted=aside)]))
    assert page.table("Their loss was not finite")[1] == ["<w/7>", "image/test", "oti"]
    assert re.search(r"set aside by OTI\s*1", page.text)
    page = parse(render([cell(metrics=values, not_inverted=aside.iloc[:0])]))
    assert not [caption for caption, _ in page.tables if caption.startswith("Their loss")]


def test_relevance_with_a_slash(parse):
    page = parse(render([cell(metrics={"retrieval/image-image/a/b/mAP": 0.5})]))
    assert page.table("mAP in percent") == [["method", "a/b"], ["image-image", "50.00"]]


def test_refusals_name_the_cell():
    with pytest.raises(ValueError, match="nothing to report"):
        render([])
    with pytest.raises(ValueError, match="nano · world is there twice"):
        render([cell(), cell()])
    with pytest.raises(ValueError, match="nano · world: clouds: no column modality"):
        render([cell(clouds=clouds().drop(columns="modality"))])
    with pytest.raises(ValueError, match="1 of 10 points have no finite coordinates, the first is 'image0'"):
        render([cell(clouds=clouds().assign(x=[float("nan")] + [0.0] * 9))])
    with pytest.raises(ValueError, match="nano · world: curves: no column mAP, baseline"):
        render([cell(curves=curves().drop(columns=["mAP", "baseline"]))])
    with pytest.raises(ValueError, match="nano · world: not_inverted: no column group"):
        render([cell(not_inverted=pd.DataFrame({"id": ["a"], "inversion": ["oti"]}))])
    with pytest.raises(ValueError, match="nano · world: problems: no column item"):
        render([cell(problems=pd.DataFrame({"id": ["a"], "problem": ["b"]}))])


def test_texts_that_are_cut_and_documents_that_are_summarised(parse):
    counts = {"items/text/test": 7532, "items/text/test/truncated": 1200, "items/text/query": 20}
    counts |= {"items/text/query/truncated": 0}
    page = parse(render([Results("openai", "newsgroups", counts)]))
    assert "only their heads count: 1,200 of 7,532 of test." in page.text
    assert "stood for by summaries" not in page.text
    counts |= {"items/text/test/truncated": 0}
    page = parse(render([Results("openai", "newsgroups", counts, provenance={"summaries": "data/s.json"})]))
    assert "only their heads count" not in page.text
    assert "stood for by summaries, those in data/s.json." in page.text
