#!/usr/bin/env bash
# umap-learn: images and texts are drawn equally far apart, however far apart they are.
#
# A competent person would guess: in a picture of two clouds of features, one of images
# and one of texts, the clouds lie further apart where the features do. The distance is
# not to scale, but a gap ten times as wide shows.
#
# Versions: umap-learn 0.5.12, pynndescent 0.7.0, numba 0.68.1, scikit-learn 1.9.1,
# numpy 2.4.6, Python 3.11.
#
# What happens instead: UMAP looks at each row's nearest neighbours alone. As soon as
# the neighbours of images are images and those of texts are texts, the gap has no part
# in the computation: the two halves of the graph are set down at places that don't
# depend on the features, and all pictures are equal, to the last bit. Nothing is said
# of the graph being in two pieces.
#
# Seen, of 150 pairs, within a modality 5.6 apart on average:
#   gap   0:  53% of neighbours of the other modality, drawn 0.0 apart
#   gap   4:   5% of neighbours of the other modality, drawn 5.0 apart
#   gap   8:   0% of neighbours of the other modality, drawn 22.0 apart
#   gap  80:   0% of neighbours of the other modality, drawn 22.0 apart
#   gap 800:   0% of neighbours of the other modality, drawn 22.0 apart
#   equal to the last bit: the pictures of gaps 8, 80, 800
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check umap-learn==0.5.12 pynndescent==0.7.0 numba==0.68.1 \
    scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6

cat > gaps.py <<'PY'
import sys
import warnings

import numpy as np
import umap
from sklearn.neighbors import NearestNeighbors

warnings.simplefilter("error")
warnings.filterwarnings("ignore", "n_jobs value")  # that one seed means one thread
pairs, neighbours = 150, 15
random = np.random.default_rng(0)
images = random.standard_normal((pairs, 16))
texts = images + 0.3 * random.standard_normal((pairs, 16))
side = np.repeat([0.5, -0.5], pairs)  # one more coordinate, across the gap
pictures, seen = {}, []
for gap in (0, 4, 8, 80, 800):
    features = np.column_stack([np.concatenate([images, texts]), gap * side]).astype("float32")
    nearest = NearestNeighbors(n_neighbors=neighbours).fit(features).kneighbors(return_distance=False)
    strangers = ((nearest < pairs) != (side > 0)[:, None]).mean()
    picture = umap.UMAP(n_neighbors=neighbours, random_state=0, n_jobs=1).fit_transform(features)
    drawn = np.linalg.norm(picture[:pairs].mean(axis=0) - picture[pairs:].mean(axis=0))
    pictures[gap] = picture
    print(f"gap {gap:>3}: {strangers:4.0%} of neighbours of the other modality, drawn {drawn:.1f} apart")
    seen.append(strangers > 0)
equal = [gap for gap in pictures if np.array_equal(pictures[gap], pictures[800])]
print(f"equal to the last bit: the pictures of gaps {', '.join(map(str, equal))}")
if seen != [True, True, False, False, False] or equal != [8, 80, 800]:
    sys.exit("the behaviour changed")
PY
venv/bin/python gaps.py
