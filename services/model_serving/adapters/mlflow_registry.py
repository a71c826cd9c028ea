"""The registry behind MLflow's REST interface: aliases, tags, and bundles as proxied artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import httpx

from services.model_serving.ports import BrokenVersion, RegistryUnavailable

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
TIMEOUT_S = 5.0
MAX_FILES, MAX_BYTES = 64, 512 * 1024 * 1024
GONE = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "RESOURCE_NOT_FOUND", "NOT_FOUND"}


class MlflowRegistry:
    """One registered model of one MLflow server (3.x) that proxies its artifacts."""

    def __init__(self, uri: str, model_name: str, client: httpx.Client | None = None) -> None:
        self._name = model_name
        self._uri = uri.rstrip("/")
        self._client = client or httpx.Client(timeout=TIMEOUT_S, trust_env=False)

    def aliases(self) -> Mapping[str, int] | None:
        try:
            model = self._get(f"{API}/registered-models/get", name=self._name)["registered_model"]
        except BrokenVersion:
            return None
        try:
            return {entry["alias"]: int(entry["version"]) for entry in model.get("aliases", [])}
        except (KeyError, TypeError, ValueError) as error:
            raise RegistryUnavailable(f"{self._uri}: an answer without aliases: {error!r}") from error

    def fetch(self, version: int, folder: Path) -> None:
        root = self._artifact_root(version)
        pending, files, size = [PurePosixPath()], 0, 0
        while pending:
            here = pending.pop()
            for entry in self._list(root / here):
                path = here / self._plain(entry["path"], root / here)
                if entry.get("is_dir"):
                    pending.append(path)
                    continue
                files += 1
                size += int(entry.get("file_size") or 0)
                if files > MAX_FILES or size > MAX_BYTES:
                    raise BrokenVersion(f"more than {MAX_FILES} files or {MAX_BYTES} bytes")
                self._download(root / path, folder / path)
        if files == 0:
            raise BrokenVersion(f"version {version} has no artifacts under {root}")

    def tag(self, version: int, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            content = {"name": self._name, "version": str(version), "key": key, "value": value[:5000]}
            self._json(self._send("POST", f"{API}/model-versions/set-tag", json=content))

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

    def _list(self, folder: PurePosixPath) -> list[dict[str, Any]]:
        entries = self._get(ARTIFACTS, path=str(folder)).get("files", [])
        if not isinstance(entries, list):
            raise RegistryUnavailable(f"{self._uri}: a listing that is no list")
        return entries

    @staticmethod
    def _plain(name: str, folder: PurePosixPath) -> PurePosixPath:
        """One name inside a listed folder, whichever root the server counted it from."""
        plain = PurePosixPath(name).name
        if plain in ("", ".", ".."):
            raise BrokenVersion(f"{folder}: a file named {name!r}")
        return PurePosixPath(plain)

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
