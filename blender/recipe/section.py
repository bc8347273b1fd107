"""Base classes of all recipes: strict, frozen sections, and a root that knows the file it was loaded from."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from blender.core.errors import Fault
from blender.recipe.document import Document, Plain, Problem
from blender.recipe.fields import Name, Variable, VariableName


class Section(BaseModel):
    """A mapping with known keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class BaseRecipe(Section):
    """The keys that recipes of all kinds have."""

    name: Name = Field(description="Name of the recipe: letters, digits, - _ .")
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(default=0, description="Seed of everything that is drawn.")
    variables: Mapping[VariableName, Variable] = Field(
        default_factory=dict,
        description="Values that are written as ${name} elsewhere; --set name=value replaces one. $${ is a literal ${.",
    )

    _document: Document = PrivateAttr(default_factory=lambda: Document(None, {}))
    _origin: str = PrivateAttr(default="recipe")

    @property
    def origin(self) -> str:
        """The file or name that the recipe was loaded from, for messages."""
        return self._origin

    def loaded_from(self, document: Document, origin: str) -> None:
        """Remember the document that the recipe was loaded from; called by the loader."""
        self._document, self._origin = document, origin

    def resolved(self) -> dict[str, Any]:
        """Give the recipe as plain data: variables written out, defaults filled in, sizes in bytes, nothing empty."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"variables"})

    def faults(self, problems: Iterable[Problem]) -> list[Fault]:
        """Turn problems into faults, in the order of their lines."""
        return sorted(map(self._document.fault, problems), key=lambda fault: fault.line or 0)


R = TypeVar("R", bound=BaseRecipe)


@dataclass(frozen=True)
class RecipeKind(Generic[R]):
    """A kind of recipe (blend, train): its model and its rules."""

    #: a word for messages, such as ``blend``
    name: str
    model: type[R]
    #: finds what is wrong between the keys of plain data whose values may be of any type
    broken_rules: Callable[[Plain], Iterator[Problem]]
