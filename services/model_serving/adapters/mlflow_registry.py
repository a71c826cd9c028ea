"""The registry behind MLflow's REST interface: aliases, tags, and bundles as proxied artifacts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import httpx

from services.model_serving.ports import BrokenVersion, Registered, RegistryUnavailable

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
TIMEOUT_S = 5.0
MS = 1_000_000
MAX_FILES, MAX_BYTES = 64, 512 * 1024 * 1024
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
GONE = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "RESOURCE_NOT_FOUND", "NOT_FOUND"}


class MlflowRegistry:
    """One registered model of one MLflow server (3.x) that proxies its artifacts."""

    def __init__(self, uri: str, model_name: str, client: httpx.Client | None = None) -> None:
        self._name = model_name
        self._uri = uri.rstrip("/")
        self._client = client or httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    def registered(self) -> Registered | None:
        try:
            answer = self._get(f"{API}/registered-models/get", name=self._name)
        except BrokenVersion:
            return None
        with self._in_its_form():
            model = answer["registered_model"]
            aliases = {entry["alias"]: int(entry["version"]) for entry in model.get("aliases", [])}
            # the newest of each stage; without stages (they are gone from MLflow) that is the newest of all
            created = [int(entry["creation_timestamp"]) * MS for entry in model.get("latest_versions", [])]
            return Registered(aliases, max(created, default=None))

    def created(self, version: int) -> int:
        answer = self._get(f"{API}/model-versions/get", name=self._name, version=str(version))
        with self._in_its_form():
            return int(answer["model_version"]["creation_timestamp"]) * MS

    def fetch(self, version: int, folder: Path) -> None:
        with self._in_its_form():
            root = self._artifact_root(version)
            files = self._walk(root)
        for path in files:
            self._download(root / path, folder / path)
        if not files:
            raise BrokenVersion(f"version {version} has no artifacts under {root}")

    def tag(self, version: int, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            content = {"name": self._name, "version": str(version), "key": key}
            if value:
                self._json(self._send("POST", f"{API}/model-versions/set-tag", json=content | {"value": value[:5000]}))
            else:
                with suppress(BrokenVersion):  # it is gone already
                    self._json(self._send("DELETE", f"{API}/model-versions/delete-tag", json=content))

    def close(self) -> None:
        self._client.close()

    def _artifact_root(self, version: int) -> PurePosixPath:
        found = self._get(f"{API}/model-versions/get-download-uri", name=self._name, version=str(version))
        uri = str(found.get("artifact_uri", ""))
        if uri.startswith("runs:/"):
            run_id, _, inside = uri.removeprefix("runs:/").partition("/")
            run = self._get(f"{API}/runs/get", run_id=run_id)["run"]["info"]["artifact_uri"]
            uri = f"{run}/{inside}"
        if not uri.startswith("mlflow-artifacts:/"):
            raise BrokenVersion(
                f"version {version} lies at {uri or 'nowhere'}, not among the server's proxied artifacts"
            )
        return PurePosixPath(uri.removeprefix("mlflow-artifacts:").lstrip("/"))

    def _walk(self, root: PurePosixPath) -> list[PurePosixPath]:
        """Every file below a folder, relative to it; BrokenVersion for too many, too large or oddly named ones."""
        pending, files = [PurePosixPath()], list[PurePosixPath]()
        entries = size = 0
        while pending:
            here = pending.pop()
            for entry in self._get(ARTIFACTS, path=str(root / here)).get("files", []):
                path = here / _plain_name(entry["path"])
                entries += 1
                size += int(entry.get("file_size") or 0)
                if entries > MAX_FILES or size > MAX_BYTES:
                    raise BrokenVersion(f"more than {MAX_FILES} files or {MAX_BYTES} bytes")
                (pending if entry.get("is_dir") else files).append(path)
        return files

    def _download(self, source: PurePosixPath, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        try:
            with self._client.stream("GET", f"{self._uri}{ARTIFACTS}/{source}") as answer, target.open("wb") as out:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    raise BrokenVersion(f"{source} is listed but not there")
                answer.raise_for_status()
                for chunk in answer.iter_bytes():
                    size += len(chunk)
                    if size > MAX_BYTES:
                        raise BrokenVersion(f"{source}: more than {MAX_BYTES} bytes")
                    out.write(chunk)
        except httpx.HTTPError as error:
            raise RegistryUnavailable(f"{self._uri}: {source}: {error}") from error

    def _get(self, route: str, /, **params: str) -> dict[str, Any]:
        return self._json(self._send("GET", route, params=params))

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._client.request(method, f"{self._uri}{path}", **content)
        except httpx.HTTPError as error:
            raise RegistryUnavailable(f"{self._uri}: {error or type(error).__name__}") from error

    @contextmanager
    def _in_its_form(self) -> Iterator[None]:
        """An answer without the fields that MLflow always gives is no answer of MLflow."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RegistryUnavailable(f"{self._uri}: an answer in another form: {error!r}") from error

    def _json(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            content = answer.json()
        except ValueError as error:
            raise RegistryUnavailable(f"{self._uri}: HTTP {answer.status_code}, no JSON") from error
        if not isinstance(content, dict):
            raise RegistryUnavailable(f"{self._uri}: HTTP {answer.status_code}, no object")
        if answer.is_success:
            return content
        code, message = str(content.get("error_code", "")), str(content.get("message", ""))
        if code in GONE:
            raise BrokenVersion(f"{code}: {message}")
        raise RegistryUnavailable(f"{self._uri}: HTTP {answer.status_code} {code} {message}".rstrip())


def _plain_name(path: str) -> str:
    """The last part of a listed path, whichever root the server counted it from."""
    name = PurePosixPath(path).name
    if NAME.fullmatch(name) is None:
        raise BrokenVersion(f"a file named {path!r}")
    return name
