"""``make chat``: a Parse Server, the web page, and the bot, on this machine, until Ctrl-C.

Open the address in two browser windows (one of them private), sign up as two people, and write;
or write to the bot. Nothing is kept.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen
from bot import answer_messages, sign_up
from models import Message

from encrypted_parse import EncryptedClient, MemoryKeystore
from encrypted_parse.devserver import DevServer, dev_server
from encrypted_parse.devserver.environment import node_environment, npm_environment
from encrypted_parse.devserver.node import find_node
from encrypted_parse.tools import export_guard_schema

WEB = Path(__file__).parent / "web"
LOCAL = "127.0.0.1"
_TYPES = {".wasm": "application/wasm", ".js": "text/javascript", ".mjs": "text/javascript"}


@frozen
class Chat:
    """A running chat: where its page is, and the server behind it."""

    url: str
    server: DevServer


@contextmanager
def chat(progress: Callable[[str], None] = print) -> Iterator[Chat]:
    """Run everything until the block ends."""
    site = build_page(progress)
    with tempfile.TemporaryDirectory() as folder:
        fields = Path(folder) / "encrypted-fields.json"
        fields.write_text(json.dumps(export_guard_schema([Message])), "utf-8")
        with (
            dev_server(encrypted_fields=fields, progress=progress) as server,
            _bot(server),
            _page(site, server) as url,
        ):
            yield Chat(url, server)


def build_page(progress: Callable[[str], None]) -> Path:
    """Bundle the page with esbuild, and return the folder to serve.

    The first time, npm fetches E3Kit, Parse's SDK and esbuild (about 20 s).
    """
    node = find_node()
    lock, stamp = WEB / "package-lock.json", WEB / "node_modules" / ".installed"
    if not stamp.is_file() or stamp.read_bytes() != lock.read_bytes():
        progress("installing the page's npm packages (once, about 20 s)")
        quiet = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
        command = [node.executable, node.npm_script, "ci", "--ignore-scripts", *quiet]
        variables = npm_environment(os.environ, node.executable)
        subprocess.run(command, cwd=WEB, check=True, stdout=subprocess.DEVNULL, env=variables)
        stamp.write_bytes(lock.read_bytes())
    build = [node.executable, WEB / "build.mjs"]
    subprocess.run(build, cwd=WEB, check=True, env=node_environment(os.environ))
    return WEB / "dist"


@contextmanager
def _bot(server: DevServer) -> Iterator[None]:
    app = EncryptedClient.from_env(server.environment(), keystore=MemoryKeystore())
    user = sign_up(app, os.urandom(16).hex())
    stop = threading.Event()
    arguments = (user, server.live_query_url, server.javascript_key, stop)
    thread = threading.Thread(target=answer_messages, args=arguments, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def _page(site: Path, server: DevServer) -> Iterator[str]:
    config = {
        "applicationId": server.application_id,
        "javascriptKey": server.javascript_key,
        "serverUrl": server.url,
        "liveQueryUrl": server.live_query_url,
        "directoryUrl": server.directory_url,
    }
    handler = functools.partial(_Handler, json.dumps(config).encode(), directory=str(site))
    with http.server.ThreadingHTTPServer((LOCAL, 0), handler) as web:
        thread = threading.Thread(target=web.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{LOCAL}:{web.server_address[1]}/"
        finally:
            web.shutdown()
            thread.join()


class _Handler(http.server.SimpleHTTPRequestHandler):
    """The page's files, and which server to talk to. Nothing foreign runs in the page."""

    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, **_TYPES}  # noqa: RUF012
    protocol_version = "HTTP/1.1"

    def __init__(self, config: bytes, *args: object, **kwargs: object) -> None:
        self._config = config
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self.path != "/config.json":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self._config)))
        self.end_headers()
        self.wfile.write(self._config)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header(
            "Content-Security-Policy",
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
            "img-src 'self' data:; connect-src 'self' http://127.0.0.1:* ws://127.0.0.1:*; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        )
        super().end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing: the terminal belongs to the chat's address."""


def main() -> None:
    """Run until Ctrl-C."""
    with suppress(KeyboardInterrupt), chat(lambda text: print(text, file=sys.stderr)) as running:
        print(f"\nThe chat is at {running.url}\n")
        print("Open it in two browser windows, one of them private, and sign up as two people.")
        print("Or write to the bot, a Python program. Ctrl-C stops everything.", flush=True)
        running.server.wait()


if __name__ == "__main__":
    main()
