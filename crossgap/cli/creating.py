"""`crossgap init`: a new project, in a folder of its own."""

from __future__ import annotations

import shlex
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from crossgap.cli import programs
from crossgap.cli.declaring import EMBEDDED, declared
from crossgap.cli.errors import explained
from crossgap.errors import CrossgapError, like, making

_FIRST = "openai-b32"  # the backbone for one's own data, where none is named
_CAPTIONED = {"captions", "coco", "flickr", "karpathy"}  # layouts whose images have captions and no labels


def init(
    folder: Annotated[Path, typer.Argument(help="The new project's folder: empty, or not there yet.")],
    images: Annotated[
        Path | None,
        typer.Option(help="Your images: with --captions any folder, else CLASS/IMAGE or SPLIT/CLASS/IMAGE."),
    ] = None,
    captions: Annotated[Path | None, typer.Option(help="A CSV with the header image,caption.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="What your data are called; without --images, one that crossgap knows.")
    ] = None,
    backbone: Annotated[
        list[str] | None, typer.Option(help="A model of `crossgap backbones`; may be given again.")
    ] = None,
    remote: Annotated[
        str | None, typer.Option(help="Where a team shares results: a URL or path of DVC's.")
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Bring the stages of a project to the crossgap installed.")
    ] = False,
) -> None:
    """Make a new project: params.yaml, the stages of DVC, git and DVC set up. Nothing that exists is overwritten.

    Without options, it asks for your data on a terminal, and elsewhere takes the embedded example.

    Example: crossgap init birds --images /photos/birds --backbone openai-b32 --remote s3://team/birds
    """
    from crossgap.params import load_text

    with explained():
        template = _template()
        if update:
            given = {
                "images": images,
                "captions": captions,
                "dataset": dataset,
                "backbone": backbone,
                "remote": remote,
            }
            if others := [f"--{name}" for name, value in given.items() if value]:
                raise CrossgapError(
                    f"--update changes no settings: leave out {', '.join(others)}, and edit params.yaml"
                )
            _update(folder, template)
            return
        with making(folder):
            taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
        if taken:
            raise CrossgapError(f"{folder} is not empty: name a new folder")
        _require_git()
        if (images, captions, dataset, backbone) == (None,) * 4 and sys.stdin.isatty():
            images, captions, backbone = _asked()
        name, row = declared(images, captions, dataset)
        backbones = list(backbone or [EMBEDDED[0] if name == EMBEDDED[1] else _FIRST])
        _require_known(backbones)
        text = _params((template / "params.yaml").read_text(encoding="utf-8"), backbones, name, row)
        load_text(text, folder / "params.yaml")
        made = not folder.exists()
        try:
            _create(folder, template, text, remote)
        except BaseException:
            _clear(folder, made)
            raise
    typer.echo(
        f"{folder} is a project: {', '.join(backbones)} on {name}. To go on:\n"
        f"  cd {shlex.quote(str(folder))} && crossgap check && git commit -m 'A new project' && dvc repro"
    )


def _template() -> Path:
    """The files that a project starts with: of the wheel, or of the repository that is installed to be edited."""
    import crossgap
    from crossgap.projects.files import TEMPLATE

    package = Path(crossgap.__file__).parent
    for root in (package / TEMPLATE, package.parent):
        if (root / "dvc.yaml").is_file() and (root / "stages").is_dir():
            return root
    raise CrossgapError(f"{package} lacks its folder {TEMPLATE}: install crossgap again")


def _require_git() -> None:
    if shutil.which("git") is None:
        raise CrossgapError("there is no `git` here, which a project needs: install it, or mend PATH")


def _asked() -> tuple[Path | None, Path | None, list[str] | None]:
    """Images, captions and a backbone, as typed on the terminal."""
    images = typer.prompt(
        "Folder of your images (nothing: the embedded example)", default="", show_default=False
    )
    if not images:
        return None, None, None
    captions = typer.prompt("CSV of captions, with the header image,caption (nothing: folders are classes)", default="",
                            show_default=False)  # fmt: skip
    backbone = typer.prompt("Backbone, of those that `crossgap backbones` lists", default=_FIRST)
    return Path(images), Path(captions) if captions else None, [backbone]


def _require_known(backbones: list[str]) -> None:
    from crossgap.catalogue import entries

    known = entries.rows("backbones")
    if strangers := [name for name in backbones if name not in known]:
        raise CrossgapError(
            f"--backbone: {strangers[0]!r} is none that crossgap knows{like(strangers[0], known)}: give one of those "
            "that `crossgap backbones` lists; a model of your own goes into params.yaml of the project"
        )


def _params(text: str, backbones: list[str], dataset: str, row: dict[str, Any] | None) -> str:
    """The repository's params.yaml, whose comments stay, for these backbones on this dataset."""
    from crossgap.params.editing import edited
    from crossgap.params.reading import parsed
    from crossgap.presets.preset import NO_INVERSIONS, cells, untrained

    params = parsed(text, "params.yaml")
    chosen = cells(backbones, (dataset,))
    measured = _inversions(backbones, dataset, row)
    run = {**chosen, **NO_INVERSIONS, **measured, "imports": []}
    if row is not None:
        datasets = {dataset: row}
    else:
        datasets = {name: held for name, held in params["datasets"].items() if name == dataset}
    own = {name: held for name, held in params["backbones"].items() if name in backbones}
    changed = untrained(params) | {"run": run, "datasets": datasets, "backbones": own}
    return edited(text, changed)


def _inversions(backbones: list[str], dataset: str, row: dict[str, Any] | None) -> dict[str, Any]:
    """The sections of `run` for the inversions that something is measured with.

    An image-only backbone has none, texts have OVI alone, and so have images without labels: by their captions they
    are found with native features.
    """
    from crossgap.backbones import towers
    from crossgap.catalogue import entries
    from crossgap.datasets import LAYOUTS, Texts
    from crossgap.presets.preset import cells

    layout = (row or entries.rows("datasets")[dataset])["layout"]
    known = entries.rows("backbones")
    invertible = [
        name
        for name in backbones
        if name not in known or not towers.image_only(known[name]["weights"]["model"])
    ]
    methods = ("ovi",) if layout in _CAPTIONED or issubclass(LAYOUTS[layout], Texts) else ("oti", "ovi")
    return dict.fromkeys(methods, cells(invertible, (dataset,))) if invertible else {}


def _create(folder: Path, template: Path, params: str, remote: str | None) -> None:
    from crossgap.projects.files import starting

    with making(folder):
        folder.mkdir(parents=True, exist_ok=True)
    within = _run(folder, "git", "rev-parse", "--is-inside-work-tree", may_fail=True)
    if not within:
        _run(folder, "git", "init", "-q")
    dvc = (sys.executable, "-m", "dvc")
    _run(folder, *dvc, "init", *(["--subdir"] if within else []))
    for path in starting(template):
        _copy(template, folder, path)
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    (folder / "dvc.lock").write_text(_frozen(template), encoding="utf-8")
    _pin(folder)
    if remote is not None:
        _run(folder, *dvc, "remote", "add", "-d", "team", remote)
    _run(folder, "git", "add", ".")


def _clear(folder: Path, made: bool) -> None:
    """Take away what was begun; the folder too if it was made."""
    from crossgap import links

    for entry in folder.iterdir() if folder.is_dir() else ():
        links.remove(entry)
    if made and folder.is_dir():
        folder.rmdir()


def _copy(template: Path, folder: Path, path: Path) -> None:
    from crossgap.stores import temporary

    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary.write(target, _content(template, path))


def _content(template: Path, path: Path) -> bytes:
    """A file of the template; dvc.yaml depends on the pin, in the place of the package's folder."""
    from crossgap.projects.pinned import PIN

    content = (template / path).read_bytes()
    if path == Path("dvc.yaml"):
        return content.replace(b"      - crossgap\n", f"      - {PIN}\n".encode())
    return content


def _frozen(template: Path) -> str:
    """The lock of the stage that trains the embedded backbone, whose weights the project starts with."""
    import yaml

    lock = yaml.safe_load((template / "dvc.lock").read_text(encoding="utf-8"))
    held = {"schema": lock["schema"], "stages": {EMBEDDED[0]: lock["stages"][EMBEDDED[0]]}}
    return yaml.safe_dump(held, sort_keys=False)


def _pin(folder: Path) -> None:
    from crossgap.projects.pinned import PIN, pin

    (folder / PIN).write_text(pin(), encoding="utf-8")


def _update(folder: Path, template: Path) -> None:
    """Everything but a project's own files, as the installed crossgap has it; git holds what was there. What new stages
    make is ignored.
    """
    from crossgap.cli.overwriting import require_in_git
    from crossgap.projects.files import OWN, starting
    from crossgap.projects.pinned import PIN

    if not (folder / PIN).is_file():
        raise CrossgapError(f"{folder} is no project made by `crossgap init`: it has no {PIN}")
    paths = [path for path in starting(template) if path.as_posix() not in OWN]
    paths = [path for path in paths if not _is_there(template, folder, path)]
    for path in paths:
        require_in_git(folder / path, "remove it, and it is written again")
    for path in paths:
        _copy(template, folder, path)
    _ignore(folder / ".gitignore", template / ".gitignore")
    _pin(folder)
    typer.echo(f"{folder} runs by crossgap {version('crossgap')} now: see `git diff`, then `dvc repro`")


def _is_there(template: Path, folder: Path, path: Path) -> bool:
    """Whether a file is as the template has it, as those are that an update wrote before it was stopped."""
    there = folder / path
    return there.is_file() and there.read_bytes() == _content(template, path)


def _ignore(path: Path, shipped: Path) -> None:
    """Put below a project's patterns those that it lacks."""
    own, every = (
        file.read_text(encoding="utf-8").splitlines() if file.is_file() else [] for file in (path, shipped)
    )
    if lacking := [line for line in every if line not in own and not line.startswith("#")]:
        path.write_text("".join(f"{line}\n" for line in (*own, *lacking)), encoding="utf-8")


def _run(folder: Path, *words: str, may_fail: bool = False) -> bool:
    """Run a program; whether it succeeded.

    Raises:
        CrossgapError: it failed.
    """
    done = programs.done(words, folder)
    if done.returncode and not may_fail:
        raise CrossgapError(
            f"{folder}: `{' '.join(words)}` failed: {programs.why(done)}: mend that and try again"
        )
    return done.returncode == 0
