"""Packages from an address: resumed, verified, whole or not at all; from servers that break off, lie and redirect."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPMessage
from pathlib import Path

import pytest
from tiny_model import one_sentence, write_tiny_package

from SITTranslateLib.app.main import run
from SITTranslateLib.errors import PackageError
from SITTranslateLib.packages import download as downloading
from SITTranslateLib.packages import load, open_package, signature
from SITTranslateLib.packages.download import add_package
from SITTranslateLib.packages.index import read_index, write_index

WEIGHTS = "weights.safetensors"


class Server:
    """An HTTP server on this machine that serves a folder, with ranges, and what a test puts in their way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str | None]] = []
        #: By file name: answers instead of the folder.
        self.answers: dict[str, Callable[[http.server.BaseHTTPRequestHandler, bytes], None]] = {}
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[-1]
                server.asked.append((name, self.headers.get("Range")))
                path = server.folder / name
                content = path.read_bytes() if path.is_file() else b""
                if name in server.answers:
                    server.answers[name](self, content)
                elif not path.is_file():
                    self.send_error(404)
                else:
                    ranged(self, content)

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/models/tiny"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def ranged(request: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
    start = int((request.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    request.send_response(206 if start else 200)
    request.send_header("Content-Length", str(len(content) - start))
    request.end_headers()
    request.wfile.write(content[start:])


def without_ranges(request: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_response(200)
    request.end_headers()
    request.wfile.write(content)


def breaking_off(request: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
    """Half of what is left, then the connection ends."""
    start = int((request.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    request.send_response(206 if start else 200)
    request.send_header("Content-Length", str(len(content) - start))
    request.end_headers()
    request.wfile.write(content[start : start + max(1, (len(content) - start) // 2)])
    request.close_connection = True


def endless(request: http.server.BaseHTTPRequestHandler, _content: bytes) -> None:
    request.send_response(200)
    request.end_headers()
    try:
        for _ in range(4000):
            request.wfile.write(bytes(1 << 16))
    except OSError:
        pass


def redirecting(to: str) -> Callable[[http.server.BaseHTTPRequestHandler, bytes], None]:
    def answer(request: http.server.BaseHTTPRequestHandler, _content: bytes) -> None:
        request.send_response(302)
        request.send_header("Location", to)
        request.end_headers()

    return answer


@pytest.fixture
def offered(tmp_path: Path) -> Path:
    return write_tiny_package(tmp_path / "offered", name="tiny").folder


@pytest.fixture
def server(offered: Path) -> Iterator[Server]:
    made = Server(offered)
    yield made
    made.close()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_package_comes_whole(server: Server, models: Path, offered: Path) -> None:
    seen: list[int] = []
    added = add_package(server.address, into=models, progress=lambda name, there, whole: seen.append(there))
    assert contents(models) == {f"tiny-0.1.0/{name}": data for name, data in contents(offered).items()}
    assert added.signer == "" and load(added.package)
    assert seen[-1] == added.package.bytes
    assert add_package(server.address + "/model.json", into=models).package.sha256 == added.package.sha256


def test_a_broken_download_goes_on_where_it_stopped(server: Server, models: Path, offered: Path) -> None:
    server.answers[WEIGHTS] = breaking_off
    for _ in range(2):
        with pytest.raises(PackageError, match=r"broke off.*next try goes on|connection broke off") as caught:
            add_package(server.address, into=models)
        assert one_sentence(str(caught.value))
        assert [p.suffix for p in models.iterdir()] == [".part"]
    del server.answers[WEIGHTS]
    add_package(server.address, into=models)
    size = (offered / WEIGHTS).stat().st_size
    starts = [int(r.removeprefix("bytes=").rstrip("-")) for name, r in server.asked if name == WEIGHTS and r]
    assert len(starts) == 2 and 0 < starts[0] < starts[1] < size
    assert [p.name for p in models.iterdir()] == ["tiny-0.1.0"]


def test_a_server_without_ranges_sends_all_again(server: Server, models: Path) -> None:
    server.answers[WEIGHTS] = breaking_off
    with pytest.raises(PackageError):
        add_package(server.address, into=models)
    server.answers[WEIGHTS] = without_ranges
    assert load(add_package(server.address, into=models).package)


def altered(request: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
    without_ranges(request, content[:-1] + bytes([content[-1] ^ 1]))


LIES: dict[str, tuple[str, Callable[[http.server.BaseHTTPRequestHandler, bytes], None], str]] = {
    "altered": (WEIGHTS, altered, "came altered"),
    "too short": (WEIGHTS, lambda r, c: without_ranges(r, c[:-5]), "broke off"),
    "endless weights": (WEIGHTS, endless, "came altered"),
    "endless card": ("model.json", endless, "larger than one can be"),
    "no weights": (WEIGHTS, lambda r, c: r.send_error(404), "server answers 404"),
    "no card": ("model.json", lambda r, c: r.send_error(500), "server answers 500"),
    "no card but a page": ("model.json", lambda r, c: without_ranges(r, b"<html>"), "cannot be read as JSON"),
    "nonsense": ("model.json", lambda r, c: r.wfile.write(b"\0\1\2 no HTTP\r\n\r\n"), "cannot be reached"),
    "to a file": ("model.json", redirecting("file:///etc/passwd"), r"by https|answers 302"),
    "to another machine": ("model.json", redirecting("http://192.0.2.1/model.json"), "by https"),
    "in a circle": ("model.json", redirecting("model.json"), r"server answers 302|cannot be reached"),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_a_server_lies_about_is_refused_and_changes_nothing(lie: str, server: Server, models: Path) -> None:
    add_package(server.folder, into=models)
    before = contents(models)
    server.answers[LIES[lie][0]] = LIES[lie][1]
    with pytest.raises(PackageError, match=LIES[lie][2]) as caught:
        add_package(server.address, into=models)
    assert one_sentence(str(caught.value))
    assert {name: data for name, data in contents(models).items() if not name.endswith(".part")} == before


@pytest.mark.parametrize(
    "address",
    ["http://192.0.2.7/x", "ftp://127.0.0.1/x", "file:///etc", "https://user:secret@192.0.2.7/x", "https://[/"],
)
def test_only_safe_addresses_are_asked(address: str, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_: pytest.fail("it connected"))
    with pytest.raises(PackageError) as caught:
        add_package(address, into=models)
    assert "secret" not in str(caught.value) and str(caught.value).endswith(".")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_no_proxy_is_asked_for_this_machine(
    name: str, server: Server, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    proxy = Server(tmp_path / "empty")
    for variable in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("http_proxy", proxy.address.removesuffix("/models/tiny"))
    try:
        assert add_package(server.address.replace("127.0.0.1", name), into=models).package.name == "tiny"
        assert proxy.asked == [] and server.asked
    finally:
        proxy.close()


def test_a_server_elsewhere_cannot_send_to_this_machine() -> None:
    request = urllib.request.Request("https://models.example.org/tiny/model.json")
    with pytest.raises(PackageError, match="points to an address of this machine"):
        downloading._SafeRedirects().redirect_request(
            request, io.BytesIO(), 302, "Found", HTTPMessage(), "http://127.0.0.1:8080/model.json"
        )


def test_a_silent_server_is_given_up(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "PATIENCE", 0.2)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with pytest.raises(PackageError, match="does not answer"):
            add_package(f"http://127.0.0.1:{listening.getsockname()[1]}/m", into=models)


def test_a_full_disk_leaves_the_cache_as_it_was(server: Server, models: Path) -> None:
    add_package(server.folder, into=models)
    before = contents(models)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))
    try:
        for place in (server.address, server.folder):
            with pytest.raises(PackageError, match="disk is full") as caught:
                add_package(place, into=models)
            assert one_sentence(str(caught.value))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(models) == before


def test_no_room_is_said_before_the_download(server: Server, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))  # type: ignore[attr-defined]
    with pytest.raises(PackageError, match="no room"):
        add_package(server.address, into=models)
    assert WEIGHTS not in [name for name, _ in server.asked]


def test_a_place_that_may_not_be_written_is_a_sentence(offered: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(PackageError, match="may not be written") as caught:
        add_package(offered, into=tmp_path / "file" / "models")
    assert one_sentence(str(caught.value))


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A private key whose public one is trusted."""
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    import base64

    private = ed25519.Ed25519PrivateKey.generate()
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    (tmp_path / "keys.txt").write_text(f"# whom we trust\n{public} The imaging lab\n")
    monkeypatch.setenv(signature.ENVIRONMENT, str(tmp_path / "keys.txt"))
    raw: bytes = private.private_bytes_raw()
    return raw


def test_a_signed_package_says_who_signed_it(server: Server, models: Path, key: bytes) -> None:
    with pytest.raises(PackageError, match="not signed"):
        add_package(server.address, into=models, require_signature=True)
    signature.sign(server.folder, key)
    assert add_package(server.address, into=models, require_signature=True).signer == "The imaging lab"
    assert add_package(server.folder, into=models).signer == "The imaging lab"


def test_a_stranger_s_or_broken_signature_is_refused(
    server: Server, models: Path, key: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signature.sign(server.folder, bytes(range(32)))
    assert add_package(server.folder, into=models).signer == ""
    with pytest.raises(PackageError, match="signed by nobody that you trust"):
        add_package(server.address, into=models, require_signature=True)
    signature.sign(server.folder, key)
    card = server.folder / "model.json"
    card.write_text(card.read_text(encoding="utf-8").replace("Tiny test model", "Other model"))
    with pytest.raises(PackageError, match="altered after it was signed"):
        add_package(server.address, into=models, require_signature=True)
    (server.folder / signature.SIGNATURE_FILE).write_text("no base64!")
    with pytest.raises(PackageError, match="is not one"):
        add_package(server.address, into=models)
    signature.sign(server.folder, key)
    (tmp_path / "keys.txt").write_text("abc nobody\n")
    with pytest.raises(PackageError, match="Line 1 of the list"):
        add_package(server.address, into=models)


def test_the_command_adds_and_then_lists(
    server: Server, models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SITTRANSLATE_MODELS", str(models))
    assert run(["models", "add", server.address]) == 0
    printed = capsys.readouterr().out
    assert "Added: Tiny test model" in printed and "nobody that you trust" in printed
    assert run(["models", "--json"]) == 0
    assert "tiny" in [m["name"] for m in json.loads(capsys.readouterr().out)]
    assert run(["models", "add"]) == 2
    assert run(["models", "add", "no-such-folder"]) == 2
    assert open_package(models / "tiny-0.1.0").card.name == "tiny"


def test_an_index_is_written_searched_and_fetched_from(
    server: Server, models: Path, offered: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the folder of a publisher to a model of another user, over a plain server."""
    monkeypatch.setenv("SITTRANSLATE_MODELS", str(models))
    write_tiny_package(offered / "second", name="second")
    offered_files = {f.name for f in offered.iterdir() if f.is_file()}
    (offered / "tiny-1").mkdir()
    for name in offered_files:
        shutil.copy(offered / name, offered / "tiny-1" / name)
    assert run(["package", "index", str(offered)]) == 0
    written = json.loads((offered / "index.json").read_text(encoding="utf-8"))
    assert [(p["name"], p["version"], p["folder"]) for p in written["packages"]] == [
        ("second", "0.1.0", "second"), ("tiny", "0.1.0", "tiny-1")
    ]  # fmt: skip
    assert written["packages"][1]["sha256"] == hashlib.sha256((offered / "model.json").read_bytes()).hexdigest()
    capsys.readouterr()
    assert run(["models", "search", "tiny T1w", "--index", server.address + "/index.json"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("second 0.1.0") and "tiny 0.1.0" in told and "models add NAME" in told
    monkeypatch.setenv("SITTRANSLATE_INDEX", server.address)
    assert run(["models", "search", "nothing-like-it"]) == 0 and "No model" in capsys.readouterr().out
    # The server of the test serves every file of that name from one folder: 'tiny'.
    assert run(["models", "add", "tiny"]) == 0
    assert open_package(models / "tiny-0.1.0").name == "tiny"
    assert run(["models", "add", "second"]) == 2
    assert "not the one that the index names" in capsys.readouterr().err
    assert run(["models", "add", "third"]) == 2 and "offers no model 'third'" in capsys.readouterr().err
    assert run(["models", "add", "second", "--index", str(offered)]) == 0


OUTSIDE = {"name": "x", "version": "1.0.0", "title": "", "system": "", "source": "", "licence": "", "targets": []}
OUTSIDE |= {"bytes": 1, "sha256": "0" * 64, "folder": "../../x"}
NO_INDEX: list[object] = [[], 5, {"packages": 5}, {"packages": [{"name": "x"}]}, {"packages": [OUTSIDE]}]


@pytest.mark.parametrize("content", [b"<html>", b"[" * 100_000, *(json.dumps(raw).encode() for raw in NO_INDEX)])
def test_what_is_no_index_is_refused_in_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_bytes(content)
    with pytest.raises(PackageError, match="index of models is not understood") as caught:
        read_index(str(tmp_path))
    assert one_sentence(str(caught.value))


def test_no_index_is_looked_for_without_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SITTRANSLATE_INDEX", raising=False)
    with pytest.raises(PackageError, match="Give the address of an index"):
        read_index()
    with pytest.raises(PackageError, match="no model package in"):
        write_index(tmp_path)


def test_no_network_unless_asked(models: Path) -> None:
    """Listing, finding and importing in a process that may not open a socket."""
    code = (
        "import socket, sys\n"
        "def no(*a, **k): raise SystemExit('a socket was opened')\n"
        "socket.socket.connect = no; socket.create_connection = no; socket.getaddrinfo = no\n"
        "from SITTranslateLib.app.main import run\n"
        "import SITTranslateLib.translate.pipeline\n"
        "sys.exit(run(['models', '--json']))\n"
    )
    environment = {**os.environ, "SITTRANSLATE_MODELS": str(models)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True).returncode == 0
