"""Declaration → manifest: python stages/prepare.py DATASET"""

from common import dataset_folder, run

from crossgap import manifest
from crossgap.datasets.preparing import prepare
from crossgap.params import Params


def main(params: Params, name: str) -> None:
    folder = dataset_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    items, problems = prepare(params.datasets[name], folder, workers=params.machine.workers)
    manifest.write(items, folder)
    problems.to_csv(folder / "problems.csv", index=False)
    print(f"{name}: {len(items)} items, {len(problems)} set aside")


run(main)
