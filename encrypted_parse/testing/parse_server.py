"""Parse Server in memory, behind the transport port: what the clients of this package use of it.

Answers as a real server does (status, codes, shapes); tests/integration/test_data_layer.py runs
the same cases against both. Not there: class-level permissions, triggers but
the guard's rule of replaced keys (testing/guard.py), cloud functions but
those of the companion and one's own, LiveQuery.
"""

from __future__ import annotations

import copy
import json
import secrets
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from encrypted_parse.discretion import front_door
from encrypted_parse.locks import Lock
from encrypted_parse.models import Model
from encrypted_parse.testing.guard import Guard, read_context
from encrypted_parse.testing.refusals import RefusedError
from encrypted_parse.testing.storage import Row, Storage, only
from encrypted_parse.testing.where import matches, nearest_first, ordered
from encrypted_parse.transport import HttpRequest, HttpResponse

PATH = "/parse"
APPLICATION_ID = "in-memory"
URL = f"https://parse.invalid{PATH}"
FILES_URL = f"{URL}/files/{APPLICATION_ID}/"
_NOT_FOUND = 101
_INVALID_SESSION = 209
_DUPLICATE_REQUEST = 159
_USERNAME_TAKEN = 202
_VALIDATION = 142
_MAX_NAMES = 20  # of one call of find-users
_FUNCTION_FAILED = 141
_MAX_ROLE_DEPTH = 32
_HIDDEN = frozenset({"password"})

Function = Callable[[str | None, Mapping[str, Any]], Any]
BeforeSave = Callable[[str, Row | None, Mapping[str, Any], str | None], None]


@front_door
class InMemoryParse:
    """A Parse Server's state. `answer` is what a `FakeTransport` calls. Thread-safe.

    Attributes:
        functions: Cloud functions by name: called with the user's id and the parameters.
        files: The contents of uploaded files by name.
        before_save: Called with the class, the row as it is stored (None for a new one), what is
            to be set, and the user's id; may raise a `RefusedError`.
        after_delete: Called with the class and the object id of a row that was deleted.
        files_deletable: Whether users may delete files, which no Parse Server lets them.
        finds_users: Whether the companion's `find-users` is open, see docs/companion.md.
        has_postgis: Whether distances can be asked for: MongoDB, or Postgres with PostGIS.
    """

    def __init__(self, *, guarded: Iterable[type[Model]] = ()) -> None:
        self._guard = Guard(guarded)
        self.functions: dict[str, Function] = {
            "find-users": self._find_users,
            "role-members": self._role_members,
            **self._guard.functions,
        }
        self.finds_users = False
        self.has_postgis = True
        self.files: dict[str, bytes] = {}
        self.files_deletable = False
        self.before_save: BeforeSave = lambda *_: None
        self.after_delete: Callable[[str, str], None] = lambda *_: None
        self._storage = Storage()
        self._sessions: dict[str, str] = {}
        self._passwords: dict[str, str] = {}
        self._request_ids: set[str] = set()
        self._lock = Lock()

    def rows(self, class_name: str) -> list[Row]:
        """Return a class's rows as the database holds them, by object id, past every ACL."""
        with self._lock:
            rows = self._storage.rows(class_name)
            return [copy.deepcopy(rows[object_id]) for object_id in sorted(rows)]

    def change(self, class_name: str, object_id: str, **columns: Any) -> None:  # noqa: ANN401 - any JSON
        """Change a row behind everybody's back, as a hostile host can; None removes."""
        with self._lock:
            row = self._storage.rows(class_name)[object_id]
            row.update(columns)
            for column in [name for name, value in columns.items() if value is None]:
                row.pop(column, None)

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Carry one request out."""
        if request.method == "GET" and request.url.startswith(FILES_URL):
            return self._download(request.url.removeprefix(FILES_URL))
        with self._lock:
            try:
                status, content = self._respond(request)
            except RefusedError as error:
                status, content = error.status, {"code": error.code, "error": error.text}
            return HttpResponse(status, {}, json.dumps(content).encode())

    # --- routes -----------------------------------------------------------------------------

    def _respond(self, request: HttpRequest) -> tuple[int, Any]:
        path = request.url.removeprefix(URL + "/")
        user = self._user_of(request.headers.get("X-Parse-Session-Token"), path)
        if path.startswith("files/"):
            name = urllib.parse.unquote(path.removeprefix("files/"))
            if request.method == "DELETE":
                return self._delete_file(name)
            return self._upload(name, request.body or b"", user)
        body: Any = json.loads(request.body) if request.body else dict(request.params)
        method = request.method
        if isinstance(body, dict) and "_method" in body:
            method = body.pop("_method")
        request_id = request.headers.get("X-Parse-Request-Id")
        if request_id is not None and path != "batch":  # as Parse Server
            if request_id in self._request_ids:
                raise RefusedError(_DUPLICATE_REQUEST, "Duplicate request")
            self._request_ids.add(request_id)
        context = read_context(request.headers)
        if path == "batch":
            return 200, self._batch(body, user, context)
        if path == "logout":
            self._sessions.pop(request.headers.get("X-Parse-Session-Token", ""), None)
            return 200, {}
        if path == "users/me":
            return 200, {**self._visible("_User", user, user)}
        return self._route(method, path, body, user, context)

    def _route(  # noqa: PLR0911 - one a route
        self,
        method: str,
        path: str,
        body: Any,  # noqa: ANN401 - any JSON
        user: str | None,
        context: Mapping[str, Any],
    ) -> tuple[int, Any]:
        parts = [urllib.parse.unquote(part) for part in path.split("/")]
        known = {"users": ["classes", "_User"], "roles": ["classes", "_Role"]}
        match [*known.get(parts[0], [parts[0]]), *parts[1:]], method:
            case ["classes", "_User"], "POST":
                return 201, self._sign_up(body)
            case ["login"], _:
                return 200, self._log_in(body)
            case ["functions", name], "POST":
                return 200, {"result": self._call(name, body, user)}
            case ["classes", name], "POST":
                self.before_save(name, None, body, user)
                self._guard.check(name, None, body, context)
                row = self._storage.create(name, body)
                answer = {key: row[key] for key in ("objectId", "createdAt")}
                return 201, answer
            case ["classes", name], "GET":
                return 200, self._query(name, body, user)
            case ["classes", name, object_id], "GET":
                return 200, only(self._visible(name, object_id, user), body.get("keys"))
            case ["classes", name, object_id], "PUT":
                row = self._require(name, object_id, user, "write")
                self.before_save(name, row, body, user)
                self._guard.check(name, row, body, context)
                return 200, self._storage.update(name, row, body)
            case ["classes", name, object_id], "DELETE":
                self._require(name, object_id, user, "write")
                self._storage.delete(name, object_id)
                self.after_delete(name, object_id)
                return 200, {}
            case _:
                raise RefusedError(_NOT_FOUND, "cannot route", 404)

    def _batch(
        self, body: Mapping[str, Any], user: str | None, context: Mapping[str, Any]
    ) -> list[Any]:
        before = self._storage.snapshot() if body.get("transaction") else None
        results: list[Any] = []
        for item in body["requests"]:
            path = item["path"]
            if not path.startswith(PATH + "/"):
                raise RefusedError(107, f"cannot route batch path {path}")
            try:
                path = path.removeprefix(PATH + "/")
                _, content = self._route(item["method"], path, item.get("body", {}), user, context)
                results.append({"success": content})
            except RefusedError as error:
                if before is not None:
                    self._storage.restore(before)
                    raise RefusedError(1, "Internal server error.", 500) from error
                results.append({"error": {"code": error.code, "error": error.text}})
        return results

    # --- users ------------------------------------------------------------------------------

    def _sign_up(self, body: Mapping[str, Any]) -> Row:
        fields = dict(body)
        password = fields.pop("password", "")
        taken = {row["username"] for row in self._storage.rows("_User").values()}
        if fields.get("username") in taken:
            raise RefusedError(_USERNAME_TAKEN, "Account already exists for this username.")
        row = self._storage.create("_User", fields)
        row["ACL"] = {row["objectId"]: {"read": True, "write": True}}
        self._passwords[row["objectId"]] = password
        return {
            "objectId": row["objectId"],
            "createdAt": row["createdAt"],
            "sessionToken": self._session(row["objectId"]),
        }

    def _log_in(self, body: Mapping[str, Any]) -> Row:
        for object_id, row in self._storage.rows("_User").items():
            right = self._passwords[object_id] == body.get("password")
            if row["username"] == body.get("username") and right:
                return {**row, "sessionToken": self._session(object_id)}
        raise RefusedError(_NOT_FOUND, "Invalid username/password.", 404)

    def _session(self, user: str) -> str:
        token = f"r:{secrets.token_hex(16)}"
        self._sessions[token] = user
        return token

    def _user_of(self, token: str | None, path: str) -> str | None:
        if token is None or path == "login":
            return None
        if token not in self._sessions:
            raise RefusedError(_INVALID_SESSION, "Invalid session token")
        return self._sessions[token]

    def end_sessions(self) -> None:
        """Let every session token be refused from now on."""
        with self._lock:
            self._sessions.clear()

    def _call(self, name: str, params: Mapping[str, Any], user: str | None) -> Any:  # noqa: ANN401 - any JSON
        function = self.functions.get(name)
        if function is None:
            raise RefusedError(_FUNCTION_FAILED, f'Invalid function: "{name}"')
        return function(user, params)

    # --- access -----------------------------------------------------------------------------

    def _names_of(self, user: str | None) -> set[str]:
        """Return what an ACL may call *user*: everybody, the id, the roles and those above."""
        if user is None:
            return {"*"}
        names = {"*", user}
        roles = self._storage.rows("_Role")
        held = {one for one in roles if user in self._storage.related("_Role", one, "users")}
        for _ in range(_MAX_ROLE_DEPTH):
            above = {one for one in roles if held & self._storage.related("_Role", one, "roles")}
            if above <= held:
                break
            held |= above
        return names | {f"role:{roles[one]['name']}" for one in held}

    def _may(self, row: Row, user: str | None, access: str) -> bool:
        acl = row.get("ACL")
        if acl is None:
            return True
        return any(acl.get(name, {}).get(access) is True for name in self._names_of(user))

    def _require(
        self, class_name: str, object_id: str | None, user: str | None, access: str
    ) -> Row:
        row = self._storage.rows(class_name).get(object_id or "")
        if row is None or not self._may(row, user, access):
            raise RefusedError(_NOT_FOUND, "Object not found.", 404)
        return row

    def _visible(self, class_name: str, object_id: str | None, user: str | None) -> Row:
        row = self._require(class_name, object_id, user, "read")
        return {key: value for key, value in row.items() if key not in _HIDDEN}

    def _role_members(self, user: str | None, params: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
        """Do what the companion's function `role-members` does."""
        if user is None:
            raise RefusedError(_INVALID_SESSION, "log in first")
        roles = {
            row["name"]: object_id
            for object_id, row in self._storage.rows("_Role").items()
            if self._may(row, user, "read")
        }
        members: dict[str, list[str]] = {}
        for name in params["roles"]:
            if name not in roles:
                raise RefusedError(_FUNCTION_FAILED, "no such role")
            seen, waiting, found = set[str](), [roles[name]], set[str]()
            while waiting:
                one = waiting.pop()
                if one not in seen:
                    seen.add(one)
                    found |= self._storage.related("_Role", one, "users")
                    waiting.extend(self._storage.related("_Role", one, "roles"))
            members[name] = sorted(found)
        return {"members": members}

    def _find_users(self, user: str | None, params: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
        """Do what the companion's function `find-users` does."""
        if user is None:
            raise RefusedError(_INVALID_SESSION, "log in first")
        names = params.get("names")
        if not isinstance(names, list) or not 0 < len(names) <= _MAX_NAMES:
            raise RefusedError(_VALIDATION, "the parameter names is a list of 1 to 20 user names")
        found = {
            row["username"]: object_id
            for object_id, row in self._storage.rows("_User").items()
            if row["username"] in names and (self.finds_users or self._may(row, user, "read"))
        }
        return {"users": found}

    # --- queries ----------------------------------------------------------------------------

    def _query(self, class_name: str, query: Mapping[str, Any], user: str | None) -> Any:  # noqa: ANN401 - any JSON
        where = query.get("where", {})
        where = json.loads(where) if isinstance(where, str) else where
        if not self.has_postgis and '"$nearSphere"' in json.dumps(where):
            raise RefusedError(1, "An internal server error occurred", 500)
        found = nearest_first(self._find(class_name, where, user), where)
        if int(query.get("count", 0)):
            return {"results": [], "count": len(found)}
        order = str(query.get("order", ""))
        if order:
            found = ordered(found, order.split(","))
        skip, limit = int(query.get("skip", 0)), int(query.get("limit", 100))
        page = [copy.deepcopy(dict(row)) for row in found[skip : skip + limit]]
        for path in filter(None, str(query.get("include", "")).split(",")):
            for row in page:
                self._include(row, path.split("."), user)
        return {"results": [only(row, query.get("keys")) for row in page]}

    def _find(
        self, class_name: str, where: Mapping[str, Any], user: str | None
    ) -> Sequence[Mapping[str, Any]]:
        wanted = dict(where)
        related = wanted.pop("$relatedTo", None)
        rows = self._storage.rows(class_name)
        if related is not None:
            owner = related["object"]
            self._require(owner["className"], owner["objectId"], user, "read")
            ids = self._storage.related(owner["className"], owner["objectId"], related["key"])
            rows = {object_id: row for object_id, row in rows.items() if object_id in ids}

        def run(query: Mapping[str, Any]) -> list[Mapping[str, Any]]:
            return list(self._find(query["className"], query["where"], user))

        return [
            row
            for row in rows.values()
            if self._may(row, user, "read") and matches(row, wanted, run)
        ]

    def _include(self, row: Row, path: Sequence[str], user: str | None) -> None:
        value = row.get(path[0])
        if isinstance(value, list):  # what is gone leaves the list, as on a server
            targets = [self._included(one, path[1:], user) for one in value]
            row[path[0]] = [one for one, gone in targets if not gone]
        elif isinstance(value, dict):
            row[path[0]], gone = self._included(value, path[1:], user)
            if gone:
                del row[path[0]]

    def _included(self, value: Any, path: Sequence[str], user: str | None) -> tuple[Any, bool]:  # noqa: ANN401 - any JSON
        """Return what takes a pointer's place, and whether its object is gone or hidden."""
        if not isinstance(value, dict):
            return value, False
        if value.get("__type") == "Pointer":
            target = self._storage.rows(value["className"]).get(value["objectId"])
            if target is None or not self._may(target, user, "read"):
                return None, True
            kind = {"__type": "Object", "className": value["className"]}
            value = {**copy.deepcopy(target), **kind}
        if path:
            self._include(value, path, user)
        return value, False

    # --- files ------------------------------------------------------------------------------

    def _upload(self, name: str, content: bytes, user: str | None) -> tuple[int, Any]:
        if user is None or not content:
            raise RefusedError(130, "File upload by public is disabled.")
        stored = f"{secrets.token_hex(16)}_{name}"
        self.files[stored] = content
        return 201, {"name": stored, "url": FILES_URL + stored}

    def _delete_file(self, name: str) -> tuple[int, Any]:
        if not self.files_deletable:
            return 403, {"error": "unauthorized: master key is required"}
        if self.files.pop(name, None) is None:
            raise RefusedError(_NOT_FOUND, "File not found.", 404)
        return 200, {}

    def _download(self, name: str) -> HttpResponse:
        content = self.files.get(urllib.parse.unquote(name))
        if content is None:
            return HttpResponse(404, {}, b"File not found.")
        return HttpResponse(200, {"content-type": "application/octet-stream"}, content)
