"""OVI against the plain recipe, side by side: the same items, steps and start; ours in bfloat16 against float32.

python tests/benchmarks/ovi.py [--model ViT-B-32] [--items 64] [--steps 2] [--rounds 2] [--patches 1] [--half 64]
"""

from __future__ import annotations

from plain import arguments, side_by_side

from crossgap.inversion.methods import Ovi


def main() -> None:
    parser = arguments(__doc__, steps=2, half=[64])
    parser.add_argument("--patches", type=int, default=1)
    given = parser.parse_args()
    side_by_side(f"OVI, {given.model}, P = {given.patches}", Ovi(given.patches), given)


if __name__ == "__main__":
    main()
