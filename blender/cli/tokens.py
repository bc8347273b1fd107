"""What ``--tokenizer`` and the options beside it load."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from blender.data.sample import Sample
    from blender.inspect.lint import TokenCounter
    from blender.inspect.views import TokensView


@dataclass(frozen=True)
class TokenOptions:
    """The options as they were given."""

    tokenizer: str | None
    vision: str | None
    image_tokens: int | None
    max_tokens: int
    template: str | None

    def __post_init__(self) -> None:
        """Check that they go together.

        Raises:
            BadParameter: An option is there without one that it needs.
        """
        others = {
            "--vision": self.vision,
            "--image-tokens": self.image_tokens,
            "--template": self.template,
        }
        lost = [name for name, value in others.items() if value is not None]
        if self.tokenizer is None and lost:
            raise typer.BadParameter(f"{lost[0]} needs --tokenizer")
        if self.tokenizer is not None and self.vision is None and self.image_tokens is None:
            raise typer.BadParameter("--tokenizer needs --vision or --image-tokens, to know what an image takes")

    def view(self) -> "Callable[[Sample], TokensView] | None":
        """Load what shows a sample's tokens; None when no tokenizer is named.

        Raises:
            StreamError: Something cannot be loaded.
        """
        if self.tokenizer is None:
            return None
        from functools import partial

        from blender.inspect.tokens import tokens_view
        from blender.stream.models import load_text_encoder

        encoder, loaded = load_text_encoder(
            self.tokenizer, self.image_tokens, vision=self.vision, template=self.template
        )
        return partial(tokens_view, encoder=encoder, tokenizer=loaded.backend_tokenizer, max_tokens=self.max_tokens)

    def counter(self) -> "TokenCounter | None":
        """Load what counts tokens; None when no tokenizer is named.

        Raises:
            StreamError: Something cannot be loaded.
        """
        if self.tokenizer is None:
            return None
        from blender.inspect.lint import TokenCounter
        from blender.stream.models import load_text_encoder

        encoder, _ = load_text_encoder(self.tokenizer, self.image_tokens, vision=self.vision, template=self.template)
        return TokenCounter(encoder, self.max_tokens)
