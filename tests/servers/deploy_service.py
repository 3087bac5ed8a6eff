"""A server of ours that speaks Back4App's deploy protocol, and takes nothing that is not in it.

Stricter than the real one where that catches mistakes of a client: every key of a body has to be
known, a release may only name files that were stored, under that version, with that MD5, and a
release that drops files keeps count of them in `releases`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

APP, MASTER = "app-id-of-tests", "master-key-of-tests"
FOLDERS = {"scripts": "cloud", "hosted_files": "public"}


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def md5_of(content: bytes) -> str:
    """Return the checksum that the protocol compares files by."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class DeployService:
    """The state of one app's cloud code. Attributes may be changed by tests.

    Attributes:
        releases: All of them, oldest first; `running` is the index of the one that runs.
        stored: Contents by (path, version).
        requests: What was asked, as "POST scripts".
        before: Called with each request before it is handled; what it returns is done after the
            handling and in place of the answer ("drop": close the connection).
    """

    def __init__(self) -> None:
        self.releases: list[dict[str, Any]] = []
        self.running = -1
        self.stored: dict[tuple[str, str], bytes] = {}
        self.requests: list[str] = []
        self.before: Callable[[str], str | None] = lambda _: None
        self.url = ""
        self._lock = threading.Lock()

    # --- what tests do -----------------------------------------------------------------------

    def put(self, files: dict[str, bytes], description: str = "by hand") -> None:
        """Make a release of exactly these files, as somebody else would."""
        maps: dict[str, Any] = {"checksums": {}, "userFiles": {}, "description": description}
        for path, content in files.items():
            folder, _, name = path.partition("/")
            version = self._store(path, content)
            maps["checksums"].setdefault(folder, {})[name] = md5_of(content)
            maps["userFiles"].setdefault(folder, {})[name] = version
        self._make(maps)

    def files(self) -> dict[str, bytes]:
        """Return what runs."""
        if self.running < 0:
            return {}
        versions = self.releases[self.running]["userFiles"]
        return {
            f"{folder}/{name}": self.stored[f"{folder}/{name}", version]
            for folder, names in versions.items()
            for name, version in names.items()
        }

    # --- the protocol ------------------------------------------------------------------------

    def answer(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Any:
        """Answer one request."""
        path, _, query = url.partition("?")
        name = path.strip("/")
        if (headers.get("x-parse-application-id"), headers.get("x-parse-master-key")) != (
            APP,
            MASTER,
        ):
            raise RefusedError(403, "unauthorized")
        endpoint, _, rest = name.partition("/")
        if method == "GET":
            return self._get(endpoint, urllib.parse.unquote(rest), query)
        content = json.loads(body)
        if endpoint in FOLDERS and not rest:
            self._only(content, {"name", "content"}, {"name", "content"})
            data = base64.b64decode(content["content"], validate=True)
            return {"version": self._store(f"{FOLDERS[endpoint]}/{content['name']}", data)}
        if name != "deploy":
            raise RefusedError(404, "no such endpoint")
        if "releaseName" in content:
            self._only(content, {"releaseName"}, {"releaseName"})
            return self._roll_back(content["releaseName"])
        known = {"parseVersion", "description", "checksums", "userFiles"}
        self._only(content, known, known)
        return self._make(content)

    def _get(self, endpoint: str, rest: str, query: str) -> Any:
        if endpoint == "deploy":
            return {} if self.running < 0 else self.releases[self.running]
        if endpoint == "releases":
            return [
                {
                    "version": one["releaseName"],
                    "description": one["description"],
                    "timestamp": one["timestamp"],
                    "userFiles": json.dumps(one["userFiles"]),
                }
                for one in self.releases
            ]
        if endpoint not in FOLDERS or not query.startswith("checksum="):
            raise RefusedError(500, "the first parameter is checksum")
        wanted = dict(urllib.parse.parse_qsl(query))
        data = self.stored.get((f"{FOLDERS[endpoint]}/{rest}", wanted.get("version", "")))
        if data is None or md5_of(data) != wanted["checksum"]:
            raise RefusedError(500, "object not found")
        return data.decode() if endpoint == "scripts" else base64.b64encode(data).decode()

    def _only(self, content: Any, known: set[str], needed: set[str]) -> None:
        if not isinstance(content, dict) or set(content) - known or needed - set(content):
            raise RefusedError(400, "unknown or missing fields")

    def _store(self, path: str, content: bytes) -> str:
        with self._lock:
            version = str(1 + sum(stored == path for stored, _ in self.stored))
            self.stored[path, version] = content
        return version

    def _make(self, release: dict[str, Any]) -> dict[str, Any]:
        named = {
            (folder, name)
            for folder, names in release["checksums"].items()
            for name in names
        }  # fmt: skip
        versions = {
            (folder, name): version
            for folder, names in release["userFiles"].items()
            for name, version in names.items()
        }
        if named != set(versions) or not {folder for folder, _ in named} <= {"cloud", "public"}:
            raise RefusedError(400, "checksums and userFiles name different files")
        if ("cloud", "main.js") not in named:
            raise RefusedError(400, "a release needs cloud/main.js")
        for (folder, name), version in versions.items():
            data = self.stored.get((f"{folder}/{name}", version))
            if data is None:
                raise RefusedError(400, f"{name} was never stored as {version}")
            if md5_of(data) != release["checksums"][folder][name]:
                raise RefusedError(400, f"the checksum of {name} is wrong")
        with self._lock:
            number = len(self.releases) + 1
            made = {
                "releaseName": f"v{number}",
                "parseVersion": release.get("parseVersion") or "7.5.2",
                "description": release["description"],
                "checksums": release["checksums"],
                "userFiles": release["userFiles"],
                "timestamp": f"2026-11-24T12:00:{number % 60:02d}.000Z",
            }
            self.releases.append(made)
            self.running = len(self.releases) - 1
        return made

    def _roll_back(self, name: str) -> dict[str, Any]:
        names = [one["releaseName"] for one in self.releases]
        with self._lock:
            self.running = self.running - 1 if name == "" else names.index(name)
            return self.releases[self.running]


@contextmanager
def deploy_service() -> Iterator[DeployService]:
    """Run the service on 127.0.0.1 until the block ends."""
    service = DeployService()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            request = f"{self.command} {self.path.strip('/').partition('?')[0]}"
            service.requests.append(request)
            headers = {name.lower(): value for name, value in self.headers.items()}
            fault = service.before(request)
            if fault == "drop first":
                self._drop()
                return
            try:
                if fault is not None and fault.isdigit():
                    raise RefusedError(int(fault), "failed by the test")
                answer, status = service.answer(self.command, self.path, headers, body), 200
            except RefusedError as refused:
                answer, status = {"error": str(refused)}, refused.status
            if fault == "gateway after":
                answer, status = {"error": "bad gateway"}, 502
            if fault == "drop after":
                self._drop()
                return
            content = fault.encode() if fault == "garbage" else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _drop(self) -> None:
            self.close_connection = True
            self.connection.close()

        do_GET = do_POST = _handle  # noqa: N815 - the base class's names

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *args: object) -> None:
            pass  # a dropped connection

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
