"""params.yaml + catalogue + code → what each cell depends on: python -m stages.resolve

Validates params.yaml as a whole before anything else runs, and clears away outputs that no cell of this run makes.
"""

import shutil

from crossgap import resolve
from crossgap.params import load
from crossgap.params.available import require
from stages.common import DATA, RESOLVED, dataset_folder, guarded


def main() -> None:
    params = load()
    require(params)
    roots = {
        name: str(params.datasets[name].images_root(dataset_folder(name))) for name in params.run.datasets
    }
    resolve.write(resolve.resolved(params, roots), RESOLVED)
    for path in resolve.leftovers(params, DATA):
        print(f"removed {path}, which no cell of this run makes; DVC's cache has what it made")
        shutil.rmtree(path) if path.is_dir() else path.unlink()


guarded("resolve", main)
