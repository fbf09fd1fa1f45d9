"""Declaration → manifest: python stages/prepare.py DATASET"""

from common import dataset_folder, run

from crossgap import judgements, manifest, transformations
from crossgap.datasets.preparing import prepare
from crossgap.params import Params


def main(params: Params, name: str) -> None:
    folder = dataset_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    made = prepare(params.datasets[name], folder, workers=params.machine.workers)
    manifest.write(made.items, folder)
    made.problems.to_csv(folder / "problems.csv", index=False)
    (folder / judgements.FILE).unlink(missing_ok=True)
    if made.judgements is not None:
        judgements.write(made.judgements, folder)
    transformations.remove(folder)
    if made.transformations is not None:
        transformations.write(made.transformations, folder)
    print(f"{name}: {len(made.items)} items, {len(made.problems)} set aside")


run(main)
