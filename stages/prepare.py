"""Declaration → manifest: python stages/prepare.py DATASET"""

from common import dataset_folder, run

from crossgap import datasets, manifest
from crossgap.params import Params


def prepare(params: Params, name: str) -> None:
    folder = dataset_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    items, problems = datasets.prepare(params.datasets[name], folder, workers=params.machine.workers)
    manifest.write(items, folder)
    problems.to_csv(folder / "problems.csv", index=False)
    print(f"{name}: {len(items)} items, {len(problems)} set aside")


run(prepare)
