"""Tab in real shells completes the commands' words: what `--shell-completion` prints does it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from facility import BIN, LIMIT, clean_environment, run
from needs import skip_or_fail

UID = "4f8583bc-0000-4000-8000-000000000007"
TO_START_OF_LINE, TO_END_OF_LINE, INSERT_ALL = "\x01", "\x05", "\x1b*"
START = {
    "bash": ["--norc", "--noprofile", "-i"],
    "zsh": ["-f", "-i"],
    "fish": ["--no-config", "-i"],
}
SET_UP = {
    "bash": 'eval "$(s2uc --shell-completion bash)"',
    "zsh": "bindkey -e; autoload -Uz compinit; compinit -u -D; "
    'eval "$(s2uc --shell-completion zsh)"',
    "fish": "s2uc --shell-completion fish | source",
}


class Shell:
    """A shell at a terminal, with a user's state folder and two files where it stands: at home."""

    def __init__(self, name: str, folder: Path) -> None:
        sessions = folder / "state" / "sessions"
        sessions.mkdir(parents=True)
        entry = {"uid": UID, "prod": "gw1.example.org:5000", "cons": "gw2.example.org:5000"}
        (sessions / f"{UID}.json").write_text(json.dumps(entry))
        (folder / "secret.key").touch()
        (folder / "a folder").mkdir()
        (folder / "a folder" / "other.key").touch()
        settings = {"SCISTREAM_STATE_DIR": str(folder / "state"), "TERM": "dumb"}
        self._words = folder / "words"
        self._child = pexpect.spawn(
            name,
            START[name],
            cwd=str(folder),
            env=clean_environment(folder, settings),
            dimensions=(50, 200),
            encoding="utf-8",
            timeout=LIMIT,
        )
        self._steps = 0
        self.run(SET_UP[name])

    def complete(self, typed: str, key: str = "\t") -> list[str]:
        """The words of a line after Tab; the line itself is not run."""
        self._words.unlink(missing_ok=True)
        self.run(f"{typed}{key}{TO_START_OF_LINE}printf '%s\\n' {TO_END_OF_LINE} >words")
        return self._words.read_text().splitlines()

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *failure: object) -> None:
        self._child.close(force=True)

    def run(self, keys: str) -> None:
        """Waits until what was typed has been done."""
        self._steps += 1
        # What is typed is shown as well, but with the quotes.
        self._child.send(f"{keys}; echo step''{self._steps}.\r")
        self._child.expect_exact(f"step{self._steps}.")


@pytest.fixture(params=START)
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shell]:
    if not shutil.which(request.param):
        skip_or_fail(f"there is no {request.param}")
    with Shell(request.param, tmp_path) as opened:
        yield opened


def test_one_tab_completes_the_word(shell: Shell) -> None:
    assert shell.complete("s2uc rel") == ["s2uc", "release"]
    assert shell.complete("s2uc --server-cert x rel")[-1] == "release"
    assert shell.complete("s2uc prod_req --mo")[-1] == "--mock"
    assert shell.complete("s2cs --insecure-no") == ["s2cs", "--insecure-no-auth"]
    assert shell.complete("s2ds relay --pro") == ["s2ds", "relay", "--protocol"]
    assert shell.complete("appctrl hel") == ["appctrl", "hello"]


def test_values_that_are_known_are_completed(shell: Shell) -> None:
    assert shell.complete("s2uc request --transport tl")[-1] == "tls"
    assert shell.complete("s2uc request --transport=tl")[-1] == "--transport=tls"
    assert shell.complete("s2cs --type Ngi")[-1].startswith("Nginx")
    assert shell.complete("appctrl hello --role C")[-1] == "CONS"
    assert shell.complete("s2uc --shell-completion fi")[-1] == "fish"


def test_sessions_and_servers_are_completed(shell: Shell) -> None:
    assert shell.complete("s2uc release 4f") == ["s2uc", "release", UID]
    assert shell.complete("s2uc request --prod gw1")[-1] == "gw1.example.org:5000"
    assert shell.complete("s2uc info --s2cs gw2.example.org:5")[-1] == "gw2.example.org:5000"
    assert shell.complete("s2uc info --s2cs=gw2.example.org:5")[-1] == "--s2cs=gw2.example.org:5000"


def test_the_state_folder_that_was_typed_is_looked_into(shell: Shell) -> None:
    assert shell.complete("SCISTREAM_STATE_DIR=x s2uc --state-dir ~/state release 4f")[-1] == UID


def test_files_are_completed(shell: Shell, tmp_path: Path) -> None:
    assert shell.complete("s2cs --server-key ./sec")[-1] == "./secret.key"
    assert shell.complete("s2cs --server-key ~/sec")[-1] == str(tmp_path / "secret.key")
    assert shell.complete('s2cs --server-key "sec')[-1] == "secret.key"
    assert shell.complete("s2cs --server-key a\\ folder/oth")[-1] == "a folder/other.key"
    assert shell.complete('s2cs --server-key "a folder/oth')[-1] == "a folder/other.key"
    assert shell.complete("s2cs --server-key=./sec")[-1] == "--server-key=./secret.key"
    assert shell.complete("s2cs check-policy sec")[-1] == "secret.key"


def test_words_with_quotes_and_spaces_are_words(shell: Shell) -> None:
    assert shell.complete('s2uc --server-cert "a folder/other.key" rel')[-1] == "release"
    assert shell.complete("s2uc --server-cert a\\ folder/other.key rel")[-1] == "release"
    assert shell.complete('s2uc info --s2cs "gw2')[-1] == "gw2.example.org:5000"


def test_a_command_that_is_called_by_its_path_is_asked(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "s2uc").symlink_to(BIN / "s2uc")
    assert shell.complete("bin/s2uc rel")[-1] == "release"
    assert shell.complete("~/bin/s2uc rel")[-1] == "release"


def test_what_does_not_fit_is_left_as_it_is(shell: Shell) -> None:
    assert shell.complete("s2uc nonsen") == ["s2uc", "nonsen"]
    assert shell.complete("s2uc request --num-conn sec")[-1] == "sec"


def test_bash_offers_every_word_that_fits(tmp_path: Path) -> None:
    with Shell("bash", tmp_path) as shell:
        assert sorted(shell.complete("s2uc r", INSERT_ALL)[1:]) == ["rate", "release", "request"]
        assert sorted(shell.complete("s2uc request --protocol ", INSERT_ALL)[3:]) == ["tcp", "udp"]
        options = shell.complete(f"s2uc rate {UID} 100 ", INSERT_ALL)[4:]
        assert {"--json", "--help", "--s2cs"} <= set(options)


@pytest.mark.parametrize("breaks", ["=", ":", " ", "=:"])
def test_bash_completes_wherever_it_cuts_words(breaks: str, tmp_path: Path) -> None:
    with Shell("bash", tmp_path) as shell:
        shell.run(f"COMP_WORDBREAKS=$' \\t\\n{breaks}'")
        assert shell.complete("s2uc info --s2cs gw2.example.org:5")[-1] == "gw2.example.org:5000"
        assert shell.complete("s2cs --type=StunnelS")[-1] == "--type=StunnelSubprocess"
        assert shell.complete("s2uc info --s2cs=gw2")[-1] == "--s2cs=gw2.example.org:5000"


def test_bash_completes_around_redirections(tmp_path: Path) -> None:
    with Shell("bash", tmp_path) as shell:
        shell.run("""bind -x '"\\C-o": printf %s "$READLINE_LINE" >words; READLINE_LINE=' """)
        for typed, completed in (
            ("s2uc >/dev/null rel", "s2uc >/dev/null release "),
            ("s2uc 2>/dev/null rel", "s2uc 2>/dev/null release "),
            ("s2uc < /dev/null rel", "s2uc < /dev/null release "),
            ("s2uc list >sec", "s2uc list >secret.key "),
            ("s2uc list 2> sec", "s2uc list 2> secret.key "),
            ("A=1 s2uc rel", "A=1 s2uc release "),
            ("true; s2uc rel | cat", "true; s2uc rel | cat"),
        ):
            shell.run(f"{typed}\t\x0f:")
            assert (tmp_path / "words").read_text() == completed


def test_the_script_of_bash_has_no_known_pitfall(tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(run(BIN / "s2uc", "--shell-completion", "bash").out)
    checked = run("shellcheck", "--shell", "bash", script)
    assert checked.rc == 0, checked.out


def test_what_is_wrong_with_the_environment_does_not_matter() -> None:
    done = run(BIN / "s2uc", "--shell-completion", "zsh", env={"SCISTREAM_SSL": "perhaps"})
    assert done.rc == 0
    assert done.out.startswith("#compdef s2cs ")


def test_another_shell_is_refused() -> None:
    for command in ("s2cs", "s2uc", "s2ds", "appctrl"):
        refused = run(BIN / command, "--shell-completion", "tcsh")
        assert refused.rc == 2
        assert "tcsh" in refused.err
        assert "bash" in refused.err
        assert not refused.out
        alike = run(BIN / command, "--shell-completion", "zsh")
        assert alike.rc == 0
        assert alike.out == run(BIN / "s2uc", "--shell-completion", "zsh").out


def test_what_is_asked_for_wrongly_is_refused() -> None:
    for words in (["--complete"], ["--complete", "--"], ["--complete", "x", "y"]):
        refused = run(BIN / "s2uc", *words)
        assert refused.rc == 2
        assert "--complete -- WORDS" in refused.err
