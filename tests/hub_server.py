"""A stand-in for the Hugging Face hub on this machine: the requests that huggingface_hub makes for models.

Models have one branch, `main`. Small files come with the commit, `.safetensors` and `.spm` through LFS, as on the hub.
"""

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

TOKEN = "hf_" + "a" * 34
_LFS = (".safetensors", ".spm", ".bin")


@dataclasses.dataclass
class Model:
    """Files by path, and the hash of their commit."""

    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    status: int = 200  # of every answer about the model, to refuse access

    @property
    def commit(self) -> str:
        return hashlib.sha1(repr(sorted(self.files.items())).encode()).hexdigest()


class Hub(http.server.ThreadingHTTPServer):
    """The server: models by name, the uploaded objects of LFS, and the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models: dict[str, Model] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextlib.contextmanager
def running() -> Iterator[Hub]:
    """Runs a hub until the context exits."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Hub  # type: ignore[assignment]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        self.server.requests.append(f"{self.command} {self.path}")

    def _answer(self, content: Any, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _model(self, name: str) -> Model | None:
        """Returns a model; without one, answers as the hub does."""
        model = self.server.models.get(name)
        if model is None or model.status != 200:
            status = 401 if model is None else model.status
            self._answer({"error": "no"}, status, X_Error_Code="GatedRepo" if status == 403 else "RepoNotFound")
            return None
        return model

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/api/whoami-v2":
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            self._answer(
                {"name": "me", "type": "user"} if known else {"error": "Invalid credentials"}, 200 if known else 401
            )
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/(\w+)", path):
            self._describe(*match.groups())
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/(\w+)/(.+)", path):
            self._file(*match.groups())
        else:
            self._answer({"error": f"the stand-in has no {path}"}, 404)

    do_HEAD = do_GET

    def _describe(self, name: str, what: str, revision: str) -> None:
        if (model := self._model(name)) is None:
            return
        if revision not in ("main", model.commit):
            self._answer({"error": "Invalid rev id"}, 404, X_Error_Code="RevisionNotFound")
        elif what == "revision":
            siblings = [{"rfilename": path} for path in model.files]
            self._answer({"id": name, "modelId": name, "sha": model.commit, "siblings": siblings, "private": False})
        else:
            entries = [
                {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for path, content in model.files.items()
            ]
            self._answer(entries)

    def _file(self, name: str, revision: str, path: str) -> None:
        if (model := self._model(name)) is None:
            return
        if path not in model.files:
            self._answer(b"", 404, X_Error_Code="EntryNotFound")
            return
        content = model.files[path]
        self._answer(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=model.commit)

    def do_POST(self) -> None:
        body = self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer({"error": "Invalid credentials"}, 401)
        elif self.path == "/api/repos/create":
            self._create(json.loads(body))
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif match := re.fullmatch(r"/api/models/(.+)/preupload/main", self.path):
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": path, "uploadMode": "lfs" if path.endswith(_LFS) else "regular"} for path in files]
            self._answer({"files": [{**mode, "shouldIgnore": False} for mode in modes]})
        elif self.path.endswith(".git/info/lfs/objects/batch"):
            upload = {"href": f"{self.server.url}/objects/"}
            objects = [
                {**item, "actions": {"upload": {"href": upload["href"] + item["oid"]}}}
                for item in json.loads(body)["objects"]
            ]
            self._answer({"transfer": "basic", "objects": objects})
        elif match := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
            self._commit(match[1], [json.loads(line) for line in body.splitlines()])
        else:
            self._answer({"error": f"the stand-in has no {self.path}"}, 404)

    def _create(self, request: dict[str, Any]) -> None:
        name = f"{request['organization']}/{request['name']}"
        if request["organization"] != "me":
            self._answer({"error": "You don't have the rights to create a model"}, 403)
            return
        new = self.server.models.setdefault(name, Model()).files == {}
        self._answer({"url": f"{self.server.url}/{name}", "name": name}, 200 if new else 409)

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        model = self.server.models[name]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                model.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                model.files[value["path"]] = self.server.objects[value["oid"]]
        url = f"{self.server.url}/{name}/commit/{model.commit}"
        self._answer({"success": True, "commitOid": model.commit, "commitUrl": url, "hookOutput": ""})

    def do_PUT(self) -> None:
        content = self._body()
        oid = self.path.rpartition("/")[2]
        assert hashlib.sha256(content).hexdigest() == oid
        self.server.objects[oid] = content
        self._answer(b"")
