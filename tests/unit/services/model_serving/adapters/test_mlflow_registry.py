"""MLflow's answers, good, broken and hostile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.model_serving.adapters.mlflow_registry import MlflowRegistry
from services.model_serving.ports import BrokenVersion, Registered, RegistryUnavailable

MISSING = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not found"}
Handler = Callable[[httpx.Request], httpx.Response]


def registry(handler: Handler) -> MlflowRegistry:
    return MlflowRegistry("http://mlflow/", "M", httpx.Client(transport=httpx.MockTransport(handler)))


def always(status: int, **content: Any) -> Handler:
    return lambda request: httpx.Response(status, **content)


class Server:
    """One version whose bundle lies in `files`; `listing` replaces what the folder's listing says."""

    def __init__(self, files: dict[str, bytes], source: str = "runs:/r1/bundle") -> None:
        self.files = files
        self.source = source
        self.listing: list[dict[str, Any]] | None = None
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        route = request.url.path
        self.asked.append(route)
        if route.endswith("get-download-uri"):
            return httpx.Response(200, json={"artifact_uri": self.source})
        if route.endswith("runs/get"):
            return httpx.Response(200, json={"run": {"info": {"artifact_uri": "mlflow-artifacts:/1/r1/artifacts"}}})
        if route.endswith("mlflow-artifacts/artifacts"):
            return httpx.Response(200, json={"files": self.list(request.url.params["path"])})
        inside = route.partition("artifacts/1/r1/artifacts/bundle/")[2]
        if inside in self.files:
            return httpx.Response(200, content=self.files[inside])
        return httpx.Response(404, json=MISSING)

    def list(self, path: str) -> list[dict[str, Any]]:
        if self.listing is not None:
            return self.listing
        here = path.removeprefix("1/r1/artifacts/bundle").lstrip("/")
        inside = [name.removeprefix(f"{here}/") for name in self.files if not here or name.startswith(f"{here}/")]
        entries = [{"path": name, "is_dir": False, "file_size": 1} for name in inside if "/" not in name]
        return entries + [
            {"path": folder, "is_dir": True} for folder in {n.partition("/")[0] for n in inside if "/" in n}
        ]


def test_aliases_are_versions_by_name() -> None:
    aliases = [{"alias": "champion", "version": "3"}, {"alias": "canary", "version": "4"}]
    found = registry(always(200, json={"registered_model": {"name": "M", "aliases": aliases}})).registered()
    assert found == Registered({"champion": 3, "canary": 4}, None)
    assert registry(always(200, json={"registered_model": {"name": "M"}})).registered() == Registered({}, None)
    assert registry(always(404, json=MISSING)).registered() is None


def test_the_newest_version_is_the_one_registered_last_whatever_its_aliases() -> None:
    versions = [{"version": "3", "creation_timestamp": 1_700}, {"version": "2", "creation_timestamp": 1_900}]
    found = registry(always(200, json={"registered_model": {"name": "M", "latest_versions": versions}})).registered()
    assert found == Registered({}, 1_900_000_000)
    answer = {"model_version": {"version": "3", "creation_timestamp": 1_700}}
    assert registry(always(200, json=answer)).created(3) == 1_700_000_000


def test_an_empty_tag_is_taken_away_and_one_that_is_gone_is_no_problem() -> None:
    asked: list[tuple[str, str]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path.rpartition("/")[2]))
        return httpx.Response(404, json=MISSING) if request.method == "DELETE" else httpx.Response(200, json={})

    registry(handler).tag(1, {"a": "", "b": "said"})
    assert asked == [("DELETE", "delete-tag"), ("POST", "set-tag")]


@pytest.mark.parametrize(
    "handler",
    [
        always(500, text="oops"),
        always(200, text="<html>a proxy's page</html>"),
        always(200, json=[1]),
        always(503, json={"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"}),
        always(403, text="Invalid Host header"),
        always(200, json={"registered_model": {"aliases": [{"alias": "champion", "version": "x"}]}}),
        always(200, json={"registered_model": {"aliases": [{"alias": "champion"}]}}),
        always(200, json={"other": 1}),
    ],
)
def test_nonsense_is_a_registry_that_is_away_and_never_a_wish(handler: Handler) -> None:
    with pytest.raises(RegistryUnavailable, match="http://mlflow"):
        registry(handler).registered()


def test_a_refused_connection_is_a_registry_that_is_away() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    subject = registry(refuse)
    for ask in (subject.registered, lambda: subject.tag(1, {"a": "b"})):
        with pytest.raises(RegistryUnavailable, match="refused"):
            ask()


def test_a_bundle_comes_with_its_folders(tmp_path: Path) -> None:
    files = {"files.json": b"1", "members/a.txt": b"2", "verdicts/integrity.sig": b"3"}
    registry(Server(files)).fetch(1, tmp_path)
    assert {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == files


@pytest.mark.parametrize("source", ["file:///etc", "s3://bucket/x", "", "models:/m-1"])
def test_artifacts_elsewhere_are_not_fetched(tmp_path: Path, source: str) -> None:
    with pytest.raises(BrokenVersion, match="not among the server's proxied artifacts"):
        registry(Server({}, source)).fetch(1, tmp_path)


@pytest.mark.parametrize("name", ["..", "../../evil", "/etc/passwd", "a/../../evil"])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    server = Server({"evil": b"x", "passwd": b"x"})
    server.listing = [{"path": name, "is_dir": False, "file_size": 1}]
    folder = tmp_path / "in" / "side"
    folder.mkdir(parents=True)
    if name == "..":
        with pytest.raises(BrokenVersion, match="named"):
            registry(server).fetch(1, folder)
    else:
        registry(server).fetch(1, folder)
        assert {path.name for path in folder.iterdir()} <= {"evil", "passwd"}
    assert {path.name for path in tmp_path.rglob("*") if path.is_file() and folder not in path.parents} == set()


def test_too_much_is_refused_before_it_is_fetched(tmp_path: Path) -> None:
    server = Server({})
    server.listing = [{"path": "big", "is_dir": False, "file_size": 10**12}]
    with pytest.raises(BrokenVersion, match="more than"):
        registry(server).fetch(1, tmp_path)
    with pytest.raises(BrokenVersion, match="more than"):
        registry(Server({f"f{n}": b"" for n in range(100)})).fetch(1, tmp_path)


def test_no_artifacts_is_a_broken_version_and_a_listed_but_missing_file_too(tmp_path: Path) -> None:
    with pytest.raises(BrokenVersion, match="has no artifacts"):
        registry(Server({})).fetch(1, tmp_path)
    server = Server({})
    server.listing = [{"path": "ghost", "is_dir": False, "file_size": 1}]
    with pytest.raises(BrokenVersion, match="not there"):
        registry(server).fetch(1, tmp_path)


def test_folders_without_end_are_refused(tmp_path: Path) -> None:
    server = Server({})
    server.listing = [{"path": "again", "is_dir": True}]
    with pytest.raises(BrokenVersion, match="more than"):
        registry(server).fetch(1, tmp_path)


def test_a_connection_cut_in_the_middle_of_a_file_is_tried_again_later(tmp_path: Path) -> None:
    server = Server({"files.json": b"1"})

    def cut(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("files.json"):
            raise httpx.ReadError("cut", request=request)
        return server(request)

    with pytest.raises(RegistryUnavailable, match="cut"):
        registry(cut).fetch(1, tmp_path)


def test_a_tag_on_a_version_that_is_gone_is_a_broken_version() -> None:
    with pytest.raises(BrokenVersion):
        registry(always(404, json=MISSING)).tag(1, {"a": "b"})
