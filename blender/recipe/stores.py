"""Image stores in a recipe: a location, or a location and another store that holds the same images."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer

from blender.recipe.fields import Location, Name, described
from blender.recipe.section import Section


class Store(Section):
    """An image store, and the store with the same images, if there is one."""

    path: Location = Field(description="A folder, .zip, .tar, .parquet or base64 .json; a path or a URL.")
    same_as: Name | None = Field(
        default=None,
        description="Another store that holds the same images under the same names, perhaps encoded anew: an image "
        "here and the image of its name there count as one.",
    )

    @model_serializer(mode="wrap")
    def _shortest(self, write: SerializerFunctionWrapHandler) -> Any:
        """Write a store without anything else as its location alone."""
        return self.path if self.same_as is None else write(self)


def _as_section(value: Any) -> Any:
    if not isinstance(value, str | dict | Store):
        raise ValueError(f"expected a path, a URL, or {{path: …, same_as: …}}, got {described(value)}")
    return {"path": value} if isinstance(value, str) else value


#: a location, or the keys of a store
StoreOrLocation = Annotated[Store, BeforeValidator(_as_section)]


def store_locations(recipe: Mapping[str, Any]) -> dict[str, str]:
    """List where the image stores of a recipe are that is given as plain data, such as a manifest's."""
    stores = recipe.get("images", {})
    return {name: store["path"] if isinstance(store, dict) else store for name, store in stores.items()}
