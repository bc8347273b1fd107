"""The ASGI application: routes and error handlers."""

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
from blender.serve.http.engine import Engine
from blender.serve.http.guard import Guard
from blender.serve.http.metrics import ServerMetrics
from blender.serve.http.page import page_policy, write_page
from blender.serve.http.preparation import Preparer, require_model
from blender.serve.http.preparation_pool import PreparationPool
from blender.serve.http.request_errors import RequestError, to_request_error
from blender.serve.http.service import Service
from blender.serve.http.settings import ServerSettings
from blender.serve.loading import LoadedModel
from blender.serve.prefix_cache import PrefixCaches
from blender.serve.prompt_encoder import PromptEncoder

_CHAT = "/v1/chat/completions"
_PATHS = frozenset({"/", "/health", "/metrics", "/v1/models", _CHAT})
#: status of a request whose client has disconnected; only the metrics show it
_CLIENT_GONE = 499


def create_app(loaded: LoadedModel, settings: ServerSettings) -> FastAPI:
    """Make the application; its lifespan starts and stops the engine.

    Args:
        loaded: The model.
        settings: Whom to answer, and how.
    """
    metrics = ServerMetrics()
    caches = PrefixCaches(settings.limits.kept)
    engine = Engine(loaded, caches, settings.limits.batch, metrics)
    preparation = PreparationPool(make_preparer(loaded, settings))
    service = Service(loaded.name, settings, engine, preparation)
    metrics.watch("waiting", "Questions that wait for their turn.", lambda: engine.num_waiting)
    metrics.watch("running", "Questions that are being answered.", lambda: engine.num_running)
    metrics.watch("kept_conversations", "Conversations kept for their next question.", lambda: len(caches))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        engine.start()
        preparation.start()
        try:
            yield
        finally:
            engine.close()
            preparation.close()

    # the interactive documentation would load scripts from other servers
    app = FastAPI(title="visualchat", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, settings=settings, metrics=metrics, paths=_PATHS)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["Retry-After"],
        )
    _add_error_handlers(app)
    _add_page(app, loaded, settings, engine, metrics)
    _add_api(app, loaded, service)
    return app


def make_preparer(loaded: LoadedModel, settings: ServerSettings) -> Preparer:
    """Return what the preparing processes need of a model."""
    prompts = PromptEncoder(loaded.encoder.text, loaded.template, loaded.max_tokens, settings.overflow)
    return Preparer(loaded.name, settings, prompts, loaded.encoder.pixels)


def _add_error_handlers(app: FastAPI) -> None:
    async def refuse(_: Request, error: Exception) -> Response:
        refused = to_request_error(error)
        return JSONResponse(refused.body, refused.status, refused.headers)

    async def refuse_plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        message = f"{request.method} {request.url.path}: {HTTPStatus(error.status_code).phrase.lower()}"
        refused = RequestError(message, status=error.status_code)
        return JSONResponse(refused.body, refused.status, {**refused.headers, **(error.headers or {})})

    async def leave(_: Request, __: Exception) -> Response:
        return Response(status_code=_CLIENT_GONE)

    app.add_exception_handler(BlenderError, refuse)
    app.add_exception_handler(HTTPException, refuse_plain)
    app.add_exception_handler(ClientDisconnect, leave)
    app.add_exception_handler(Exception, refuse)


def _add_page(
    app: FastAPI, loaded: LoadedModel, settings: ServerSettings, engine: Engine, metrics: ServerMetrics
) -> None:
    page = write_page(_page_setup(loaded, settings), f"{loaded.name}: visualchat")
    headers = {"Content-Security-Policy": page_policy()}

    @app.api_route("/", methods=["GET", "HEAD"])
    async def chat_page() -> Response:
        return Response(page, media_type="text/html", headers=headers)

    @app.api_route("/health", methods=["GET", "HEAD"])
    async def health() -> Response:
        status = {"status": "ok" if engine.is_healthy else "failing", "model": loaded.name}
        counts = {"waiting": engine.num_waiting, "running": engine.num_running}
        return JSONResponse({**status, **counts}, 200 if engine.is_healthy else 503)

    @app.get("/metrics")
    async def prometheus() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_api(app: FastAPI, loaded: LoadedModel, service: Service) -> None:
    model = {"id": loaded.name, "object": "model", "created": int(time.time()), "owned_by": "visualchat"}
    if loaded.max_tokens is not None:
        model["max_model_len"] = loaded.max_tokens

    @app.get("/v1/models")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [model]})

    @app.get("/v1/models/{name:path}")
    async def model_named(name: str) -> Response:
        require_model(name, loaded.name)
        return JSONResponse(model)

    @app.post(_CHAT)
    async def chat(request: Request) -> Response:
        return await service.answer(request)


def _page_setup(loaded: LoadedModel, settings: ServerSettings) -> dict[str, Any]:
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
