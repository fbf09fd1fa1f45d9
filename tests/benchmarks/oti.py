"""OTI against the plain recipe, side by side: the same items, steps and start; full context, batch of 64. Then
ours in bfloat16 against ours in float32.

python tests/benchmarks/oti.py [--model ViT-B-32] [--items 64] [--steps 5] [--rounds 2] [--half 256 1024]
"""

from __future__ import annotations

from plain import arguments, side_by_side

from crossgap.inversion.methods import Oti


def main() -> None:
    given = arguments(__doc__, steps=5, half=[256, 1024]).parse_args()
    side_by_side(f"OTI, {given.model}", Oti(), given)


if __name__ == "__main__":
    main()
