"""params.yaml + catalogue + code → what each cell depends on: python -m stages.resolve

Validates params.yaml as a whole before anything else runs, and clears away outputs that no cell of this run makes: what
DVC's cache doesn't hold is moved to data/set-aside.
"""

from crossgap.errors import CrossgapError
from crossgap.params import load_text
from crossgap.params.available import require
from crossgap.params.reading import text_of
from crossgap.planning import resolve
from crossgap.planning.discarding import Cache, discard
from stages.common import DATA, RESOLVED, dataset_folder, guarded

PARAMS = "params.yaml"


def main() -> None:
    text = text_of(PARAMS)
    params = load_text(text, PARAMS)
    require(params)
    roots = {
        name: str(params.datasets[name].images_root(dataset_folder(name))) for name in params.run.datasets
    }
    resolve.write(resolve.resolved(params, roots), RESOLVED)
    cache = Cache()
    for path in resolve.leftovers(params, DATA):
        moved = discard(path, DATA, cache)
        now = (
            f"moved to {moved}, since DVC's cache doesn't hold it"
            if moved
            else "removed; DVC's cache holds it"
        )
        print(f"{path}, which no cell of this run makes: {now}")
    if text_of(PARAMS) != text:  # DVC notes files as they are when a stage ends
        raise CrossgapError(f"{PARAMS} changed while it was read: run `dvc repro` again")


guarded("resolve", main)
