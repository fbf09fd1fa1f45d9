"""params.yaml as DVC reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvc.utils.serialize import load_yaml

from crossgap.params import ParamsError, load
from crossgap.params.reading import duplicates, read
from crossgap.strict import unquoted

OURS = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")


def written(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def with_datasets(rows: str, *run: str) -> str:
    """Our file with rows of datasets, and names beside `world` in run.datasets."""
    text = OURS[: OURS.index("datasets:\n  world:")] + f"datasets:\n{rows}"
    return text.replace(
        "  datasets:\n  - world\n", "  datasets:\n  - world\n" + "".join(f"  - {n}\n" for n in run), 1
    )


ROW = "{layout: imagefolder, root: x, retrieval: {query: test, gallery: test}}"


def test_values_are_what_dvc_takes_them_for(tmp_path):
    """YAML 1.2: a Norwegian no is a text, ten is ten with a zero before it, and 1e3 a number."""
    path = written(tmp_path, "a: no\nb: 010\nc: 1e3\nd: 0o10\ne: 1:30\nf: on\ng: [2, ~, true]\n")
    assert read(path) == load_yaml(path) == {
        "a": "no", "b": 10, "c": 1000.0, "d": 8, "e": "1:30", "f": "on", "g": [2, None, True]
    }  # fmt: skip
    assert read(written(tmp_path, OURS)) == load_yaml(tmp_path / "params.yaml")


def test_a_section_that_stands_twice_is_refused_with_both_lines(tmp_path):
    text = OURS + "oti:\n  preset: paper\n"
    path = written(tmp_path, text)
    lines = [number for number, line in enumerate(text.splitlines(), 1) if line == "oti:"]
    with pytest.raises(ParamsError) as error:
        load(path)
    assert str(error.value).splitlines() == [
        f"{path} can't be used:",
        f"  oti: stands twice, in lines {lines[0]} and {lines[1]}; DVC reads no such file: put both into one",
    ]


def test_every_key_that_stands_twice_is_named():
    text = "a: 1\nb:\n  c: 1\n  d: [{e: 1, e: 2}]\n  c: 2\na: 3\na: 4\n"
    assert duplicates(text) == [("b.d.0.e", 4, 4), ("b.c", 3, 5), ("a", 1, 6), ("a", 1, 7)]
    assert duplicates(OURS) == duplicates("") == []


@pytest.mark.parametrize(
    ("name", "read_as"), [("1e3", "1000.0"), ("007", "7"), ("true", "True"), ("2024-01-02", "datetime")]
)
def test_names_that_are_no_texts_to_dvc_are_refused_and_can_be_quoted(tmp_path, name, read_as):
    with pytest.raises(ParamsError) as error:
        load(written(tmp_path, with_datasets(f"  {name}: {ROW}\n", name)))
    lines = str(error.value).splitlines()[1:]
    fields = [line.strip().partition(": ")[0] for line in lines]
    assert fields[0] == "run.datasets.1" and fields[1].startswith("datasets.") and len(fields) == 2
    assert all("put it in quotes, or name it otherwise" in line and read_as in line for line in lines)
    quoted = written(tmp_path, with_datasets(f'  "{name}": {ROW}\n', f'"{name}"'))
    assert load(quoted).run.datasets == ["world", name]


@pytest.mark.parametrize("name", ["a@b", "a.b", "a/b", "a b", "ä", "-a", "a$b", "${a}", "a" * 101])
def test_names_that_dvc_cant_take_are_refused_with_their_field(tmp_path, name):
    """DVC itself says of @ that the name of a stage is invalid, and not whose."""
    with pytest.raises(ParamsError) as error:
        load(written(tmp_path, with_datasets(f"  '{name}': {ROW}\n", f"'{name}'")))
    lines = [line.strip() for line in str(error.value).splitlines()[1:]]
    assert lines == [
        f"{field}: a name is made of letters, digits, - and _, 100 at most, and starts with a letter or digit "
        f"(got {name!r})"
        for field in ("run.datasets.1", f"datasets.{name}")
    ]


def test_a_name_where_a_list_is_wanted_is_named(tmp_path):
    """DVC's templating ends with «expected list/dictionary, got 'str'» before any stage runs."""
    text = OURS.replace("  datasets:\n  - world\n", "  datasets: world\n", 1)
    with pytest.raises(
        ParamsError, match=r"run.datasets: give a list, such as \[a, b\], or \[\] for none \(got 'world'\)"
    ):
        load(written(tmp_path, text))


def test_what_is_nested_too_deeply_is_one_sentence(tmp_path):
    with pytest.raises(ParamsError, match="nested too deeply"):
        read(written(tmp_path, "a: " + "[" * 5000 + "]" * 5000))


def test_typographic_quotes_round_a_template_are_no_part_of_it(tmp_path):
    for field, said in (
        ("templates: ['“a {}”']", "templates"),
        ('controls: {composed: {class: "‘a {}’"}}', "composed"),
    ):
        row = ROW.removesuffix("}") + f", {field}}}"
        with pytest.raises(ParamsError, match=f"{said}.*is in typographic quotes"):
            load(written(tmp_path, with_datasets(f"  odd: {row}\n", "odd")))


@pytest.mark.parametrize("text", ["“a {}” beside “b”", "a photo of a «{}»", "«{}» and “more”", "“{}", "‘"])
def test_typographic_quotes_of_a_part_of_a_template_stay(text):
    assert unquoted(text) == text
