"""Options that several commands take, each said once."""

from pathlib import Path
from typing import Annotated

import typer

RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.", show_default=False)
]
FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a blend.", show_default=False)]
BlendArgument = Annotated[
    str, typer.Argument(metavar="DIR|URL", help="The folder or URL of a blend.", show_default=False)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a variable or any key of the recipe, such as data=/mnt/data or limits.images=4; repeatable.",
        show_default=False,
    ),
]
WithoutOption = Annotated[
    str | None,
    typer.Option(
        "--without",
        metavar="FILE",
        help="Leave out the images listed in FILE: the output of verify --json, or a store/name on each line.",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Number of processes; all cores by default.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON to standard output and nothing else.")]
TokenizerOption = Annotated[
    str | None,
    typer.Option(
        "--tokenizer",
        metavar="NAME|DIR",
        help="Language model or tokenizer: count exact tokens. With --vision or --image-tokens.",
        show_default=False,
    ),
]
VisionOption = Annotated[
    str | None,
    typer.Option(
        "--vision",
        metavar="NAME|DIR",
        help="Vision tower: says how many positions an image takes.",
        show_default=False,
    ),
]
ImageTokensOption = Annotated[
    int | None,
    typer.Option(
        "--image-tokens",
        min=1,
        help="Positions of an image; one per patch of the tower by default.",
        show_default=False,
    ),
]
MaxTokensOption = Annotated[
    int, typer.Option("--max-tokens", min=1, help="Positions that a sample may take; what is beyond is cut off.")
]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        "--template",
        metavar="NAME",
        help="Render anew with this template, or `chat`; as written by default.",
        show_default=False,
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device", help="Where the model runs, such as cuda:1; the first GPU, or else the CPU.", show_default=False
    ),
]
DeviceMapOption = Annotated[
    str | None,
    typer.Option(
        "--device-map",
        metavar="auto",
        help="Lay the layers over all GPUs and, where these are too small, main memory.",
        show_default=False,
    ),
]
DtypeOption = Annotated[
    str, typer.Option("--dtype", help="Width of the weights: auto (as stored), float32, bfloat16 or float16.")
]
QuantizeOption = Annotated[
    str | None,
    typer.Option(
        "--quantize", metavar="8bit|4bit", help="Keep the language model's weights in fewer bits.", show_default=False
    ),
]
