"""The HTTP API: routes, error responses and request limits.

No request opens a file: the pages are created with the application.
"""

import asyncio
import html
import ipaddress
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from experiments.serving import schema
from experiments.serving.engine import BusyError
from experiments.serving.pages import ADDRESS, documentation, translator
from experiments.serving.service import ComputationError, InvalidRequestError, Service

_BODY_TIMEOUT = 20.0  # seconds for a request's body to arrive
_BUSY = "too many texts are waiting; try again in a second"
_RESPONSE_HEADERS = {
    # The page runs only its own script and style, sends requests only to this server, and works in no frame.
    "content-security-policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    413: {"model": schema.ErrorResponse, "description": f"More than {schema.MAX_BODY_BYTES} bytes."},
    422: {"model": schema.ErrorResponse, "description": "An invalid request; `error` names the field and the reason."},
    500: {"model": schema.ErrorResponse, "description": "The computation failed."},
    503: {"model": schema.ErrorResponse, "description": "The queue is full; try again in a second."},
}
_STREAM_DESCRIPTION = """Translates a text and streams the progress, one JSON object a line.
`{"part": 0, "text": "A dog"}` is the best hypothesis so far of a part, `{"part": 0, "done": {...}}` is its result.
The last line is `{"end": {...}}` with the response of `/translate`, or `{"error": "..."}`."""
_STREAM_RESPONSE = {200: {"content": {"application/x-ndjson": {}}, "description": "Lines of JSON."}}


def create_app(
    service: Service, allowed_hosts: Sequence[str] = (), max_requests: int = 1024, origins: Sequence[str] = ()
) -> "RequestGuard":
    """Returns the complete application, for any ASGI server.

    Args:
      service: Answers the requests.
      allowed_hosts: Names that a request may give as its host, besides localhost and IP addresses; "*": all.
      max_requests: Concurrent requests; more get status 503.
      origins: Sites whose pages may read the responses (CORS), such as "https://example.org"; "*": all.
    """
    app = FastAPI(
        title=f"Translator {service.direction}",
        version="1",
        description=f"Translates with the run {service.name}.",
        docs_url=None,  # FastAPI's pages load scripts from elsewhere
        redoc_url=None,
    )

    @app.get("/health")
    async def health() -> schema.HealthResponse:
        """Returns the server's state and limits."""
        return service.health()

    @app.post("/translate", responses=_ERROR_RESPONSES)
    async def translate(body: schema.TranslationRequest, request: Request) -> schema.TranslationResponse:
        """Translates a text; `n_best` also returns the next best translations."""
        return await _unless_disconnected(request, service.translate(body, _client(request)))

    @app.post(
        "/translate/stream",
        description=_STREAM_DESCRIPTION,
        responses=_ERROR_RESPONSES | _STREAM_RESPONSE,
        response_class=StreamingResponse,
    )
    async def stream(body: schema.TranslationRequest, request: Request) -> StreamingResponse:
        events = service.stream(body, _client(request))
        first = await anext(events)  # before the status is sent: an invalid request gets status 422
        return StreamingResponse(_lines(first, events), media_type="application/x-ndjson")

    @app.post("/attention", responses=_ERROR_RESPONSES)
    async def attention(body: schema.AttentionRequest, request: Request) -> schema.AttentionResponse:
        """Returns attention weights, token probabilities and alternatives for a sentence and its translation."""
        return await _unless_disconnected(request, service.attention(body, _client(request)))

    @app.post("/explain", responses=_ERROR_RESPONSES)
    async def explain(body: schema.ExplanationRequest, request: Request) -> schema.ExplanationResponse:
        """Explains a target token: attribution by several methods, logit lens, and effects of heads and other parts."""
        return await _unless_disconnected(request, service.explain(body, _client(request)))

    _add_error_handlers(app)
    page = translator(service.direction, service.name, service.decode, service.examples, service.explains)
    for path, text in (("/", page), ("/docs", documentation(app.openapi()))):
        app.add_api_route(path, _page(text), include_in_schema=False)
    shared = CORSMiddleware(app, origins, allow_methods=["GET", "POST"], allow_headers=["content-type"])
    return RequestGuard(shared if origins else app, allowed_hosts, max_requests)


def _page(text: str) -> Callable[[Request], Awaitable[HTMLResponse]]:
    async def page(request: Request) -> HTMLResponse:
        address = html.escape(str(request.base_url).rstrip("/"))
        return HTMLResponse(text.replace(ADDRESS, address))

    return page


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


async def _unless_disconnected(request: Request, work: Awaitable[Any]) -> Any:
    """Returns the result of `work`, or cancels it when the client disconnects."""
    task, disconnected = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((task, disconnected), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HTTPException(499, "the client has disconnected")
        return task.result()
    finally:
        task.cancel()
        disconnected.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _lines(first: Any, events: AsyncGenerator[Any]) -> AsyncIterator[bytes]:
    try:
        yield _line(first)
        async for event in events:
            yield _line(event)
    except (ComputationError, BusyError) as error:
        yield json.dumps({"error": str(error) or _BUSY}).encode() + b"\n"
    finally:
        await events.aclose()


def _line(event: Any) -> bytes:
    if isinstance(event, schema.TranslationResponse):
        content: dict[str, Any] = {"end": event.model_dump()}
    else:
        part, progress = event
        state = {"text": progress} if isinstance(progress, str) else {"done": progress.model_dump()}
        content = {"part": part} | state
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"


def _add_error_handlers(app: FastAPI) -> None:
    """Makes every error response {"error": one line}."""

    def respond(status: int, text: object, headers: dict[str, str] | None = None) -> Response:
        return JSONResponse({"error": " ".join(str(text).split())}, status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        def describe(problem: Any) -> str:
            field = ".".join(str(part) for part in problem["loc"][1:] if not isinstance(part, int)) or "body"
            return f"{field}: {problem['msg']}"

        return respond(422, "; ".join(map(describe, error.errors()[:3])).encode("utf-8", "replace").decode())

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> Response:
        return respond(error.status_code, error.detail, dict(error.headers or {}))

    @app.exception_handler(InvalidRequestError)
    async def invalid_value(_: Request, error: InvalidRequestError) -> Response:
        return respond(422, error)

    @app.exception_handler(ComputationError)
    async def failed(_: Request, error: ComputationError) -> Response:
        return respond(500, error)

    @app.exception_handler(BusyError)
    async def busy(_: Request, error: BusyError) -> Response:
        return respond(503, _BUSY, {"retry-after": "1"})


class RequestGuard:
    """ASGI middleware: limits requests and their bodies, refuses foreign hosts, adds headers, and answers HEAD.

    A page of another site can send requests to this server in two ways. A name of that site may resolve to this
    server's address (DNS rebinding): the host must be an address or an allowed name. A form or a script may post
    without asking first, but not with the content type of JSON: a body must have it.
    """

    def __init__(self, app: Any, allowed_hosts: Sequence[str], max_requests: int) -> None:
        self.app, self._allowed_hosts, self._free = app, {"localhost", *allowed_hosts}, max_requests

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handles one connection, as ASGI specifies."""
        if scope["type"] != "http":
            return
        size, complete, started = 0, False, False
        if is_head := scope["method"] == "HEAD":  # the headers of the response to GET
            scope = {**scope, "method": "GET"}
        deadline = asyncio.get_running_loop().time() + _BODY_TIMEOUT

        async def receive_limited() -> Any:
            nonlocal size, complete
            if complete:  # the body is read: the next message is a disconnect
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"the body did not arrive within {_BODY_TIMEOUT:.0f} seconds") from None
            size += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if size > schema.MAX_BODY_BYTES:
                raise HTTPException(413, f"the body has more than {schema.MAX_BODY_BYTES} bytes")
            return message

        async def send_with_headers(message: Any) -> None:
            nonlocal started
            started = True
            if is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            if message["type"] == "http.response.start":
                headers = [(name.encode(), value.encode()) for name, value in _RESPONSE_HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *headers]}
            await send(message)

        if refusal := self._refusal(scope):
            await JSONResponse({"error": refusal[1]}, refusal[0])(scope, receive, send_with_headers)
            return
        self._free -= 1
        try:
            await self.app(scope, receive_limited, send_with_headers)
        except asyncio.CancelledError:  # shutdown, and this request exceeds the grace period
            if not started:
                await JSONResponse({"error": "the server is shutting down"}, 503)(scope, receive, send_with_headers)
        finally:
            self._free += 1

    def _refusal(self, scope: Any) -> tuple[int, str] | None:
        """Returns status and reason if the request is refused before its body is read."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = _host_name(headers.get("host", ""))
        if not self._allows(host):
            return 421, f"host: {host!r} is not a name of this server; --allowed_host={host} makes it one"
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and content_type != "application/json":
            return 415, f"content-type: {content_type!r} is not application/json"
        return (503, _BUSY) if self._free <= 0 else None

    def _allows(self, host: str) -> bool:
        if not host or "*" in self._allowed_hosts or host.lower().rstrip(".") in self._allowed_hosts:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True


def _host_name(host: str) -> str:
    """Returns the name in a Host header, without a port and without the brackets of an IPv6 address."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host
