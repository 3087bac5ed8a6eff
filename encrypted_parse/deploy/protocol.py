"""Back4App's deploy protocol: one HTTP call a method (Parse Server notes, section 1.4).

Only an application id and its master key are needed, no account key. The service's requests for a
file want ``checksum`` as the first parameter.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime as dt
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from attrs import frozen

from encrypted_parse.deploy.release import Release, StoredFile, is_plain, md5_of
from encrypted_parse.discretion import front_door
from encrypted_parse.errors import DeployError, MalformedResponseError, NotPicklableError
from encrypted_parse.transport import (
    Endpoint,
    HttpRequest,
    HttpResponse,
    Repeat,
    Transport,
    check_url,
    exchange,
    refusal_in_front,
)

BACK4APP = "https://parsecli.back4app.com"
_ENDPOINTS = {"cloud": "scripts", "public": "hosted_files"}
_OK = range(200, 300)
_REFUSED_KEYS = (401, 403)
_FRONT_ALONE = (413, 429)  # the service itself has no other words for them
_MAX_MESSAGE_CHARACTERS = 300


@front_door
@frozen
class PastRelease:
    """One line of the history.

    Attributes:
        name: ``v12``.
        description: What was said when it was made.
        made_at: When, by the server's clock, as text; empty if it does not say.
    """

    name: str
    description: str
    made_at: str


@front_door
class DeployServer:
    """The service behind one app's cloud code. Nothing takes effect before `make_release`."""

    def __init__(
        self,
        transport: Transport,
        application_id: str,
        master_key: str,
        url: str = BACK4APP,
        *,
        setting: str = "",
    ) -> None:
        self.application_id = application_id
        self._url = check_url(url, whose="deploy service", setting=setting)
        self._endpoint = Endpoint(self._url, setting)
        self._transport = transport
        self._headers = {
            "X-Parse-Application-Id": application_id,
            "X-Parse-Master-Key": master_key,
        }

    def current(self) -> Release:
        """Return what runs now.

        Raises:
            DeployError: The service refused.
            MalformedResponseError: The answer is no release.
        """
        return Release.from_json(self._read("deploy"))

    def history(self) -> list[PastRelease]:
        """Return all releases, oldest first."""
        answer = self._read("releases")
        if not isinstance(answer, list):
            raise MalformedResponseError("the answer is no list of releases")
        return [_past_release(one) for one in answer]

    def store(self, path: str, content: bytes) -> StoredFile:
        """Store one file; no release has it yet. Storing it twice does no harm."""
        folder, _, name = path.partition("/")
        body = {"name": name, "content": base64.b64encode(content).decode("ascii")}
        answer = self._write(_ENDPOINTS[folder], body, Repeat.SAFE)
        version = answer.get("version")
        if not isinstance(version, (str, int)) or not is_plain(str(version)):
            raise MalformedResponseError("the service stored a file and named no version")
        return StoredFile(md5_of(content), str(version))

    def content(self, path: str, stored: StoredFile) -> bytes:
        """Return a stored file.

        Raises:
            MalformedResponseError: It is not what its MD5 says.
        """
        folder, _, name = path.partition("/")
        query = urllib.parse.urlencode({"checksum": stored.md5, "version": stored.version})
        answer = self._get(f"{_ENDPOINTS[folder]}/{urllib.parse.quote(name)}?{query}")
        if answer.status not in _OK:
            _answer(answer)
        for content in _contents(answer):
            if md5_of(content) == stored.md5:
                return content
        raise MalformedResponseError(f"{path} on the server is not what its checksum says")

    def make_release(self, release: Release, description: str) -> str:
        """Make the stored files of *release* the running ones, and return the release's name."""
        body = {
            "parseVersion": release.parse_version,
            "description": description,
            **release.to_json(),
        }
        return self._release_name(self._write("deploy", body, Repeat.NEVER))

    def make_current(self, name: str) -> str:
        """Make an earlier release the running one, and return its name."""
        return self._release_name(self._write("deploy", {"releaseName": name}, Repeat.NEVER))

    def _release_name(self, answer: Mapping[str, Any]) -> str:
        name = answer.get("releaseName")
        if not is_plain(name) or not name:
            raise MalformedResponseError("the service made a release and named none")
        return str(name)

    def _read(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        return _answer(self._get(path))

    def _get(self, path: str) -> HttpResponse:
        url = f"{self._url}/{path}"
        return exchange(
            self._transport,
            HttpRequest("GET", url, self._headers, repeat=Repeat.SAFE, endpoint=self._endpoint),
        )

    def _write(self, path: str, body: Mapping[str, Any], repeat: Repeat) -> Mapping[str, Any]:
        headers = {**self._headers, "Content-Type": "application/json"}
        content = json.dumps(body).encode("ascii")
        url = f"{self._url}/{path}"
        request = HttpRequest(
            "POST", url, headers, body=content, repeat=repeat, endpoint=self._endpoint
        )
        answer = _answer(exchange(self._transport, request))
        if not isinstance(answer, Mapping):
            raise MalformedResponseError(
                f"the service's answer is no JSON object: {self._endpoint}"
            )
        return answer

    def __repr__(self) -> str:
        return f"<DeployServer {self._url} of {self.application_id}>"

    def __reduce__(self) -> NoReturn:
        raise NotPicklableError("a deploy server holds the master key and is not pickled")


def _answer(response: HttpResponse) -> Any:  # noqa: ANN401 - any JSON
    if response.status in _OK:
        return response.json()
    is_page = response.is_page
    if response.status in _FRONT_ALONE or is_page:
        refusal = refusal_in_front(
            response.status, response.headers, response.body, response.endpoint
        )
        if refusal is not None:
            raise refusal
    if response.status in _REFUSED_KEYS:
        raise DeployError(
            f"the application id or the master key is refused (HTTP {response.status})",
            status=response.status,
            hint="both are in the dashboard: App Settings > Security & Keys",
        )
    try:
        said = response.json().get("error")
    except (MalformedResponseError, AttributeError):
        said = None
    text = said[:_MAX_MESSAGE_CHARACTERS] if isinstance(said, str) and said.isprintable() else ""
    page = ", with a web page" if is_page else ""
    shown = f"the deploy service refused (HTTP {response.status}{page}) {text}".rstrip()
    raise DeployError(response.named(shown), status=response.status)


def _contents(response: HttpResponse) -> Iterator[bytes]:
    """Yield what an answer can mean: text as it is, as a JSON string, or in base64."""
    yield response.body
    try:
        text = response.json()
    except MalformedResponseError:
        return
    if isinstance(text, str):
        yield text.encode("utf-8", "replace")
        with contextlib.suppress(binascii.Error, ValueError):
            yield base64.b64decode(text)


def _past_release(value: Any) -> PastRelease:  # noqa: ANN401 - whatever the server sent
    if not isinstance(value, Mapping) or not is_plain(value.get("version")):
        raise MalformedResponseError("the answer is no list of releases")
    description = value.get("description")
    if not isinstance(description, str) or not description.isprintable():
        description = ""
    made_at = value.get("timestamp")
    if isinstance(made_at, Mapping):
        made_at = made_at.get("iso")
    try:
        shown = dt.datetime.fromisoformat(str(made_at)).isoformat(" ", "seconds")
    except ValueError:
        shown = ""
    return PastRelease(str(value["version"]), description, shown)
