"""Idealised experiments on the page, against an independent parser and plain geometry."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from crossgap.report import Experiment, Results, render, sphere
from crossgap.report.clouds import SIGNS
from crossgap.report.idealised import MEASURES
from crossgap.report.packing import packed_json

STEPS = (0, 1, 7, 40)
SVG = "{http://www.w3.org/2000/svg}"


def value(run: int, step: int, measure: int) -> float:
    """Of no two alike."""
    return (-1) ** (measure > 3) * (measure + 1 + run / 10 + step / 1000)


def toy(sizes=(3, 8), items=5, steps=STEPS) -> pd.DataFrame:
    """Two clouds that part along a slanted axis; batches of 3 part further."""
    rng = np.random.default_rng(0)
    rows = []
    for size in sizes:
        for step in steps:
            for side, encoder in ((1, "first"), (-1, "second")):
                for item in range(items):
                    point = np.array([1.0, 2.0, 2.0]) + side * step / size / 10 * np.array([2.0, 1.0, -2.0])
                    point = point + 0.1 * rng.normal(size=3)
                    rows.append((size, step, encoder, item, *np.round(point / np.linalg.norm(point), 4)))
    return pd.DataFrame(rows, columns=list(sphere.COLUMNS))


def experiment(name="both_$ides", toys=True) -> Experiment:
    named = [("base", 64, 32, 0.07, 0), ("base-seed-1", 64, 32, 0.07, 1), ("width-8", 8, 32, 0.07, 0)]
    named += [("temperature-0.01", 64, 32, 0.01, 0), ("mismatched-0.25", 64, 32, 0.07, 0)]
    named += [("toy-3", 3, 3, 0.07, 0)]
    runs, curves = [], []
    for number, (run, width, size, temperature, seed) in enumerate(named):
        at = {step: {m: value(number, step, i) for i, m in enumerate(MEASURES)} for step in STEPS}
        curves += [{"run": run, "step": step, **values} for step, values in at.items()]
        ends = {
            f"{m}_{end}": at[step][m] for m in MEASURES for end, step in (("first", 0), ("last", STEPS[-1]))
        }
        settings = {"width": width, "batch_size": size, "temperature": temperature, "seed": seed, "epochs": 5}
        settings |= {"mismatched": 0.25 * (run == "mismatched-0.25"), "shared": False, "gap": 0.0}
        runs.append({"run": run, **settings, "images": 2048, "steps": STEPS[-1], **ends})
    return Experiment(name, pd.DataFrame(curves), pd.DataFrame(runs), toy() if toys else toy().head(0))


def page(*experiments: Experiment) -> str:
    return render([Results("nano", "world", {"gap/centroid_distance": 0.5})], None, experiments)


def svgs(html: str) -> list[str]:
    found = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    return [base64.b64decode(address).decode() for address in found]


def test_the_table_holds_both_ends_of_every_run(parse):
    heading, *rows = parse(page(experiment())).table("both_$ides: every training")
    first = [
        "run",
        "width",
        "batch size",
        "temperature",
        "encoders",
        "mismatched",
        "first gap",
        "seed",
        "images",
    ]
    assert heading[:10] == [*first, "steps"]
    assert [row[0] for row in rows] == [
        "base", "base-seed-1", "width-8", "temperature-0.01", "mismatched-0.25", "toy-3",
    ]  # fmt: skip
    assert rows[3][1:10] == ["64", "32", "0.01", "two", "0.00", "0", "0", "2,048", "40"]
    assert rows[4][5] == "25.00"
    for number, row in enumerate(rows):
        for measure, shown in enumerate(row[10:]):
            ends = [f"{value(number, step, measure):.3f}".replace("-", "−") for step in (0, 40)]
            assert shown == " → ".join(ends)


def test_a_figure_for_the_base_run_and_for_each_setting_that_was_swept(parse):
    shown = parse(page(experiment()))
    captions = [block["caption"] for block in shown.blocks if block["kind"] == "lines"]
    assert len(captions) == 4
    lines = {
        word: shown.figure(f"Over the steps of training, {word}")
        for word in ("of the run base", "by width", "by temperature", "by share")
    }
    assert {word: list(panels["loss"]) for word, panels in lines.items()} == {
        "of the run base": ["base"],
        "by width": ["width 8", "width 64"],
        "by temperature": ["temperature 0.01", "temperature 0.07"],
        "by share": ["share of mismatched pairs 0", "share of mismatched pairs 0.25"],
    }
    assert "The gap without two modalities" in shown.text


def test_values_that_are_close_have_lines_of_their_own(parse):
    close = experiment()
    close.runs.loc[close.runs["run"] == "temperature-0.01", "temperature"] = 0.070000001
    panels = parse(page(close)).figure("Over the steps of training, by temperature")
    assert list(panels["loss"]) == ["temperature 0.07", "temperature 0.070000001"]


def test_lines_are_the_means_over_seeds_and_bands_their_ranges(parse):
    panels = parse(page(experiment())).figure("Over the steps of training, by width")
    assert list(panels) == ["loss", "centroid distance", "linear separability"]
    for number, name in enumerate(("loss", "centroid_distance", "linear_separability")):
        assert name in MEASURES
        both = [[value(run, step, number) for step in STEPS] for run in (0, 1)]
        line = panels[MEASURES[name]]["width 64"]
        assert line["x"] == list(STEPS)
        assert line["y"] == pytest.approx(np.mean(both, axis=0))
        assert (line["low"], line["high"]) == (pytest.approx(both[0]), pytest.approx(both[1]))
        alone = panels[MEASURES[name]]["width 8"]
        assert alone["y"] == pytest.approx([value(2, step, number) for step in STEPS]) and "low" not in alone


def test_what_is_seen_is_the_sphere_turned():
    points = toy().query("batch_size == 8")
    turned = sphere.seen(points)
    ours, theirs = turned[["right", "up", "near"]].to_numpy(), points[["x", "y", "z"]].to_numpy()
    np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-12)
    basis = np.linalg.lstsq(theirs, ours, rcond=None)[0]
    assert np.linalg.det(basis) == pytest.approx(1)  # turned, not mirrored
    last = turned[turned["step"] == 40].groupby("encoder")[["right", "up", "near"]].mean()
    gap = (last.loc["first"] - last.loc["second"]).to_numpy()
    assert gap[0] > 0.3 and abs(gap[1]) < 1e-12 and abs(gap[2]) < 1e-12
    first = turned[turned["step"] == 0][["right", "up", "near"]].mean()
    assert first["near"] > 0 and abs(first["up"]) < 1e-12


def test_clouds_without_a_gap_are_seen_all_the_same():
    points = toy().query("batch_size == 8 and encoder == 'first'")
    both = pd.concat([points, points.assign(encoder="second")])
    for same in (both, both.assign(x=1.0, y=0.0, z=0.0)):
        turned = sphere.seen(same)[["right", "up", "near"]].to_numpy()
        np.testing.assert_allclose(
            turned @ turned.T, same[["x", "y", "z"]] @ same[["x", "y", "z"]].T, atol=1e-12
        )


def dots(element: ElementTree.Element, kind: str) -> list[tuple[int, int]]:
    """The places of the dots of a class, behind or not, inside an element."""
    paths = [path for path in element.iter(f"{SVG}path") if path.get("class") == kind]
    return [tuple(map(int, at)) for path in paths for at in re.findall(r"M(-?\d+) (-?\d+)h0", path.get("d"))]


def test_every_frame_holds_its_points_front_and_back():
    turned = sphere.seen(toy().query("batch_size == 3"))
    (run,) = sphere.motion({3: turned})["runs"]
    assert (run["size"], run["steps"]) == (3, list(STEPS))
    for frame, step in zip(run["frames"], STEPS, strict=True):
        for held, encoder in zip(frame, ("first", "second"), strict=True):
            of = turned[(turned["step"] == step) & (turned["encoder"] == encoder)]
            digits = [SIGNS.index(sign) for sign in held["at"]]
            numbers = [64 * high + low for high, low in zip(digits[::2], digits[1::2], strict=True)]
            places = [number / 4095 * 2 - 1 for number in numbers]
            assert places[::2] == pytest.approx(list(of["right"]), abs=1 / 4095)
            assert places[1::2] == pytest.approx(list(of["up"]), abs=1 / 4095)
            assert [sign == "1" for sign in held["front"]] == list(of["near"] >= 0)


def test_a_strip_shows_the_first_and_the_last_step_and_lines_between_pairs():
    many = tuple(range(0, 41, 2))
    runs = {size: sphere.seen(of) for size, of in toy((3, 8), 200, many).groupby("batch_size")}
    frames = list(ElementTree.fromstring(sphere.strip(runs)).iter(f"{SVG}g"))
    titles = [frame.find(f"{SVG}text").text for frame in frames]
    assert (
        len(frames) == 2 * sphere.FRAMES and titles[0] == "batch 3, step 0" and titles[6] == "batch 8, step 0"
    )
    assert titles[5] == titles[11] == "step 40"
    for frame in frames:
        (pairs,) = [path for path in frame.iter(f"{SVG}path") if path.get("class") == "pairs"]
        lines = re.findall(r"M(-?\d+) (-?\d+)L(-?\d+) (-?\d+)", pairs.get("d"))
        firsts = {(int(line[0]), int(line[1])) for line in lines}
        assert len(lines) == sphere.PAIRS
        assert firsts == {*dots(frame, "first"), *dots(frame, "first behind")}


def test_figures_are_whole_load_nothing_and_are_the_same_again():
    html = page(experiment())
    assert page(experiment()) == html
    figures = svgs(html)
    assert len(figures) == 1
    for svg in figures:
        root = ElementTree.fromstring(svg)
        hrefs = [value for element in root.iter() for key, value in element.items() if key.endswith("href")]
        assert all(address.startswith("#") for address in hrefs)
        assert "prefers-color-scheme" in svg and not re.search(r"20\d\d-\d\d", svg) and "<script" not in svg


def test_the_papers_toy_moves_in_few_bytes():
    runs = {size: sphere.seen(of) for size, of in toy((3, 8, 12), 256, range(24)).groupby("batch_size")}
    assert len(packed_json(sphere.motion(runs))) < 200_000


def test_without_experiments_or_toys_nothing_is_said_of_them(parse):
    assert "two modalities" not in parse(page()).text
    plain = parse(page(experiment(toys=False), experiment("other")))
    assert [block["kind"] for block in plain.blocks].count("sphere") == 1
    assert "other: every training" in " ".join(caption for caption, _ in plain.tables)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": lambda t: t.drop(columns="loss_last")}, "runs: no column loss_last"),
        ({"curves": lambda t: t.drop(columns="step")}, "curves: no column step"),
        ({"toy": lambda t: t.drop(columns="item")}, "toy: no column item"),
        ({"runs": lambda t: t[t["run"] != "base"]}, "runs: no run base among base-seed-1"),
    ],
)
def test_a_broken_table_is_an_error_that_names_the_experiment(changes, message):
    whole = experiment()
    tables = {
        name: changes.get(name, lambda t: t)(getattr(whole, name)) for name in ("curves", "runs", "toy")
    }
    with pytest.raises(ValueError, match=f"idealised experiment broken: {message}"):
        page(Experiment("broken", **tables))
