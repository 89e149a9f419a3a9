"""The generated references hold all that they are made of, and say what is said there."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

import scistream
import scistream.aio
import scistream.arrays
import scistream.plot
from facility import BIN, run
from generators import build, cpp_reference, markup, python_reference, wire_reference

MODULES = [scistream, scistream.aio, scistream.arrays, scistream.plot]


def plain(text: str) -> str:
    """Markdown without what only protects it."""
    return re.sub(r"\\([^\w\s]|_)", r"\1", text)


def section(page: str, heading: str) -> str:
    """From a heading to the next one of its level or above."""
    level, title = heading.split(" ", 1)
    end = rf"^#{{1,{len(level)}}} "
    found = re.search(rf"^{level} {re.escape(title)}\n(.*?)(?={end}|\Z)", page, re.M | re.S)
    assert found, f"no heading {heading!r}"
    return found[1]


# ---- the wire ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wire(root: Path) -> str:
    return wire_reference.pages(root)["wire.md"]


def sources(root: Path) -> str:
    return "\n".join(path.read_text() for path in sorted((root / "proto").rglob("*.proto")))


def test_every_field_is_on_the_page_with_what_is_said_of_it(wire: str, root: Path) -> None:
    """By patterns, which know nothing of the compiler that the page is made by."""
    found = 0
    for name, body in re.findall(r"^message (\w+) \{(.*?)\}", sources(root), re.M | re.S):
        here = section(wire, f"### {name}")
        above: list[str] = []
        for line in body.splitlines():
            field = re.match(r" *([\w<>, ]+?) (\w+) = (\d+);(?: *// (.*))?", line)
            if field:
                said = " ".join([*above, *([field[4]] if field[4] else [])])
                row = re.search(rf"^\| `{field[2]}` \| (.*) \| {field[3]} \| (.*) \|$", here, re.M)
                assert row, f"{name}.{field[2]}"
                assert re.sub(r"[`\[\]]|\(#\w+\)", "", row[1]) == field[1]
                assert plain(row[2]) == said
                above = []
                found += 1
            elif comment := re.match(r" *// (.*)", line):
                above.append(comment[1])
    assert found == len(re.findall(r"^  [^/\n]*= \d+;", sources(root), re.M)) > 100


def test_every_call_is_on_the_page_with_what_is_said_of_it(wire: str, root: Path) -> None:
    found = 0
    for service, body in re.findall(r"^service (\w+) \{(.*?)^\}", sources(root), re.M | re.S):
        calls = r"((?:^  //.*\n)*)^  (rpc (\w+)\(.*\) returns \(.*\);)"
        for said, written, name in re.findall(calls, body, re.M):
            here = section(wire, f"#### {service}.{name}")
            assert written in here
            assert re.sub(r"^  // ", "", said, flags=re.M).strip() in plain(here)
            found += 1
    assert found == sources(root).count("  rpc ") > 10


def test_what_is_said_of_a_whole_file_begins_its_part(wire: str, root: Path) -> None:
    for file in (root / "proto").rglob("*.proto"):
        first = file.read_text().partition("\n")[0].removeprefix("// ")
        assert plain(section(wire, f"## {file.name}")).lstrip().startswith(first)


def test_what_the_files_do_not_use_yet_would_be_shown(tmp_path: Path) -> None:
    (tmp_path / "proto").mkdir()
    (tmp_path / "proto/later.proto").write_text(
        textwrap.dedent("""\
        // Of a file.
        syntax = "proto3";
        package later;
        // Of an enumeration.
        enum Way {
          UP = 0;  // against <gravity>
          DOWN = 1;
        }
        message Outer {
          // Of what is inside.
          message Inner { optional bool is_set = 1; }
          oneof choice {
            Inner inner = 2;  // as a | b
            Way way = 3 [deprecated = true];
          }
          map<string, Inner> by_name = 4;
        }
        message Nothing {}
        service Talk { rpc both(stream Outer) returns (stream Nothing); }
        """)
    )
    page = wire_reference.pages(tmp_path)["wire.md"]
    assert "Of a file." in section(page, "## later.proto")
    assert "Of an enumeration." in section(page, "### Way")
    assert "| `UP` | 0 | against \\<gravity> |" in section(page, "### Way")
    assert "| `is_set` | `optional bool` | 1 |" in section(page, "### Outer.Inner")
    outer = section(page, "### Outer")
    assert "| `inner` | `Inner` | 2 | as a \\| b One of `choice`. |" in outer
    assert "| `way` | [`Way`](#way) | 3 | One of `choice`. Deprecated. |" in outer
    assert "| `by_name` | `map<string, Inner>` | 4 |" in outer
    assert "It is empty." in section(page, "### Nothing")
    assert "rpc both(stream Outer) returns (stream Nothing);" in section(page, "#### Talk.both")


def test_files_that_do_not_compile_are_no_page(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="cannot be compiled"):
        wire_reference.pages(tmp_path)
    (tmp_path / "proto").mkdir()
    (tmp_path / "proto/wrong.proto").write_text('syntax = "proto3";\nmessage {')
    with pytest.raises(ValueError, match="cannot be compiled"):
        wire_reference.pages(tmp_path)
    assert "wrong.proto:2" in capfd.readouterr().err


# ---- Python ------------------------------------------------------------------------------------


def methods(kind: type) -> list[str]:
    ours = [base for base in kind.__mro__ if base.__module__.startswith("scistream")]
    names = {name for base in ours for name, value in vars(base).items() if callable(value)}
    names |= {name for base in ours for name, of in vars(base).items() if isinstance(of, property)}
    return sorted(name for name in names if not name.startswith("_"))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_public_name_is_on_its_page(module: ModuleType) -> None:
    page = python_reference.pages()[f"{module.__name__.replace('.', '-')}.md"]
    headings = re.findall(r"^## (.*)", page, re.M)
    assert sorted(set(headings) - {"The format"}) == sorted(module.__all__)
    for name in module.__all__:
        value = getattr(module, name)
        here = section(page, f"## {name}")
        if not callable(value):
            continue
        first = inspect.cleandoc(value.__doc__ or "").partition("\n")[0]
        assert first in plain(here), name
        for member in methods(value) if inspect.isclass(value) else []:
            said = inspect.getdoc(getattr(value, member)) or ""
            assert said.partition("\n")[0] in plain(section(here, f"### {name}.{member}"))


def test_every_parameter_is_on_the_page() -> None:
    page = python_reference.pages()["scistream.md"]
    for call, heading in (
        (scistream.UserClient.request, "### UserClient.request"),
        (scistream.ControlServer, "## ControlServer"),
    ):
        here = section(page, heading)
        for name in set(inspect.signature(call).parameters) - {"self"}:
            assert re.search(rf"^    {name}: .+,$", here, re.M), name
            assert re.search(rf"^- `{name}`: \S", here, re.M), name


def test_every_field_of_a_value_is_on_the_page() -> None:
    page = python_reference.pages()["scistream.md"]
    for kind in (scistream.SessionStatus, scistream.ServerInfo, scistream.StateChange):
        here = section(page, f"## {kind.__name__}")
        assert re.findall(r"^\| `(\w+)` \|", here, re.M) == list(kind.__annotations__)
    assert "| `protection` | `str` | `encrypted`, `authenticated only` or `none`, between" in page
    assert "__getnewargs__" not in page, "what others have made"


def test_names_that_say_nothing_are_an_error() -> None:
    class Silent:
        def told(self) -> None:
            """It is."""

        def untold(self) -> None:
            pass

    def silent() -> None:
        pass

    module = ModuleType("ours", "Of a module.")
    module.__all__ = ["Silent", "silent", "value"]  # type: ignore[attr-defined]
    Silent.__module__ = "scistream"
    vars(module).update(Silent=Silent, silent=silent, value=3)
    with pytest.raises(python_reference.NotDocumentedError) as caught:
        python_reference.markdown(module)
    assert str(caught.value).endswith("ours.Silent, ours.Silent.untold, ours.silent")


def test_docstrings_become_markdown() -> None:
    said = markup.docstring(
        """A *first* <line>, and `a_<b>` as it is.

        An example:

            with it:

                go()

        Two that are none:

            with […]

            >>> 1

        A part
        ------

        Args:
            one: Of this
                and that.
            two: Of a_b and _c_.

        Returns:
            What comes
            out.

        """
    )
    assert said == textwrap.dedent(
        """\
        A \\*first\\* \\<line>, and `a_<b>` as it is.

        An example:

        ```python
        with it:

            go()
        ```

        Two that are none:

        ```text
        with […]

        >>> 1
        ```

        **A part**

        **Arguments**

        - `one`: Of this and that.
        - `two`: Of a_b and \\_c\\_.

        **Returns**

        What comes
        out."""
    )


# ---- C++ ---------------------------------------------------------------------------------------

HEADER = """\
#pragma once

#include <string>

namespace scistream::inline v0 {

/// Where a `thing` *is*.
/// Any thread.
enum class Place {
  here,   ///< With us.
  there,  ///< Far "away",
          ///< and farther.
};

class Forward;

/// Holds things; `}` ends nothing.
class SCISTREAM_EXPORT Holder {
 public:
  /// Takes one, {or} none.
  explicit Holder(std::string name = "{") noexcept : name_(std::move(name)) { work(); }
  Holder(const Holder&) = delete;
  ~Holder();

  /// What it is called.
  /// Never empty.
  [[nodiscard]] const std::string& name() const noexcept {
    if (name_.empty()) { return fallback; }
    return name_;
  }

  /// Inside of it.
  struct Options {
    int size = 3;  ///< Of it, 1 | 2 | 3.
    std::function<void(int)> call;
  };

 private:
  /// Nobody's business.
  void secret();
  std::string name_;
};

namespace detail {
/// Hidden.
struct Hidden { int x; };
}  // namespace detail

// A note to ourselves.
/// Not of the next one.

SCISTREAM_EXPORT int count(int first,
                           int second);

/// Any `T`.
template <class T>
T twice(const T& value) {
  return value + value;
}

using Short = Holder;

/// A switch.
#define SCISTREAM_SWITCH(x) \\
  do_something(x)

}  // namespace scistream::inline v0
"""


@pytest.fixture(scope="module")
def cpp(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("library")
    folder = root / "cpp/include/scistream/parts"
    folder.mkdir(parents=True)
    (folder / "holder.hpp").write_text(HEADER)
    (page,) = cpp_reference.pages(root).items()
    assert page[0] == "cpp-parts-holder.md"
    return page[1]


def test_a_header_is_shown_with_what_it_says(cpp: str) -> None:
    assert cpp.startswith("# scistream/parts/holder.hpp\n")
    assert '#include "scistream/parts/holder.hpp"' in cpp
    place = section(cpp, "## Place")
    assert "Where a `thing` \\*is\\*.\nAny thread." in place
    assert '| `here` | With us. |\n| `there` | Far "away", and farther. |' in place
    holder = section(cpp, "## Holder")
    assert "class Holder;" in holder
    assert "Holds things; `}` ends nothing." in holder
    name = "[[nodiscard]] const std::string& name() const noexcept;"
    assert f"```cpp\n{name}\n```\n\nWhat it is called.\nNever empty.\n" in holder
    options = section(cpp, "### Options")
    assert "Inside of it." in options
    assert "| `int size = 3` | Of it, 1 \\| 2 \\| 3. |" in options
    assert "| `std::function<void(int)> call` |  |" in options
    assert "```cpp\n#define SCISTREAM_SWITCH(x)\n```\n\nA switch." in cpp
    assert "```cpp\ntemplate <class T> T twice(const T& value);\n```\n\nAny `T`." in cpp
    assert "using Short = Holder;" in cpp


def test_bodies_and_what_is_private_are_left_out(cpp: str) -> None:
    assert 'explicit Holder(std::string name = "{") noexcept;' in cpp
    assert "Holder(const Holder&) = delete;\n~Holder();" in cpp
    assert "int count(int first, int second);" in cpp
    for word in ("work()", "fallback", "secret", "Nobody", "name_", "Hidden", "do_something"):
        assert word not in cpp
    for word in ("EXPORT", "A note", "Not of the next one"):
        assert word not in cpp


def test_without_public_headers_there_is_no_page(tmp_path: Path) -> None:
    assert cpp_reference.pages(tmp_path) == {}


def test_every_public_header_is_shown(root: Path) -> None:
    """Those that there are: all comments of the headers, and every type."""
    pages = cpp_reference.pages(root)
    headers = sorted((root / "cpp/include").rglob("*.hpp"))
    assert len(pages) == len(headers)
    for header in headers:
        (page,) = (text for text in pages.values() if f"/{header.name}\n" in text)
        public = re.sub(r"^ *private:.*?^\};", "", header.read_text(), flags=re.M | re.S)
        for line in re.findall(r"///<? ?(.*)", public):
            assert plain(line.strip()) in plain(page), f"{header.name}: {line}"
        for name in re.findall(
            r"^(?:class|struct|enum class) (?:\w+_EXPORT )?(\w+) ", public, re.M
        ):
            assert re.search(rf"^#+ {name}\b", page, re.M), name


# ---- commands, and the site --------------------------------------------------------------------


def test_every_command_is_on_the_page() -> None:
    page = build.reference(BIN)
    for name, command in (("s2cs", "check-policy"), ("s2ds", "relay"), ("appctrl", "run")):
        for words, heading in (((name,), f"## {name}"), ((name, command), f"### {name} {command}")):
            said = run(BIN / words[0], *words[1:], "--help").out.strip()
            assert said
            assert said in section(page, heading)


def test_what_is_generated_takes_the_place_of_what_was(tmp_path: Path) -> None:
    build.write(tmp_path / "pages", {"old.md": "old", "both.md": "old"})
    build.write(tmp_path / "pages", {"both.md": "new"})
    files = {path.name: path.read_text() for path in (tmp_path / "pages").iterdir()}
    assert files == {"both.md": "new"}


@pytest.mark.slow
def test_the_site_has_every_page_and_no_warning(root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, root / "docs/build.py"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    flags = ("-W", "--keep-going", "-q", "-b", "html", "-c", "docs", "-d", tmp_path / "trees")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *flags, ".", tmp_path / "html"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    index = (tmp_path / "html/docs/index.html").read_text()
    generated = {path.stem for path in (root / "build/docs/reference").iterdir()}
    assert {"commands", "wire", "scistream", "scistream-aio"} <= generated
    for name in generated:
        assert (tmp_path / f"html/build/docs/reference/{name}.html").exists()
        assert f'build/docs/reference/{name}.html"' in index
