"""The application: what is at which address."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from blender.core.errors import BlenderError
from blender.serve.fitting import Fitter
from blender.serve.http.answering import Service
from blender.serve.http.engine import Engine
from blender.serve.http.faults import RequestError, refusal
from blender.serve.http.guard import Guard
from blender.serve.http.measures import Measures
from blender.serve.http.page import page_policy, write_page
from blender.serve.http.preparation import Preparation, Preparer, require_model
from blender.serve.http.preparing import Conversations
from blender.serve.http.settings import Settings
from blender.serve.http.system import special_tokens
from blender.serve.loading import LoadedModel

_CHAT = "/v1/chat/completions"
_PATHS = frozenset({"/", "/health", "/metrics", "/v1/models", _CHAT})
#: what is said of a client that has gone; nobody reads it
_GONE = 499


def create_app(loaded: LoadedModel, settings: Settings) -> FastAPI:
    """Make the application; its engine runs as long as it does.

    Args:
        loaded: The model.
        settings: How to behave.
    """
    measures = Measures()
    conversations = Conversations(loaded, settings.limits.kept, settings.overflow)
    engine = Engine(conversations, settings.limits.batch, measures)
    preparation = Preparation(_preparer(loaded, settings))
    service = Service(loaded.name, settings, conversations, engine, preparation)
    measures.watch("waiting", "Questions that wait for their turn.", lambda: engine.num_waiting)
    measures.watch("running", "Questions that are being answered.", lambda: engine.num_running)
    measures.watch("kept_conversations", "Conversations kept for their next question.", lambda: len(conversations))

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        engine.start()
        preparation.start()
        try:
            yield
        finally:
            engine.close()
            preparation.close()

    # the interactive documentation would fetch its scripts from elsewhere
    app = FastAPI(title="visualchat", lifespan=running, openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, settings=settings, measures=measures, paths=_PATHS)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["Retry-After"],
        )
    _add_faults(app)
    _add_page(app, loaded, settings, engine, measures)
    _add_api(app, loaded, service)
    return app


def _preparer(loaded: LoadedModel, settings: Settings) -> Preparer:
    encoder = loaded.encoder
    fitter = Fitter(encoder.text, loaded.template, loaded.max_tokens, settings.overflow)
    return Preparer(loaded.name, settings, fitter, encoder.pixels, special_tokens(loaded.tokenizer))


def _add_faults(app: FastAPI) -> None:
    async def refuse(_: Request, error: Exception) -> Response:
        told = refusal(error)
        return JSONResponse(told.body, told.status, told.headers)

    async def refuse_plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        what = f"{request.method} {request.url.path}: {HTTPStatus(error.status_code).phrase.lower()}"
        told = RequestError(what, status=error.status_code)
        return JSONResponse(told.body, told.status, {**told.headers, **(error.headers or {})})

    async def leave(_: Request, __: Exception) -> Response:
        return Response(status_code=_GONE)

    app.add_exception_handler(BlenderError, refuse)
    app.add_exception_handler(HTTPException, refuse_plain)
    app.add_exception_handler(ClientDisconnect, leave)
    app.add_exception_handler(Exception, refuse)


def _add_page(app: FastAPI, loaded: LoadedModel, settings: Settings, engine: Engine, measures: Measures) -> None:
    page = write_page(_page_setup(loaded, settings), f"{loaded.name}: visualchat")
    headers = {"Content-Security-Policy": page_policy()}

    @app.api_route("/", methods=["GET", "HEAD"])
    async def page_of_chat() -> Response:
        return Response(page, media_type="text/html", headers=headers)

    @app.api_route("/health", methods=["GET", "HEAD"])
    async def health() -> Response:
        said = {"status": "ok" if engine.is_well else "failing", "model": loaded.name}
        figures = {"waiting": engine.num_waiting, "running": engine.num_running}
        return JSONResponse({**said, **figures}, 200 if engine.is_well else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(measures.text(), media_type=CONTENT_TYPE_LATEST)


def _add_api(app: FastAPI, loaded: LoadedModel, service: Service) -> None:
    model = {"id": loaded.name, "object": "model", "created": int(time.time()), "owned_by": "visualchat"}
    if loaded.max_tokens is not None:
        model["max_model_len"] = loaded.max_tokens

    @app.get("/v1/models")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [model]})

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str) -> Response:
        require_model(name, loaded.name)
        return JSONResponse(model)

    @app.post(_CHAT)
    async def chat(request: Request) -> Response:
        return await service.answer(request)


def _page_setup(loaded: LoadedModel, settings: Settings) -> dict[str, Any]:
    limits = settings.limits
    return {
        "model": loaded.name,
        "needsKey": bool(settings.keys),
        "temperature": settings.temperature,
        "imagePositions": loaded.encoder.text.image_positions,
        "maxPositions": loaded.max_tokens,
        "limits": {
            "body": limits.body,
            "images": limits.images,
            "pixels": limits.pixels,
            "newTokens": limits.new_tokens,
        },
    }
