"""``visualchat serve``: a trained model over HTTP, for programs and in the browser."""

from contextlib import suppress
from typing import Annotated

import typer

from blender.cli.options import DeviceMapOption, DeviceOption, DtypeOption, QuantizeOption

_HERE = ("127.0.0.1", "localhost", "::1")


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="serve", epilog="Example: visualchat serve runs/7b/final --port 8000")(serve)


def serve(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The folder of a trained model.", show_default=False)],
    host: Annotated[str, typer.Option("--host", help="The address to listen at; 0.0.0.0 for everybody.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 for a free one.")] = 8000,
    name: Annotated[
        str | None,
        typer.Option("--name", help="What requests call the model; its folder's name by default.", show_default=False),
    ] = None,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            "--api-key",
            envvar="VISUALCHAT_API_KEY",
            show_envvar=True,
            help="What requests must bring along; safer in the environment. Repeatable: a key for each client.",
            show_default=False,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="A name that the server is known by; repeatable.", show_default=False),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin",
            metavar="URL",
            help="A web page's origin that may use the API (CORS); repeatable.",
            show_default=False,
        ),
    ] = None,
    allow_url: Annotated[
        bool, typer.Option("--allow-url", help="Let images be http and https addresses of the public internet.")
    ] = False,
    drop_oldest: Annotated[
        bool, typer.Option("--drop-oldest", help="Leave out the oldest rounds where the model has no room for all.")
    ] = False,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0, max=2, help="Of requests that name none; 0: the likeliest token.")
    ] = 0.2,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Tokens of an answer at most.")] = 1024,
    max_images: Annotated[int, typer.Option("--max-images", min=0, help="Images of a conversation at most.")] = 16,
    max_pixels: Annotated[int, typer.Option("--max-pixels", min=1, help="Pixels of an image at most.")] = 50_000_000,
    max_body: Annotated[int, typer.Option("--max-body", min=1, help="Bytes of a request at most.")] = 32_000_000,
    max_queue: Annotated[int, typer.Option("--max-queue", min=1, help="Questions that may wait.")] = 64,
    max_batch: Annotated[int, typer.Option("--max-batch", min=1, help="Questions answered together at most.")] = 8,
    keep: Annotated[
        int, typer.Option("--keep", min=0, help="Conversations kept in memory for their next question.")
    ] = 2,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds from a question to its answer.")] = 120,
    device: DeviceOption = None,
    device_map: DeviceMapOption = None,
    dtype: DtypeOption = "auto",
    quantize: QuantizeOption = None,
) -> None:
    """Serve a model until Ctrl-C: OpenAI's chat API at /v1, and a page to talk to it at /."""
    from blender.serve.folder import require_model_folder

    # the imports below take seconds
    require_model_folder(model)
    from blender.serve.http.server import bind
    from blender.serve.http.settings import RequestLimits, ServerSettings

    limits = RequestLimits(
        body=max_body,
        images=max_images,
        pixels=max_pixels,
        new_tokens=max_new_tokens,
        seconds=timeout,
        queue=max_queue,
        batch=max_batch,
        kept=keep,
    )
    settings = ServerSettings(
        limits=limits,
        api_key=tuple(api_key or ()),
        # the server answers under the name that it listens at
        hosts=(host, *(allow_host or ())),
        origins=tuple(allow_origin or ()),
        allow_url=allow_url,
        overflow="drop" if drop_oldest else "refuse",
        temperature=temperature,
    )
    with bind(host, port) as bound:
        from blender.serve.http.preparation_pool import start_fork_server

        # imports while the model is loaded
        start_fork_server()
        from blender.serve.http.app import create_app
        from blender.serve.http.server import Server, url_of
        from blender.serve.loading import open_model

        loaded = open_model(
            model,
            name=name,
            device=device,
            device_map=device_map,
            dtype=dtype,
            quantize=quantize,  # type: ignore[arg-type]
        )
        _warn(host, settings.keys)
        server = Server(create_app(loaded, settings), bound, lambda: _announce(loaded.name, url_of(bound)))
        # uvicorn raises Ctrl-C again after its shutdown
        with suppress(KeyboardInterrupt):
            server.serve_port()


def _warn(host: str, keys: tuple[str, ...]) -> None:
    from blender.cli.output import warn

    if host not in _HERE and not keys:
        warn([f"everyone who reaches {host} can ask this model: give an --api-key"])


def _announce(name: str, url: str) -> None:
    from blender.cli.output import console

    console().print(f"{name}: {url}  (API at {url}v1, Ctrl-C ends it)", markup=False, soft_wrap=True)
