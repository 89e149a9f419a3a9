"""Each fenced block of the README and of docs/ has a test that runs or reads it, or a reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from facility import BIN, run
from guides import PAGES, ROOT, blocks, page

GUIDES = "test_the_guides_are_true.py"
README = "test_the_readme_is_true.py"
OPERATIONS = "test_the_operations_page_installs.py"
SECURITY = "test_the_security_page_is_true.py"
CONTAINERS = "test_the_containers_page_is_true.py"
PACKAGE = "test_binding_readme.py"
EXTENDING = "test_the_extending_page_is_true.py"
SDK = "test_the_sdk_can_be_installed.py"


@dataclass(frozen=True)
class Rule:
    """Blocks of a page, by their language and how they begin, and the test that checks them.

    A beginning is left out only where that test takes every block of the language, or says how many
    there are.
    """

    page: str
    language: str
    start: str
    test: str = ""
    reason: str = ""  # why no test runs it


RULES = [
    Rule(
        "README", "", "./dev demo", "test_demo.py::test_data_arrives_unchanged_and_nothing_is_left"
    ),
    Rule("README", "", "./dev bench", reason="it measures for half an hour; test_bench.py looks"),
    Rule("README", "", "./dev test", reason="it is what runs this"),
    Rule("README", "", "./dev build", reason="it builds what this tests"),
    Rule("README", "", "s2cs --listener_ip 127", f"{README}::test_the_first_session_works"),
    Rule("README", "", "cat /tmp/", f"{README}::test_the_first_session_works"),
    Rule("README", "", "iperf3 -c", f"{README}::test_the_first_session_works"),
    Rule("README", "", "chmod 600 secret.txt", f"{README}::test_users_are_known_by_a_login"),
    Rule("README", "", "s2ds relay", f"{README}::test_one_port_is_forwarded"),
    Rule("README", "python", "", f"{PACKAGE}::test_the_example_of_the_readme_runs"),
    Rule("about", "mermaid", "flowchart", f"{GUIDES}::test_the_overview_has_the_programs"),
    Rule("architecture", "mermaid", "sequence", f"{GUIDES}::test_the_sequence_is_made_of_calls"),
    Rule(
        "architecture",
        "mermaid",
        "stateDiagram",
        f"{GUIDES}::test_state_diagrams_are_those_of_the_machines",
    ),
    Rule("containers", "sh", "docker run", f"{CONTAINERS}::test_the_facility_has_its_settings"),
    Rule("containers", "sh", "docker cp", f"{CONTAINERS}::test_the_certificate_is_where_it_says"),
    Rule("containers", "sh", "docker ps", f"{CONTAINERS}::test_labels_are_those_of_the_program"),
    Rule("cpp", "sh", "", f"{SDK}::test_a_session_goes_from_request_to_release"),
    Rule("cpp", "cmake", "", f"{SDK}::test_the_programs_of_the_page_stream"),
    Rule("cpp", "cpp", "", f"{SDK}::test_the_programs_of_the_page_stream"),
    Rule("extending", "python", "", f"{EXTENDING}::test_the_programs_of_the_page_run"),
    Rule("howto-instruments", "sh", "", f"{GUIDES}::test_the_commands_for_instruments_work"),
    Rule(
        "howto-instruments",
        "python",
        '"""Data acquisition',
        f"{GUIDES}::test_the_programs_for_instruments_work",
    ),
    Rule(
        "howto-instruments",
        "python",
        '"""An analysis that waits',
        f"{GUIDES}::test_the_programs_for_instruments_work",
    ),
    *(
        Rule(
            "howto-instruments",
            "python",
            start,
            f"{GUIDES}::test_frames_go_and_orders_come_back",
        )
        for start in ('"""A detector', '"""An analysis that steers')
    ),
    Rule(
        "howto-users",
        "sh",
        "s2uc login",
        f"{SECURITY}::test_every_command_does_what_the_page_says",
    ),
    Rule("howto-users", "sh", "", f"{GUIDES}::test_the_commands_for_users_work"),
    Rule("howto-users", "python", "", f"{GUIDES}::test_the_commands_for_users_work"),
    Rule("howto-workflows", "toml", "", f"{GUIDES}::test_the_settings_of_a_workflow_let_it_in"),
    Rule(
        "howto-workflows",
        "python",
        '"""What a worker does',
        f"{GUIDES}::test_a_function_of_a_workflow_streams",
    ),
    Rule(
        "howto-workflows",
        "python",
        '"""Streams on a Globus',
        f"{GUIDES}::test_workflow_engines_may_call_the_function",
    ),
    Rule(
        "howto-workflows",
        "python",
        '"""Several sessions',
        f"{GUIDES}::test_workflow_engines_may_call_the_function",
    ),
    Rule(
        "howto-workflows",
        "sh",
        "#!/bin/bash\n#SBATCH",
        f"{GUIDES}::test_a_job_of_slurm_streams",
    ),
    Rule("howto-workflows", "sh", "s2uc request", f"{GUIDES}::test_a_job_of_pbs_streams"),
    Rule("howto-workflows", "sh", "#!/bin/bash\n#PBS", f"{GUIDES}::test_a_job_of_pbs_streams"),
    Rule("howto-workflows", "sh", "s2uc release", f"{GUIDES}::test_a_job_of_pbs_streams"),
    Rule(
        "migration",
        "",
        "s2uc inbound_request",
        f"{GUIDES}::test_a_session_of_two_steps_and_of_one_are_the_same",
    ),
    Rule(
        "migration",
        "",
        "s2uc request",
        f"{GUIDES}::test_a_session_of_two_steps_and_of_one_are_the_same",
    ),
    Rule(
        "migration",
        "",
        "s2cs: ",
        f"{GUIDES}::test_messages_of_the_migration_page_are_those_of_the_programs",
    ),
    Rule("operations", "", "./dev wheel", reason="it compiles everything, and tries the result"),
    *(
        Rule("operations", "", start, f"{OPERATIONS}::test_what_is_installed_can_be_uninstalled")
        for start in (
            "apt-get install",
            "install -D -m 644 -t",
            "install -D -m 644 deploy/systemd/drop-ins/s2ds-elsewhere",
            "install -D -m 644 deploy/systemd/drop-ins/s2cs-data-server",
            "install -D -m 644 deploy/systemd/drop-ins/s2cs-certificate",
            "systemctl disable",
        )
    ),
    Rule("operations", "", "systemctl status", f"{OPERATIONS}::test_the_facility_answers"),
    Rule("operations", "", "SCISTREAM_LISTENER_IP", f"{OPERATIONS}::test_the_settings_are_enough"),
    Rule("operations", "", "s2ds doctor", f"{OPERATIONS}::test_the_doctor_looks"),
    Rule("operations", "", "journalctl", f"{OPERATIONS}::test_the_journal_has_these_units"),
    Rule("performance", "sh", "./dev bench", reason="it measures for minutes; test_bench.py looks"),
    Rule("performance", "sh", "s2ds doctor", f"{GUIDES}::test_the_doctor_of_the_page_looks"),
    Rule("protocol", "", "", f"{GUIDES}::test_any_peer_that_has_the_key_can_be_the_other_end"),
    Rule("python", "python", "", f"{PACKAGE}::test_every_example_of_the_page_runs"),
    Rule("python", "", "", f"{PACKAGE}::test_a_session_between_real_facilities"),
    Rule(
        "python",
        "text",
        "",
        "test_binding_progress.py::test_the_page_shows_what_a_terminal_shows",
    ),
    Rule("security", "", "", f"{SECURITY}::test_every_command_does_what_the_page_says"),
    Rule("security", "toml", "", f"{SECURITY}::test_every_command_does_what_the_page_says"),
    Rule("security", "json", "", f"{SECURITY}::test_every_command_does_what_the_page_says"),
    Rule("tutorial", "sh", "./dev build", reason="it builds what this tests"),
    *(
        Rule("tutorial", language, "", f"{GUIDES}::test_the_tutorial_prints_what_it_says")
        for language in ("sh", "python", "text")
    ),
]


def rules_of(name: str, language: str, content: str) -> list[Rule]:
    """Those for the block; of two the one that says more of how it begins."""
    found = [
        rule
        for rule in RULES
        if (rule.page, rule.language) == (name, language) and content.startswith(rule.start)
    ]
    return sorted(found, key=lambda rule: len(rule.start))[-1:]


@pytest.mark.parametrize("name", PAGES)
def test_every_block_has_a_test_or_a_reason(name: str) -> None:
    unlisted = [
        content.partition("\n")[0]
        for language, content, _ in blocks(name)
        if not rules_of(name, language, content)
    ]
    assert unlisted == []


@pytest.mark.parametrize("name", PAGES)
def test_every_fence_is_that_of_a_block(name: str) -> None:
    """Or it would be missed: one that is set in, or of another sign, or never closed."""
    fences = re.findall(r"^[ >\t]*(?:```|~~~).*$", page(name), re.M)
    assert len(fences) == 2 * len(blocks(name)), fences


def test_every_rule_is_needed() -> None:
    used = {
        rule
        for name in PAGES
        for language, content, _ in blocks(name)
        for rule in rules_of(name, language, content)
    }
    assert [rule for rule in RULES if rule not in used] == []


def test_every_rule_names_a_test_or_a_reason() -> None:
    folder = Path(__file__).parent
    for rule in RULES:
        file, _, name = rule.test.partition("::")
        assert bool(file) != bool(rule.reason), rule
        assert not file or f"\ndef {name}(" in (folder / file).read_text(), rule


def test_a_new_block_is_found() -> None:
    assert rules_of("README", "", "s2cs --listener_ip 127.0.1.1") != []
    assert rules_of("README", "", "s2uc frobnicate") == []
    assert rules_of("README", "yaml", "./dev demo") == []
    assert rules_of("index", "sh", "./dev demo") == []


# ---- what is typed -----------------------------------------------------------------------------


def typed(text: str) -> list[list[str]]:
    """The words of each command of ours, up to what it starts itself or hands on."""
    joined = text.replace("\\\n", " ")
    found = re.findall(r"(?<![\w./-])((?:s2cs|s2uc|s2ds|appctrl)(?: +[^\s|;&<>)]+)+)", joined)
    return [words.partition(" -- ")[0].split() for words in found]


def strange(words: list[str]) -> list[str]:
    """Those that the command does not know, by its own help."""
    program, *rest = words
    options = {word.partition("=")[0].replace("_", "-") for word in rest if word.startswith("--")}
    listed = re.findall(r"^  ([a-z][\w-]*)", run(BIN / program, "--help").out, re.M)
    known = [program]
    if program != "s2cs" and not rest[0].startswith("-"):
        if rest[0].replace("_", "-") not in [name.replace("_", "-") for name in listed]:
            return rest[:1]
        known.append(rest[0])
    said = run(BIN / known[0], *known[1:], "--help").out.replace("_", "-").lower()
    return sorted(option for option in options if not re.search(rf"{option.lower()}\b", said))


@pytest.mark.parametrize("name", PAGES)
def test_every_command_takes_what_is_typed(name: str) -> None:
    wrong = [
        (words, strange(words))
        for language, content, _ in blocks(name)
        if language in ("", "sh", "console")
        for words in typed(content)
        if strange(words)
    ]
    assert wrong == []


def test_a_wrong_command_is_found() -> None:
    (words,) = typed("x=1 s2uc request --prod a:1 \\\n  --frobnicate 3 -- s2uc list | cat\n")
    assert words == ["s2uc", "request", "--prod", "a:1", "--frobnicate", "3"]
    assert strange(words) == ["--frobnicate"]
    assert strange(["s2uc", "frobnicate"]) == ["frobnicate"]
    assert strange(["s2cs", "--listener_ip", "::1", "--ssl=False"]) == []


def test_every_command_of_the_clone_exists() -> None:
    listed = set(re.findall(r"^  ([a-z]+)", run(ROOT / "dev", "help").out, re.M))
    for name in PAGES:
        named = set(re.findall(r"\./dev ([a-z]\w*)", page(name)))
        assert named - listed == set(), name
