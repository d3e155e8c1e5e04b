"""The HTTP API: what a request reaches, how a mistake in one is told, and what no request gets through.

Nothing here opens a file: pages are made when the application is.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from experiments.serving import schema
from experiments.serving.engine import BusyError
from experiments.serving.pages import documentation, translator
from experiments.serving.service import Lost, Refused, Service

_BODY_TIME = 20.0  # seconds for a request's body to arrive
_HEADERS = {
    # The page's own script and style, and requests to where it comes from; no other page may hold it in a frame.
    "content-security-policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    413: {"model": schema.Problem, "description": f"More than {schema.BODY} bytes."},
    422: {"model": schema.Problem, "description": "A request that makes no sense; `error` says which part and why."},
    500: {"model": schema.Problem, "description": "Computing failed."},
    503: {"model": schema.Problem, "description": "The queue is full; try again in a second."},
}
_STREAM = """Translates a text, and shows it while it is made. One JSON object a line, as it happens:
`{"part": 0, "text": "A dog"}` is what leads the search of a part now, `{"part": 0, "done": {...}}` its result,
and the last line `{"end": {...}}` what `/translate` answers, or `{"error": "..."}`."""
_STREAMED = {200: {"content": {"application/x-ndjson": {}}, "description": "Lines of JSON."}}


def application(service: Service) -> "Guard":
    """The whole application, for any ASGI server."""
    app = FastAPI(
        title=f"Translator {service.direction}",
        version="1",
        description=f"Translates with the run {service.name}.",
        docs_url=None,  # FastAPI's pages load scripts from elsewhere
        redoc_url=None,
    )

    @app.get("/health")
    async def health() -> schema.Health:
        """Whether the server works."""
        return service.health()

    @app.post("/translate", responses=_PROBLEMS)
    async def translate(asked: schema.Asked, request: Request) -> schema.Translated:
        """Translates a text; with n_best also the next best translations."""
        return await _while_there(request, service.translate(asked))

    streamed = {200: {"content": {"application/x-ndjson": {}}, "description": "Lines of JSON."}}

    @app.post(
        "/translate/stream", description=_STREAM, responses=_PROBLEMS | streamed, response_class=StreamingResponse
    )
    async def stream(asked: schema.Asked) -> StreamingResponse:
        events = service.events(asked)
        first = await anext(events)  # what is refused gets its status
        return StreamingResponse(_lines(first, events), media_type="application/x-ndjson")

    @app.post("/attention", responses=_PROBLEMS)
    async def attention(pair: schema.Pair, request: Request) -> schema.Looks:
        """Where the model looks while it translates a sentence, and what else was likely."""
        return await _while_there(request, service.look(pair))

    _tell_mistakes(app)
    pages = {"/": translator(service.direction, service.name, service.beam_size), "/docs": documentation(app.openapi())}
    for path, page in pages.items():
        app.add_api_route(path, _page(page), include_in_schema=False)
    return Guard(app)


def _page(text: str) -> Callable[[], Awaitable[HTMLResponse]]:
    async def page() -> HTMLResponse:
        return HTMLResponse(text)

    return page


async def _while_there(request: Request, work: Awaitable[Any]) -> Any:
    """What the work gives; if who asked goes, it is given up."""
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(499, "who asked has gone")
        return working.result()
    finally:
        working.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _lines(first: Any, events: AsyncGenerator[Any]) -> AsyncIterator[bytes]:
    try:
        yield _line(first)
        async for event in events:
            yield _line(event)
    except Lost as error:
        yield json.dumps({"error": str(error)}).encode() + b"\n"
    finally:
        await events.aclose()


def _line(event: Any) -> bytes:
    if isinstance(event, schema.Translated):
        content: dict[str, Any] = {"end": event.model_dump()}
    else:
        place, what = event
        content = {"part": place} | ({"text": what} if isinstance(what, str) else {"done": what.model_dump()})
    return json.dumps(content, ensure_ascii=False).encode() + b"\n"


def _tell_mistakes(app: FastAPI) -> None:
    """Every error is {"error": one line}."""

    def answer(status: int, text: object, headers: dict[str, str] | None = None) -> Response:
        return JSONResponse({"error": " ".join(str(text).split())}, status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        def told(each: Any) -> str:
            where = ".".join(str(part) for part in each["loc"][1:] if not isinstance(part, int)) or "body"
            return f"{where}: {each['msg']}"

        return answer(422, "; ".join(told(each) for each in error.errors()[:3]).encode("utf-8", "replace").decode())

    @app.exception_handler(HTTPException)
    async def refused_by_path(_: Request, error: HTTPException) -> Response:
        return answer(error.status_code, error.detail, dict(error.headers or {}))

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return answer(422, error)

    @app.exception_handler(Lost)
    async def lost(_: Request, error: Lost) -> Response:
        return answer(500, error)

    @app.exception_handler(BusyError)
    async def busy(_: Request, error: BusyError) -> Response:
        return answer(503, "too many texts are waiting; try again in a second", {"retry-after": "1"})


class Guard:
    """In front of an application: bodies that are too long or too slow, and headers of every answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI says."""
        if scope["type"] != "http":
            return
        read, complete, begun = 0, False, False

        async def guarded() -> Any:
            nonlocal read, complete
            if complete:  # who waits now waits for the client to go
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), _BODY_TIME)
            except TimeoutError:
                raise HTTPException(408, f"the body did not come within {_BODY_TIME:.0f} seconds") from None
            read += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if read > schema.BODY:
                raise HTTPException(413, f"the body has more than {schema.BODY} bytes")
            return message

        async def headed(message: Any) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *own]}
            await send(message)

        try:
            await self.app(scope, guarded, headed)
        except asyncio.CancelledError:  # the server ends, and this took longer than it may wait
            if not begun:
                await JSONResponse({"error": "the server is ending"}, 503)(scope, receive, headed)
