"""What `cmake --install` gives to programs in C++ is all they need, and what it says it is."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import scistream
from applications import application, echo, echoes
from facility import BIN, LIMIT, clean_environment, own_address, run
from guides import of_language

FLAGS = ("-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
OTHERS = "grpc|google|protobuf|absl|spdlog|fmt|boost|nlohmann|openssl|sqlite"
LIBRARIES = ("core", "client")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # compilers on a busy machine


def done(*words: object, cwd: Path | None = None) -> str:
    """What a tool prints; fails with all of it."""
    ended = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def installation() -> list[str]:
    """The words of the command that the page on C++ says."""
    (block,) = of_language("cpp", "sh")
    return shlex.split(block)


@pytest.fixture(scope="module")
def installed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is, which is not where it was installed to."""
    folder = tmp_path_factory.mktemp("sdk")
    words = installation()
    assert words[-2:] == ["--prefix", "$HOME/scistream"]
    done(*words[:-1], folder / "first", cwd=root)
    return (folder / "first").rename(folder / "moved")


def built(project: Path, build: Path, installed: Path) -> Path:
    """A project that knows nothing but where the library is."""
    generate = ("cmake", "-S", project, "-B", build, "-G", "Ninja")
    flags = " ".join(FLAGS[1:])
    done(*generate, f"-DCMAKE_PREFIX_PATH={installed}", f"-DCMAKE_CXX_FLAGS={flags}")
    done("cmake", "--build", build)
    return build


@pytest.fixture(scope="module")
def examples(root: Path, installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = shutil.copytree(root / "cpp/examples", tmp_path_factory.mktemp("examples") / "src")
    return built(project, project.parent / "build", installed)


def headers(installed: Path) -> list[Path]:
    return sorted((installed / "include/scistream").iterdir())


def library(installed: Path, name: str) -> Path:
    return installed / f"lib/libscistream-{name}.so"


# ---- programs ----------------------------------------------------------------------------------


def test_a_session_goes_from_request_to_release(examples: Path, tmp_path: Path) -> None:
    ended = run(examples / "one_session", env=clean_environment(tmp_path), cwd=tmp_path)
    assert ended.rc == 0, ended.err
    assert "equal: 8000000 of 8000000 bytes" in ended.out
    assert "sessions left: 0" in ended.out
    assert ended.err == ""


def test_a_session_goes_through_facilities_elsewhere(examples: Path, tmp_path: Path) -> None:
    with (
        scistream.ControlServer(listener_ip=own_address(), port=0) as prod,
        scistream.ControlServer(listener_ip=own_address(), port=0) as cons,
    ):
        (tmp_path / "server.crt").write_text(prod.certificate + cons.certificate)
        ended = run(
            examples / "one_session",
            prod.endpoint,
            cons.endpoint,
            env=clean_environment(tmp_path),
            cwd=tmp_path,
        )
    assert ended.rc == 0, ended.err
    assert "equal" in ended.out


def test_what_is_not_there_is_an_error_with_its_name(examples: Path, tmp_path: Path) -> None:
    ended = run(
        examples / "one_session",
        "127.0.0.1:9",
        "127.0.0.1:9",
        env=clean_environment(tmp_path),
        cwd=tmp_path,
        limit=60,
    )
    assert ended.rc == 1
    assert "127.0.0.1:9" in ended.err


def test_a_data_server_of_ones_own_carries_a_session(examples: Path, tmp_path: Path) -> None:
    ended = run(examples / "own_data_server", env=clean_environment(tmp_path), cwd=tmp_path)
    assert (ended.rc, ended.err) == (0, "")
    assert "equal: 3000000 bytes through Plain" in ended.out


def test_the_programs_of_the_page_stream(installed: Path, tmp_path: Path) -> None:
    project = tmp_path / "analysis"
    project.mkdir()
    (project / "CMakeLists.txt").write_text(*of_language("cpp", "cmake"))
    session, *others = of_language("cpp", "cpp")
    (project / "analysis.cpp").write_text(session)
    build = built(project, tmp_path / "build", installed)
    for number, text in enumerate(others):
        (tmp_path / f"{number}.cpp").write_text(text)
        compiled(installed, tmp_path / f"{number}.cpp")
    with (
        scistream.ControlServer(listener_ip=own_address(), port=0) as prod,
        scistream.ControlServer(listener_ip=own_address(), port=0) as cons,
        application(echoes) as app,
    ):
        (tmp_path / "server.crt").write_text(prod.certificate + cons.certificate)
        words = (build / "analysis", prod.endpoint, cons.endpoint, app.endpoint)
        with subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean_environment(tmp_path),
            cwd=tmp_path,
            text=True,
        ) as program:
            assert program.stdout
            where = program.stdout.readline().removeprefix("connect to ").strip()
            assert echo(where, b"a frame") == b"a frame"
            rest, _ = program.communicate("\n", timeout=LIMIT)
        assert (program.returncode, rest) == (0, "7 bytes\n")


def test_pkg_config_says_what_to_compile_and_link_with(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "version.cpp").write_text(
        "#include <cstdio>\n"
        "#include <scistream/version.hpp>\n"
        'int main() { std::printf("%s", scistream::version().data()); }\n'
    )
    for name in LIBRARIES:
        flags = subprocess.run(
            ["pkg-config", "--cflags", "--libs", f"scistream-{name}"],
            env={**os.environ, "PKG_CONFIG_PATH": str(installed / "lib/pkgconfig")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        program = tmp_path / name
        rpath = f"-Wl,-rpath,{installed}/lib"
        done("g++", *FLAGS, tmp_path / "version.cpp", *flags, rpath, "-o", program)
        assert done(program) == scistream.__version__


# ---- versions ----------------------------------------------------------------------------------


def test_every_part_has_the_same_version(root: Path, installed: Path, examples: Path) -> None:
    stated = re.search(
        r"project\(scistream VERSION ([0-9.]+)", (root / "CMakeLists.txt").read_text()
    )
    assert stated
    version = stated[1]
    package = (installed / "lib/cmake/scistream/scistreamConfigVersion.cmake").read_text()
    assert re.findall(r'^set\(PACKAGE_VERSION "(.*)"\)', package, re.M) == [version]
    assert scistream.__version__ == version
    assert f"scistream {version}" in run(examples / "one_session").out.splitlines()
    for command in ("s2cs", "s2uc", "s2ds", "appctrl"):
        assert run(BIN / command, "--version").out.split()[-1] == version
    minor = version.rpartition(".")[0]
    for name in LIBRARIES:
        table = done("readelf", "-d", library(installed, name))
        assert f"soname: [libscistream-{name}.so.{minor}]" in table
        assert library(installed, name).resolve().name == f"libscistream-{name}.so.{version}"
        said = (installed / f"lib/pkgconfig/scistream-{name}.pc").read_text()
        assert f"Version: {version}\n" in said


@pytest.mark.parametrize(("wanted", "found"), [("0.1", True), ("0.0", False), ("0.2", False)])
def test_another_minor_version_is_not_taken_for_it(
    installed: Path, tmp_path: Path, wanted: str, found: bool
) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(it LANGUAGES CXX)\n"
        f"find_package(scistream {wanted} QUIET)\nfile(WRITE found ${{scistream_FOUND}})\n"
    )
    done("cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={installed}")
    assert (tmp_path / "found").read_text() == str(int(found))


LIBRARY_HALF = """
#include <scistream/scistream.hpp>

// A facility and its client, in gRPC and the messages of the library; how many sessions it has.
extern "C" int sessions(const char* folder) {
  scistream::ControlServerOptions facility;
  facility.listener_ip = "127.0.3.1";
  facility.port = 0;
  facility.port_range = {37300, 37309};
  const auto server = scistream::ControlServer::start(facility);
  if (!server) return -1;
  scistream::ClientOptions trust;
  trust.roots = server->certificate();
  trust.state_dir = folder;
  auto client = scistream::UserClient::create(trust);
  if (!client) return -2;
  const auto info = client->info(server->endpoint());
  return info ? static_cast<int>(info->sessions) : -3;
}
"""
BOTH_HALVES = """
import ctypes, sys

def library():
    assert ctypes.CDLL(sys.argv[1]).sessions(sys.argv[2].encode()) == 0

def package():
    import scistream
    with scistream.LocalFacilities() as both, both.request(prod_app=["127.0.0.1:9"]) as session:
        assert len(session.status()) == 2

for half in sys.argv[3].split():
    {"library": library, "package": package}[half]()
print("ok")
"""


@pytest.fixture(scope="module")
def embedding(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a program that embeds Python has of the libraries."""
    folder = tmp_path_factory.mktemp("embedding")
    source = folder / "half.cpp"
    source.write_text(LIBRARY_HALF)
    place = installed / "lib"
    flags = ("-I", installed / "include", "-L", place, f"-Wl,-rpath,{place}")
    half = folder / "half.so"
    done("g++", *FLAGS, "-fPIC", "-shared", source, *flags, "-lscistream-client", "-o", half)
    return half


@pytest.mark.parametrize("order", ["library package library", "package library package"])
def test_library_and_package_work_in_one_process(
    order: str, embedding: Path, tmp_path: Path
) -> None:
    words = [sys.executable, "-c", BOTH_HALVES, embedding, tmp_path, order]
    assert done(*words, cwd=tmp_path) == "ok\n"


# ---- headers -----------------------------------------------------------------------------------


def compiled(installed: Path, source: Path, *flags: object) -> None:
    done("g++", *FLAGS, "-fsyntax-only", "-I", installed / "include", *flags, source)


def test_every_header_is_installed(root: Path, installed: Path) -> None:
    ours = {path.name for path in (root / "cpp/include/scistream").glob("*.hpp")}
    assert {path.name for path in headers(installed)} == ours


def test_every_header_compiles_alone(installed: Path, tmp_path: Path) -> None:
    def alone(header: Path) -> None:
        source = tmp_path / f"{header.stem}.cpp"
        source.write_text(f"#include <scistream/{header.name}>\n")
        compiled(installed, source)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(alone, headers(installed)))


def test_headers_know_the_standard_library_only(installed: Path) -> None:
    for header in headers(installed):
        text = header.read_text()
        for name in re.findall(r"#include ([<\"].*[>\"])", text):
            assert re.fullmatch(r'<[a-z_]+>|"scistream/[a-z_]+\.hpp"', name), (header.name, name)
        code = re.sub(r"//.*", "", text)
        assert re.findall(rf"\b(?:{OTHERS})\w*::", code) == [], header.name


def test_one_header_includes_all(installed: Path) -> None:
    text = (installed / "include/scistream/scistream.hpp").read_text()
    named = set(re.findall(r'#include "scistream/(.*)"', text))
    assert named == {path.name for path in headers(installed)} - {"scistream.hpp", "export.hpp"}


# ---- symbols -----------------------------------------------------------------------------------


def exported(installed: Path, name: str) -> Sequence[str]:
    table = done("nm", "-D", "-C", "--defined-only", library(installed, name))
    return [line.split(" ", 2)[2] for line in table.splitlines()]


def test_exported_is_what_headers_declare(installed: Path) -> None:
    declared = set(re.findall(r"\w+", "".join(path.read_text() for path in headers(installed))))
    for name in LIBRARIES:
        symbols = exported(installed, name)
        assert len(symbols) > 20
        for symbol in symbols:
            function = re.sub(r"\[abi:\w+\]|\(.*", "", symbol)
            assert function.startswith("scistream::v0::"), symbol
            assert set(re.findall(r"\w+", function)) <= declared, symbol
            assert not re.search(OTHERS, symbol), symbol


def test_each_symbol_is_of_one_library(installed: Path) -> None:
    core, client = (set(exported(installed, name)) for name in LIBRARIES)
    assert core & client == set()
    assert any(symbol.startswith("scistream::v0::Secret::") for symbol in core)
    assert any(symbol.startswith("scistream::v0::UserClient::") for symbol in client)


def test_the_core_needs_no_grpc(installed: Path) -> None:
    needed = re.findall(r"NEEDED.*\[(.*)\]", done("readelf", "-d", library(installed, "core")))
    assert not [name for name in needed if re.search("grpc|protobuf|absl|gpr", name)]
    client = done("readelf", "-d", library(installed, "client"))
    assert re.search(r"NEEDED.*\[libscistream-core\.so", client)


def test_nothing_tells_where_it_was_built(root: Path, installed: Path) -> None:
    telling = [
        path.relative_to(installed)
        for path in installed.rglob("*")
        if path.is_file() and str(root).encode() in path.read_bytes()
    ]
    assert telling == []
