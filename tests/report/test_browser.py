"""The page in a real browser: no error, no request, few nodes, and a table that filters, sorts, pivots and copies."""

from __future__ import annotations

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from crossgap.errors import ImageError
from crossgap.report import Results, render
from crossgap.report.page import with_here
from tests.report.test_idealised import experiment
from tests.report.test_looked import table as rankings

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
NODES = 5000
NASTY = "<img src=x onerror=alert(1)></script>&amp;"


def cell(backbone="nano", dataset="world", shift=0.0) -> Results:
    metrics = {"gap/centroid_distance": 0.8 + shift, "gap/alignment": 1.25, "items/image/test": 50}
    rows = []
    for i, labelling in enumerate(("colour", "place", NASTY)):
        metrics[f"retrieval/image-image/{labelling}/mAP"] = 0.5
        metrics[f"retrieval/image-image/{labelling}/recall@1"] = 0.75
        for j, task in enumerate(("oti-image", "image-image+pca")):
            gain = (i - 1) / 10 + j / 50 + shift
            metrics[f"retrieval/{task}/{labelling}/mAP"] = 0.5 + gain
            ends = gain - 0.05, gain + 0.05
            rows.append(
                ("retrieval", task, "image-image", labelling, 0.5 + gain, 0.5, gain, *ends, 0.001, 0.01, 50)
            )
    columns = (
        "family", "task", "baseline", "relevance", "value", "baseline_value", "difference", "low", "high", "p",
        "p_adjusted", "queries",
    )  # fmt: skip
    clouds = [(i / 60, (i * i % 60) / 60, "image", f"i{i}") for i in range(60)]
    clouds += [(i / 60 + 2, (i * 7 % 60) / 60, "text", f"i{i}#0") for i in range(60)]
    curves = [("oti-image", 1, "colour", step, 1 / step, 0.5 + 1 / step, 0.5) for step in (5, 20, 100)]
    shifts = [
        (x, abs(1 - x), "retrieval", "text-image", "group", "mAP", 0.5 + x / 10)
        for x in (-1.0, 0.0, 1.0, 2.0)
    ]
    return Results(
        backbone,
        dataset,
        metrics,
        comparisons=pd.DataFrame(rows, columns=columns),
        clouds=pd.DataFrame(clouds, columns=["x", "y", "modality", "id"]),
        curves=pd.DataFrame(
            curves, columns=["task", "tokens", "relevance", "step", "loss", "mAP", "baseline"]
        ),
        shifts=pd.DataFrame(
            shifts, columns=["shift", "distance", "family", "task", "relevance", "metric", "value"]
        ),
        corrections=pd.DataFrame(
            [
                ("pca", "PCA", "arXiv 2603.16100", "axes", "10", ""),
                ("isoclip", "IsoCLIP", "a paper", "", "", NASTY),
            ],
            columns=["name", "title", "source", "how", "parameters", "reason"],
        ),
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with playwright.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, args=list(ARGUMENTS)
        )
        yield context
        context.close()


class Sight:
    """Small pictures, but for one image that can't be read; captions."""

    def text(self, item: str) -> str | None:
        return f"a photo of {item}, {NASTY}" if "#" in item else None

    def picture(self, item: str) -> bytes | None:
        if "#" in item:
            return None
        if item == "i5":
            raise ImageError("i5.jpg", "no such file")
        made = io.BytesIO()
        Image.new("RGB", (24, 16), (10 * int(item[1:]), 90, 160)).save(made, "WEBP")
        return made.getvalue()


def looked_at() -> pd.DataFrame:
    """Images by colour, and captions by image."""
    methods = ("image-image", "oti-image", "image-image+pca", "image-image+isoclip")
    tables = [rankings(7, methods=methods)]
    captions = rankings(2, "text-text", "group", ("text-text", "ovi-text"))
    captions["query"] = captions["query"] + "#0"
    captions["items"] = captions["items"].map(lambda items: [f"{item}#1" for item in items])
    return pd.concat([*tables, captions.assign(labels=[[]] * len(captions), label="")], ignore_index=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "index.html"
    cells = [replace(cell(), looked_at=looked_at()), cell("b32", "photos", 0.15)]
    html = render(
        cells,
        experiments=[experiment("toy")],
        made={"crossgap": "1", "params.yaml": "run:\n  seed: 0\n"},
        sights={"world": Sight()},
    )
    here = {
        "facts": [["revision of git", "abc"]],
        "heads": ["stage", "seconds"],
        "stages": [["encode", "2.5"]],
    }
    path.write_text(with_here(html, here), encoding="utf-8")
    return path


def reached(page, section: str, inside: str):
    """The page, scrolled to a section, which is drawn when it is seen."""
    page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
    page.wait_for_selector(inside)
    return page


def looking(page):
    return reached(page, "queries", "#queries-shown .ranking")


def items(page, number: int) -> list[str]:
    return page.eval_on_selector_all(
        f".ranking:nth-of-type({number + 2}) li", "all => all.map(one => one.innerText.replace(/\\s+/g, ' '))"
    )


def test_a_querys_rankings_stand_beside_each_other(shown, written):
    page = looking(shown(written))
    assert page.eval_on_selector_all(".ranking h4", "all => all.map(one => one.textContent)") == [
        "native features average precision 25.00 %",
        "OTI-image average precision 37.50 %, +12.50",
        "PCA average precision 50.00 %, +25.00",
    ]
    assert items(page, 0)[0] == "✓ right 0.900 red i1" and items(page, 0)[1] == "✗ wrong 0.775 blue i2"
    classes = page.eval_on_selector_all(".ranking li", "all => all.map(one => one.className)")
    assert classes == ["right", "wrong"] * 2 + ["wrong", "right"] * 2 + ["right", "wrong"] * 2
    assert page.evaluate(
        "[...document.querySelectorAll('#queries img')].every(one => one.naturalWidth === 24)"
    )
    assert len(page.query_selector_all(".spread svg[role=img]")) == 3
    assert "4 relevant and 66 other" in page.get_attribute(".spread svg", "aria-label")
    assert "1 images of world have no picture here" in page.inner_text("#queries-said")


def test_queries_are_gone_through_by_keyboard_and_the_address_keeps_where(shown, written):
    page = looking(shown(written))
    page.focus("#queries-next")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#queries-controls [role=status]")).to_have_text(" 2 of 3 ")
    assert page.evaluate("document.activeElement.id") == "queries-next"
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#queries-next")).to_be_disabled()
    assert page.inner_text(".query .id").split() == ["red", "i6"]
    page.select_option("#choose-qw", "harmed")
    playwright.expect(page.locator("#queries-controls [role=status]")).to_have_text(" 1 of 2 ")
    page.click("#queries-methods summary")
    page.check("#queries-methods input[value=IsoCLIP]")
    page.uncheck("#queries-methods input[value=PCA]")
    playwright.expect(page.locator(".ranking")).to_have_count(3)
    again = looking(shown(written, page.url[page.url.index("#") :]))
    heads = again.eval_on_selector_all(".ranking h4", "all => all.map(one => one.firstChild.textContent)")
    assert heads == ["native features", "OTI-image", "IsoCLIP"]
    assert again.inner_text(".query .id").split() == ["red", "i1"]


def test_texts_are_texts_and_a_cell_without_queries_says_so(shown, written):
    page = looking(shown(written, "#qr=text-text retrieval, by group"))
    assert page.query_selector("#queries img") is None
    assert page.inner_text(".query .words") == f"a photo of i0#0, {NASTY}"
    page.select_option("#cell", "1")
    page.wait_for_selector("#queries-shown > p")
    assert "no query to look at" in page.inner_text("#queries-shown") and "b32" in page.inner_text(
        "#queries-cell"
    )


def test_what_made_it_here_and_its_settings(shown, written):
    page = reached(shown(written), "made", "#made-here table")
    assert page.inner_text("#made-here dl").split("\n") == ["revision of git", "abc"]
    assert page.inner_text("#made-here tbody").split() == ["encode", "2.5"]
    page.click("#made-facts summary")
    assert page.inner_text("#made-facts pre") == "run:\n  seed: 0\n"


@pytest.fixture
def shown(browser):
    """Opens a page; at the end no error, no warning and no request but the page's own must have been."""
    said, asked, pages = [], [], []

    def show(path: Path, state: str = "", **media: str):
        page = browser.new_page()
        page.emulate_media(**media)
        pages.append(page)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"file://{path}{state}")
        page.wait_for_selector("html[data-ready=yes]")
        return page

    yield show
    for page in pages:
        page.close()
    assert said == []
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]


def drawn(page) -> None:
    """Every chapter of it, as a reader who goes through it sees it."""
    for section in page.query_selector_all("main > section"):
        section.scroll_into_view_if_needed()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_selector("[data-chapter=made] h3")
    page.wait_for_selector("#gap-table .tabulator-row")


def table(page):
    return reached(page, "explore", "#table .tabulator-row")


def column(page, field: str) -> list[str]:
    return page.eval_on_selector_all(
        f"#table .tabulator-row [tabulator-field={field}]", "all => all.map(one => one.textContent)"
    )


def test_everything_is_drawn_in_few_nodes_and_stays_inside_its_frame(shown, written):
    page = shown(written)
    assert page.evaluate("document.querySelectorAll('*').length") < NODES / 5
    drawn(page)
    assert page.evaluate("document.querySelectorAll('*').length") < NODES
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.query_selector("svg.cloud") and len(page.query_selector_all(".panels-of svg")) >= 4
    assert page.query_selector("img[src=x]") is None
    assert NASTY in page.inner_text("[data-chapter=made]")


def test_on_a_telephone_a_long_name_makes_the_page_no_wider(shown, tmp_path):
    long = cell(backbone="backbone-with-a-long-name-" * 3)
    titled = long.corrections.assign(title="A map between both modalities that is fitted by ridge regression")
    several = [cell(), replace(long, corrections=titled)]
    (tmp_path / "index.html").write_text(render(several), encoding="utf-8")
    page = shown(tmp_path / "index.html")
    page.set_viewport_size({"width": 360, "height": 780})
    page.select_option("#choose-fb", long.backbone)
    drawn(page)
    wide = "document.querySelector('#choose-fb').getBoundingClientRect().right"
    assert page.evaluate(wide) <= 360
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_forest_has_a_sign_and_an_interval_for_each_comparison(shown, written):
    page = shown(written)
    figure = "#forest-figure svg"
    dots = "#forest-figure [data-mark=dot]"
    signs = f"document.querySelectorAll('{dots} path, {dots} circle').length"
    assert page.evaluate(signs) == 6
    page.select_option("#choose-fb", "b32")
    playwright.expect(page.locator(figure)).to_have_attribute("aria-label", re.compile("b32"))
    page.uncheck("#forest-controls input[value=OTI-image]")
    assert page.evaluate(signs) == 3
    assert "fb=b32" in page.url and "fm=PCA" in page.url
    page.hover(figure)
    assert "b32" in page.get_attribute(figure, "aria-label")


def test_the_best_correction_is_one_of_those_that_most_labellings_have(shown, tmp_path):
    of = cell()
    once = of.metrics | {"retrieval/image-image+isoclip/colour/mAP": 0.95}
    (tmp_path / "index.html").write_text(render([replace(of, metrics=once)]), encoding="utf-8")
    page = shown(tmp_path / "index.html")
    labels = page.eval_on_selector_all(
        "#forest-controls fieldset label", "all => all.map(one => one.textContent)"
    )
    assert [label.strip() for label in labels if "best" in label] == ["PCA (best correction)"]


def test_filter_sort_and_columns_are_in_the_address_and_come_back(shown, written):
    page = table(shown(written))
    assert page.inner_text("#table-count") == "18 of 18 rows"
    page.type("[aria-label='filter method']", "oti|pca")
    page.type("[aria-label='filter difference']", ">0")
    playwright.expect(page.locator("#table-count")).to_contain_text("9 of")
    page.click("#table .tabulator-col[tabulator-field=difference] .tabulator-col-title")
    expected = ["+2.00", "+5.00", "+7.00", "+10.00", "+12.00", "+15.00", "+17.00", "+25.00", "+27.00"]
    first = page.locator("#table .tabulator-row [tabulator-field=difference]").first
    playwright.expect(first).to_have_text("+2.00")
    assert column(page, "difference") == expected
    page.click("text=More columns")
    page.check("#table-controls input[value=low]")
    page.wait_for_selector("#table .tabulator-row [tabulator-field=low]")
    again = table(shown(written, page.url[page.url.index("#") :]))
    assert again.input_value("[aria-label='filter method']") == "oti|pca"
    assert column(again, "difference") == column(page, "difference")
    assert column(again, "low")[0] == "−3.00"


def test_a_row_tells_its_interval_and_p_by_mouse_and_by_keyboard(shown, written):
    page = table(shown(written, "#f.method=OTI&f.labelling=colour&f.backbone=nano"))
    playwright.expect(page.locator("#table-count")).to_contain_text("1 of")
    page.hover("#table .tabulator-row [tabulator-field=difference]")
    page.wait_for_selector(".tabulator-tooltip")
    told = page.inner_text(".tabulator-tooltip")
    assert "−10.00 points" in told and "[−15.00, −5.00]" in told and "corrected 0.0100: worse" in told
    page.focus("#table .tabulator-row")
    page.keyboard.press("Enter")
    assert "[−15.00, −5.00]" in page.inner_text("#picked")


def test_pivoted_a_method_is_a_column(shown, written):
    page = table(shown(written, "#pivot=method&what=difference"))
    heads = page.eval_on_selector_all("#table .tabulator-col-title", "all => all.map(one => one.textContent)")
    assert heads == ["backbone", "dataset", "task", "labelling", "metric", "OTI-image", "PCA"]
    assert column(page, "v0")[:2] == ["+10.00", "−10.00"]


def test_what_is_copied_is_the_table_as_it_stands(shown, written):
    page = table(shown(written, "#f.labelling=colour&f.backbone=nano&f.method=oti"))
    playwright.expect(page.locator("#table-count")).to_contain_text("1 of")
    copies = {}
    for name in ("Markdown", "LaTeX", "CSV"):
        page.click(f"text=Copy {name}")
        page.wait_for_selector("#copied[open]")
        copies[name] = page.input_value("#copied textarea").strip().split("\n")
        page.click("#copied button")
    row = ["nano", "world", "image-image retrieval", "colour", "OTI-image", "mAP"]
    assert copies["Markdown"][2] == f"| {' | '.join([*row, '40.00', '−10.00', '0.0100', 'worse'])} |"
    assert copies["LaTeX"][1:4:2] == ["\\toprule", "\\midrule"] and copies["LaTeX"][-2] == "\\bottomrule"
    assert copies["LaTeX"][4] == " & ".join([*row, "40.00", "$-$10.00", "0.0100", "worse"]) + " \\\\"
    assert copies["CSV"][1] == ",".join([*row, "40", "-10", "0.01", "worse"])


def test_copied_differences_are_bold_where_they_are_significant(shown, written):
    page = table(shown(written, "#pivot=method&what=difference&f.labelling=colour&f.backbone=nano"))
    playwright.expect(page.locator("#table-count")).to_contain_text("1 of")
    copies = {}
    for name in ("Markdown", "LaTeX"):
        page.click(f"text=Copy {name}")
        page.wait_for_selector("#copied[open]")
        copies[name] = page.input_value("#copied textarea").strip().split("\n")
        page.click("#copied button")
    assert (
        copies["Markdown"][2].endswith("| **−10.00** | **−8.00** |") and "p < 0.05" in copies["Markdown"][-1]
    )
    assert copies["LaTeX"][5].endswith("& \\textbf{$-$10.00} & \\textbf{$-$8.00} \\\\")
    values = table(shown(written, "#pivot=method&what=value&f.labelling=colour&f.backbone=nano"))
    playwright.expect(values.locator("#table-count")).to_contain_text("1 of")
    assert column(values, "v1") == ["40.00"], "as many digits as everywhere"


def test_a_long_table_sorts_differences_and_intervals_by_their_numbers(shown, tmp_path):
    numbers = [
        ("+2.00", "[1.00, 3.00]"),
        ("±0.00", "[−0.50, 0.50]"),
        ("−11.00", "[−12.00, −9.00]"),
        ("1,000.00", "[1,000, 1,001]"),
    ]
    long = pd.DataFrame(numbers * 11, columns=["change", "interval"])
    (tmp_path / "index.html").write_text(render([replace(cell(), dimensions=long)]), encoding="utf-8")
    fold = "[data-chapter=gap] summary:text-is('Dimensions')"
    page = reached(shown(tmp_path / "index.html"), "gap", fold)
    page.click(fold)
    for number, field in enumerate(("c0", "c1")):
        head = f"[data-chapter=gap] .tabulator-col[tabulator-field={field}] .tabulator-col-title"
        page.wait_for_selector(head)
        page.click(head)
        found = page.eval_on_selector_all(
            f"[data-chapter=gap] .tabulator-row [tabulator-field={field}]",
            "all => all.map(one => one.innerText)",
        )
        ascending = [numbers[row][number] for row in (2, 1, 0, 3)]
        order = list(dict.fromkeys(found))
        assert len(order) > 1 and order == ascending[: len(order)]


def test_a_number_is_rounded_once(shown, tmp_path):
    """0.721049 is 72.10 percent; by way of 0.72105 it would be 72.11."""
    of = cell()
    value = {"retrieval/image-image/colour/mAP": 0.721049, "retrieval/oti-image/colour/mAP": 0.721149}
    (tmp_path / "index.html").write_text(
        render([replace(of, metrics=of.metrics | value, comparisons=None)]), encoding="utf-8"
    )
    page = table(shown(tmp_path / "index.html", "#f.labelling=colour&f.method=native|oti"))
    playwright.expect(page.locator("#table-count")).to_contain_text("2 of")
    assert column(page, "value") == ["72.10", "72.11"] and column(page, "difference")[1] == "+0.01"


def test_another_cell_is_chosen_and_pairs_are_joined(shown, written):
    page = shown(written)
    page.select_option("#cell", "1")
    drawn(page)
    assert "b32 on photos" in page.inner_text("[data-chapter=gap]") and "cell=b32%2Fphotos" in page.url
    cloud = page.query_selector("svg.cloud")
    cloud.scroll_into_view_if_needed()
    box = cloud.bounding_box()
    page.mouse.move(
        box["x"] + box["width"] * 20 / 640,
        box["y"] + box["height"] - 20 * box["height"] / float(cloud.get_attribute("viewBox").split(",")[-1]),
    )
    assert page.inner_text(".said").startswith("image of i0, joined with its text")


@pytest.mark.parametrize("cells", [[], [Results("a", "b", {})]])
def test_a_page_without_results_is_whole(shown, tmp_path, cells):
    path = tmp_path / "index.html"
    path.write_text(render(cells), encoding="utf-8")
    page = shown(path)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert (
        "Nothing was evaluated" in page.inner_text("main")
        if not cells
        else "was not measured" in page.inner_text("main")
    )


def test_landmarks_names_and_labels(shown, written):
    """What a screen reader needs, by rules of axe-core that can be said in a line."""
    page = shown(written)
    drawn(page)
    found = page.evaluate(
        """() => ({
          fields: [...document.querySelectorAll('input, select, textarea')]
            .filter(one => !one.labels?.length && !one.getAttribute('aria-label')).length,
          images: [...document.querySelectorAll('img:not([alt]), svg[role=img]:not([aria-label])')].length,
          sections: [...document.querySelectorAll('section')]
            .map(one => document.getElementById(one.getAttribute('aria-labelledby'))?.textContent),
          ids: [...document.querySelectorAll('[id]')].map(one => one.id),
          scrolls: [...document.querySelectorAll('.scroll')].filter(one => one.tabIndex !== 0).length,
        })"""
    )
    assert (found["fields"], found["images"], found["scrolls"]) == (0, 0, 0), json.dumps(found)
    assert None not in found["sections"] and len(set(found["sections"])) == len(found["sections"])
    assert len(set(found["ids"])) == len(found["ids"])


def test_on_paper_all_is_open_and_long_tables_show_their_first_rows(shown, written):
    page = table(shown(written))
    shut = len(page.query_selector_all("details:not([open])"))
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_selector("#gap-table + .paper", state="attached")
    assert page.query_selector_all("details:not([open])") == [] and shut > 0
    rows = page.eval_on_selector_all("#table + .paper tbody tr", "all => all.map(one => one.textContent)")
    assert len(rows) == 18 and page.query_selector(".unit:empty") is None
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.query_selector(".paper") is None and page.query_selector("[data-shut]") is None


def test_on_paper_the_gap_of_many_cells_says_that_it_is_of_the_first(shown, tmp_path):
    (tmp_path / "index.html").write_text(render([cell(name) for name in "abcdefgh"]), encoding="utf-8")
    page = reached(shown(tmp_path / "index.html"), "gap", "#gap-table .tabulator-row")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_selector("#gap-table + .paper caption", state="attached")
    assert page.inner_text("#gap-table + .paper caption") == "Gap measures: the first 6 of 8 cells"


def test_blocks_far_from_what_is_seen_are_left_out_and_come_back_as_they_were(shown, written):
    page = reached(shown(written), "made", "[data-chapter=made] h3")
    page.evaluate("document.querySelector('[data-chapter=gap]').scrollIntoView()")
    page.wait_for_selector("[data-chapter=gap] .unit details")
    opened = page.locator("[data-chapter=gap] .unit details").first
    opened.locator("summary").first.click()
    title = opened.locator("summary").first.inner_text()
    page.wait_for_selector("[data-chapter=gap] .unit details[open] table")
    page.evaluate("document.activeElement.blur()")
    page.add_style_tag(content="#made { padding-top: 6000px }")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    playwright.expect(page.locator("[data-chapter=gap] .panels-of svg")).to_have_count(0)
    page.evaluate("document.querySelector('[data-chapter=gap]').scrollIntoView()")
    page.wait_for_selector("[data-chapter=gap] .unit details[open] table")
    assert page.locator("[data-chapter=gap] .unit details[open] summary").first.inner_text() == title


def test_steps_beyond_five_digits_are_shown_whole(shown, tmp_path):
    of = cell()
    long = replace(of, curves=of.curves.replace({"step": {100: 1_234_567}}))
    (tmp_path / "index.html").write_text(render([long]), encoding="utf-8")
    page = reached(shown(tmp_path / "index.html"), "gap", "[data-chapter=gap] .unit details")
    figure = page.locator("figure", has_text="over the steps of its inversion")
    figure.locator("summary:text-is('All numbers')").click()
    assert "1234567" in figure.locator("thead").inner_text()


def at_sphere(page):
    """All that stands above it is drawn as well, so that nothing moves it out of sight."""
    page.set_viewport_size({"width": 1280, "height": 9000})
    return reached(page, "idealised", ".spheres svg")


def test_the_sphere_moves_by_keys_and_by_play(shown, written):
    page = at_sphere(shown(written))
    words = "document.querySelector('.spheres .panel').textContent"
    path = "document.querySelector('.spheres svg path:last-of-type').getAttribute('d')"
    last, drawn = page.evaluate(words), page.evaluate(path)
    page.locator(".turner input").focus()
    page.keyboard.press("Home")
    assert "step 0" in page.evaluate(words) != last and page.evaluate(path) != drawn
    assert page.get_attribute(".turner input", "aria-valuetext") == "step 0"
    page.locator(".turner button").click()
    playwright.expect(page.locator(".turner button")).to_have_text("Pause")
    playwright.expect(page.locator(".spheres .panel").first).not_to_have_text("batches of 3, step 0")
    page.locator(".turner button").click()
    playwright.expect(page.locator(".turner button")).to_have_text("Play")
    page.locator(".turner input").press("End")
    assert (page.evaluate(words), page.evaluate(path)) == (last, drawn)


def test_where_less_motion_is_preferred_the_sphere_has_its_slider_alone(shown, written):
    page = at_sphere(shown(written, reduced_motion="reduce"))
    assert page.locator(".turner button").count() == 0
