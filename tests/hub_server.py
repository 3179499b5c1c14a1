"""A stand-in for the Hub on 127.0.0.1: what huggingface_hub asks for when it lists, downloads and uploads models."""

import base64
import hashlib
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class HubServer:
    """Repositories in memory, a log of requests, and faults on demand.

    `truncate[path] = n` breaks the next transfer of a file off after n bytes, `broken` holds files of which nothing
    ever arrives, and `flip[path] = k` changes a byte in the next k transfers. Where `write_token` is set, changes need
    it. A closed server refuses connections at once, because it keeps none open.
    """

    def __init__(self):
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}  # id -> revision or commit -> path -> content
        self.commits: dict[tuple[str, str], str] = {}
        self.gated: set[str] = set()
        self.private: set[str] = set()
        self.write_token: str | None = None
        self.requests: list[str] = []
        self.truncate: dict[str, int] = {}
        self.broken: set[str] = set()
        self.flip: Counter[str] = Counter()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.endpoint = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def add(self, repo_id: str, files: dict[str, bytes]) -> str:
        """Commit `files` to the main branch; return the commit."""
        content = repr(sorted((path, hashlib.sha256(data).hexdigest()) for path, data in files.items()))
        commit = hashlib.sha1(content.encode()).hexdigest()
        self.repos.setdefault(repo_id, {}).update({commit: files, "main": files})
        self.commits |= {(repo_id, "main"): commit, (repo_id, commit): commit}
        return commit

    def transfers(self) -> list[str]:
        """The requests that carried the content of a file."""
        return [request for request in self.requests if request.startswith("GET") and "/resolve/" in request]

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer()

    do_HEAD = do_POST = do_GET

    def _answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        span = self.headers.get("Range")
        self.hub.requests.append(f"{self.command} {self.path}" + (f" {span}" if span else ""))
        parts = unquote(self.path.split("?")[0]).strip("/").split("/")
        if self.command == "POST" and not self._may_write():
            self._fail(403 if "Authorization" in self.headers else 401, "Forbidden")
        elif parts[:3] == ["api", "repos", "create"]:
            self._create(json.loads(body))
        elif parts[:2] == ["api", "validate-yaml"]:
            self._json({"errors": [], "warnings": []})
        elif parts[:2] == ["api", "models"]:
            self._model("/".join(parts[2:4]), parts[4:], body)
        elif len(parts) > 4 and parts[2] == "resolve":
            self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._fail(404, "EntryNotFound")

    def _may_write(self) -> bool:
        token = self.hub.write_token
        return token is None or self.headers.get("Authorization") == f"Bearer {token}"

    def _create(self, wanted: dict):
        repo_id = f"{wanted['organization']}/{wanted['name']}"
        if repo_id not in self.hub.repos:  # one that exists stays as it is
            self.hub.add(repo_id, {".gitattributes": b""})
            if wanted.get("visibility") == "private":
                self.hub.private.add(repo_id)
        self._json({"url": f"{self.hub.endpoint}/{repo_id}", "id": repo_id})

    def _model(self, repo_id: str, action: list[str], body: bytes):
        if action[:1] == ["preupload"]:
            files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
            self._json({"files": [{**file, "shouldIgnore": False} for file in files]})
            return
        if action[:1] == ["commit"]:
            lines = [json.loads(line) for line in body.splitlines()]
            added = [line["value"] for line in lines if line["key"] == "file"]
            files = dict(self.hub.repos[repo_id].get("main", {}))
            files |= {file["path"]: base64.b64decode(file["content"]) for file in added}
            commit = self.hub.add(repo_id, files)
            url = f"{self.hub.endpoint}/{repo_id}/commit/{commit}"
            self._json({"success": True, "commitOid": commit, "commitUrl": url})
            return
        revision = action[1] if len(action) > 1 else "main"
        commit = self._commit(repo_id, revision)
        if commit is None:
            return
        files = self.hub.repos[repo_id][commit]
        if action[:1] == ["tree"]:
            self._json([_tree_entry(path, data) for path, data in files.items()])
        else:
            names = [{"rfilename": path} for path in files]
            self._json({"id": repo_id, "sha": commit, "private": repo_id in self.hub.private, "siblings": names})

    def _commit(self, repo_id: str, revision: str) -> str | None:
        """The commit of a revision; answers with the Hub's error where there is none."""
        if repo_id not in self.hub.repos:
            self._fail(401, "RepoNotFound")
        elif (repo_id, revision) not in self.hub.commits:
            self._fail(404, "RevisionNotFound")
        return self.hub.commits.get((repo_id, revision))

    def _resolve(self, repo_id: str, revision: str, path: str):
        commit = self._commit(repo_id, revision)
        if commit is None:
            return
        if repo_id in self.hub.gated:
            self._fail(403, "GatedRepo")
            return
        data = self.hub.repos[repo_id][commit].get(path)
        if data is None:
            self._fail(404, "EntryNotFound")
            return
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_etag(path, data)}"', "Accept-Ranges": "bytes"}
        if self.command == "HEAD":
            self._send(200, data, headers)
            return
        if self.hub.flip[path] > 0:
            self.hub.flip[path] -= 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut = 0 if path in self.hub.broken else self.hub.truncate.pop(path, None)
        self._send(206 if start else 200, data[start:], headers, cut)

    def _json(self, value):
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _fail(self, status: int, code: str):
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code, "Content-Type": "application/json"})

    def _send(self, status: int, data: bytes, headers: dict[str, str], cut: int | None = None):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:cut])

    def log_message(self, *args):
        pass


def _etag(path: str, data: bytes) -> str:
    """As the Hub has it: sha256 for large files (here: all weights), git's hash for the others."""
    if path.endswith(".safetensors"):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


def _tree_entry(path: str, data: bytes) -> dict:
    entry = {"type": "file", "path": path, "size": len(data), "oid": _etag(path, data)}
    if path.endswith(".safetensors"):
        entry |= {"oid": "0" * 40, "lfs": {"oid": _etag(path, data), "size": len(data), "pointerSize": 134}}
    return entry
