"""The two inversions: where pseudo-tokens enter which tower."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from crossgap.backbones.backbone import Backbone
from crossgap.backbones.injection import PseudoPatches, PseudoText


@dataclass(frozen=True)
class Oti:
    """Optimisation-based Textual Inversion (Cross the Gap, section 4.1): image features → text features.

    Attributes:
        tokens: R, pseudo-tokens put in place of `{}` in the template.
    """

    name: ClassVar[str] = "oti"
    template: str = "a photo of {}"
    tokens: int = 1

    def inject(self, backbone: Backbone) -> PseudoText:
        """Raises BackboneError where the text tower or the template doesn't allow it."""
        return PseudoText(backbone, self.template, self.tokens)

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}


@dataclass(frozen=True)
class Ovi:
    """Optimisation-based Visual Inversion (Cross the Gap, section 4.2): text features → image features.

    Attributes:
        patches: P, pseudo-patches spread over the patch grid.
    """

    name: ClassVar[str] = "ovi"
    patches: int = 1

    def inject(self, backbone: Backbone) -> PseudoPatches:
        """Raises BackboneError where the vision tower or its grid doesn't allow it."""
        return PseudoPatches(backbone, self.patches)

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}


Method = Oti | Ovi
_METHODS: dict[str, type[Method]] = {method.name: method for method in (Oti, Ovi)}


def method_of(said: Mapping[str, Any]) -> Method:
    """The method that an `as_dict` is of.

    Raises:
        KeyError, TypeError: it is of none.
    """
    fields = dict(said)
    return _METHODS[fields.pop("name")](**fields)
