"""The guides of docs/: their commands and programs work, and what they name is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from applications import application, payload, sends
from conftest import Pair
from facility import BIN, Client, Command, eventually, own_address, run
from guides import (
    COMMANDS,
    DOCS,
    OF_THE_SYSTEM,
    ROOT,
    Place,
    alike,
    blocks,
    named_file,
    of_language,
    page,
    program,
    said_by_the_programs,
    spans,
)
from logins import SCOPE, Gates, configure, info
from openid import WORKFLOW, OpenIdProvider

GUIDES = ["about", "tutorial", "howto-users", "howto-instruments", "howto-workflows", "migration"]
GUIDES += ["faq", "architecture", "performance", "index"]
# Of a tool beside ours, and of batch systems.
OPTIONS_OF_OTHERS = {"--quick", "--out", "--job-name", "--nodes", "--time", "--ntasks"}
OPTIONS_OF_OTHERS |= {"--port", "--connect"}
# They build the machine that this runs on, measure for minutes, or need somebody at a browser.
NOT_RUN_HERE = ("./dev build\n", "./dev bench", "s2uc login ")


# ---- the tutorial ------------------------------------------------------------------------------


@pytest.fixture
def tutorial(tmp_path: Path) -> Place:
    return Place(
        tmp_path, {name: own_address() for name in ("127.0.0.1", "127.0.1.1", "127.0.2.1")}
    )


def goes_on(block: str) -> bool:
    """It is a terminal of its own, until its end."""
    serves = block.startswith(("s2cs --listener_ip", "python producer.py"))
    return serves or (block.startswith("s2uc request") and "--prod-app" not in block)


def test_the_tutorial_prints_what_it_says(tutorial: Place) -> None:
    terminals: list[Command] = []
    done = ""  # what the last block said, of those that end
    compared = 0

    def shown(command: Command) -> list[str]:
        return alike(tutorial.there(command.out + command.err))

    def says(command: Command, wanted: list[str]) -> None:
        eventually(lambda: set(wanted) <= set(shown(command)), f"{wanted} of {command.words}")

    with ExitStack() as stack:
        for language, content, before in blocks("tutorial"):
            if language == "python":
                tutorial.save(named_file(before), content)
            elif language == "sh" and not content.startswith(NOT_RUN_HERE):
                if goes_on(content):
                    terminals.append(stack.enter_context(tutorial.start(content)))
                    done = ""
                else:
                    ended = tutorial.run(content)
                    assert ended.rc == 0, ended.err
                    done = tutorial.there(ended.out + ended.err)
            elif language == "text":
                wanted = alike(content)
                if "Ctrl-C" in before:
                    request = terminals.pop()
                    assert request.wait() == 0
                    assert "127.0.2.1:5201" in tutorial.there(request.out)
                    for each in terminals:
                        each.signal(signal.SIGINT)
                        each.wait()
                    assert [wanted[0] in shown(each) for each in terminals[:2]] == [True, True]
                elif done:
                    assert alike(done) == wanted
                else:
                    says(terminals[-1], wanted)
                compared += 1
                done = ""
    assert compared > 12


# ---- the how-tos -------------------------------------------------------------------------------


@pytest.fixture
def field(pair: Pair, tmp_path: Path) -> Iterator[Place]:
    """The facilities of the how-tos, and a producer application that sends a million bytes."""
    with application(sends(payload(1_000_000))) as app:
        yield Place(
            tmp_path,
            {
                "gw1.example.org:5000": pair.prod.endpoint,
                "gw2.example.org:5000": pair.cons.endpoint,
                "10.0.0.9:7000": app.endpoint,
            },
        )


def trusts(place: Place, pair: Pair) -> None:
    for file, facilities in (
        ("gw1.crt", [pair.prod]),
        ("gw2.crt", [pair.cons]),
        ("facilities.pem", [pair.prod, pair.cons]),
    ):
        text = "".join(facility.certificate.read_text() for facility in facilities)
        (place.folder / file).write_text(text)


def test_the_commands_for_users_work(field: Place) -> None:
    for block in of_language("howto-users", "sh"):
        if block.startswith(NOT_RUN_HERE):
            continue
        done = field.run(block.replace("s2uc trust ", "s2uc trust --yes "))
        assert done.rc == 0, (block, done.err)
        if "connect to" in block:
            assert re.search(
                rf"connect to {field.stand_ins['gw2.example.org:5000'][:-5]}", done.out
            )
    (source,) = of_language("howto-users", "python")
    field.save("reads.py", source)
    assert field.run("python reads.py").out == "1000000 bytes\n"
    assert field.run("s2uc list").out == "no sessions\n"


def test_the_commands_for_instruments_work(field: Place, pair: Pair) -> None:
    request, hello, producer, consumer = of_language("howto-instruments", "sh")
    trusts(field, pair)
    field.save("daq", "#!/bin/sh\necho serving\n", 0o700)
    field.save("analysis", '#!/bin/sh\necho "$@"\n', 0o700)
    certificate = {"SCISTREAM_SERVER_CERT": str(field.folder / "facilities.pem")}
    with field.start(request, **certificate) as waiting:
        waiting.line("application keys", "err")
        session = json.loads((field.folder / "run-7.json").read_text())
        for side in ("prod", "cons"):
            shutil.copy(session[f"{side}_key_file"], field.folder / f"run-7.{side}.key")
        listeners = field.run(hello)
        assert listeners.out.startswith(pair.prod.host), listeners.err
        assert field.run(producer).out == "serving\n"
        ready = field.run(consumer)
        assert ready.out.startswith(f"--connect {pair.cons.host} "), ready.err
        assert waiting.wait() == 0
        assert field.run("s2uc release run-7", **certificate).rc == 0


def run_at_both_ends(field: Place, pair: Pair, producer: str, consumer: str) -> tuple[str, str]:
    """What the programs print, each with the variables that the page gives it."""
    trusts(field, pair)
    for file in (producer, consumer):
        field.save(file, program("howto-instruments", file))
    with pair.user.waiting() as request:

        def beside(facility: str, key: Path) -> dict[str, str]:
            return {
                "SCISTREAM_UID": request.uid,
                "S2CS": facility,
                "SCISTREAM_APP_KEY": key.read_text().strip(),
                "SCISTREAM_SERVER_CERT": str(field.folder / "facilities.pem"),
            }

        request.listening()
        with (
            field.start(
                f"python {producer} {own_address()}:0",
                **beside(pair.prod.endpoint, request.prod_key),
            ) as first,
            field.start(
                f"python {consumer}", **beside(pair.cons.endpoint, request.cons_key)
            ) as second,
        ):
            assert second.wait() == 0, second.err
            assert first.wait() == 0, first.err
        assert request.wait() == 0
        pair.user.release(request.uid)
    return first.out, second.out


def test_the_programs_for_instruments_work(field: Place, pair: Pair) -> None:
    _, received = run_at_both_ends(field, pair, "daq.py", "analysis.py")
    assert received == f"{64 << 20} bytes\n"


def test_frames_go_and_orders_come_back(field: Place, pair: Pair) -> None:
    _, steered = run_at_both_ends(field, pair, "detector.py", "steering.py")
    assert steered == "bright enough with 80 ms\n"


def test_a_function_of_a_workflow_streams(field: Place, pair: Pair) -> None:
    trusts(field, pair)
    field.save("streaming.py", program("howto-workflows", "streaming.py"))
    field.save(
        "work.py",
        "from streaming import stream\n"
        "print(stream('gw1.example.org:5000', 'gw2.example.org:5000', '10.0.0.9:7000',"
        " 'facilities.pem'))\n",
    )
    done = field.run("python work.py")
    assert done.out == "1000000\n", done.err


# What others' packages do here with a function that they are given.
ENGINES = {
    "globus_compute_sdk.py": """
        from concurrent.futures import ThreadPoolExecutor
        class Executor(ThreadPoolExecutor):
            def __init__(self, endpoint_id): super().__init__()
        """,
    "parsl.py": """
        from concurrent.futures import ThreadPoolExecutor
        from functools import partial
        pool = ThreadPoolExecutor()
        load = list
        python_app = lambda function: partial(pool.submit, function)
        """,
}


def test_workflow_engines_may_call_the_function(field: Place, pair: Pair) -> None:
    trusts(field, pair)
    for file, text in ENGINES.items():
        field.save(file, textwrap.dedent(text))
    field.save("streaming.py", program("howto-workflows", "streaming.py"))
    field.stand_ins |= {
        "10.0.0.9:{port}": field.stand_ins["10.0.0.9:7000"],
        "/home/user/": f"{field.folder}/",
    }
    for facility in (pair.prod, pair.cons):
        assert field.run(f"s2uc trust --yes {facility.endpoint}").rc == 0
    programs = of_language("howto-workflows", "python")
    for start, said in (('"""Streams on', "1000000"), ('"""Several', "3000000")):
        (text,) = (each for each in programs if each.startswith(start))
        field.save("engine.py", text)
        done = field.run("python engine.py")
        assert done.out == f"{said} bytes\n", done.err


def test_a_job_of_slurm_streams(field: Place, pair: Pair) -> None:
    trusts(field, pair)
    field.save("consumer.py", program("tutorial", "consumer.py"))
    field.save("srun", '#!/bin/sh\nshift\nexec "$@"\n', 0o700)
    (job,) = (block for block in of_language("howto-workflows", "sh") if "#SBATCH" in block)
    path = f"{field.folder}:{field.env['PATH']}"
    done = field.run(job, PATH=path, SLURM_JOB_ID="17")
    assert done.rc == 0, done.err
    assert re.fullmatch(r"1000000 bytes, SHA-256 \w+\nRelease completed\n", done.out)


def test_a_job_of_pbs_streams(field: Place, pair: Pair) -> None:
    trusts(field, pair)
    field.save("consumer.py", program("tutorial", "consumer.py"))
    request, job, release = (
        block for block in of_language("howto-workflows", "sh") if "run-7" in block
    )
    certificate = {"SCISTREAM_SERVER_CERT": str(field.folder / "facilities.pem")}
    with field.start(request, **certificate) as waiting:
        waiting.line("application keys", "err")
        session = json.loads((field.folder / "run-7.json").read_text())
        shutil.copy(session["cons_key_file"], field.folder / "run-7.cons.key")
        hello = field.run(
            "appctrl hello run-7 gw1.example.org:5000 --role PROD --listen 10.0.0.9:7000"
            f" --wait 10s --key-file {session['prod_key_file']}",
            **certificate,
        )
        assert hello.rc == 0, hello.err
        done = field.run(job, PBS_O_WORKDIR=str(field.folder))
        assert done.out.startswith("1000000 bytes"), done.err
        assert waiting.wait() == 0
        assert field.run(release, **certificate).out == "Release completed\n"


def test_the_settings_of_a_workflow_let_it_in(
    tmp_path: Path, openid_provider: OpenIdProvider, gates: Gates
) -> None:
    user = Client(tmp_path, *gates)
    user.env["SCISTREAM_IDENTITY_CA"] = str(openid_provider.ca_file)
    secret = user.folder / "secret"
    secret.write_text(openid_provider.workflow_secret)
    secret.chmod(0o600)
    (text,) = of_language("howto-workflows", "toml")
    for name, word in {
        '"ID"': f'"{WORKFLOW}"',
        '"SCOPE"': f'"{SCOPE}"',
        "/home/user/.config/scistream/secret": str(secret),
        "https://login.example.org": openid_provider.issuer,
        "gw1.example.org:5000": gates[0].endpoint,
    }.items():
        assert name in text
        text = text.replace(name, word)
    configure(user, text)
    assert [info(user, gate).rc for gate in gates] == [0, 3], "it is for the first one alone"


@pytest.mark.parametrize("name", GUIDES)
def test_every_program_is_sound(name: str, tmp_path: Path) -> None:
    """Those that other tests run, and those that nothing here can run."""
    for source in of_language(name, "python"):
        compile(source, name, "exec")
    scripts = [*of_language(name, "sh"), *of_language(name, "")]
    for number, script in enumerate(scripts):
        path = tmp_path / f"{number}.sh"
        path.write_text(script)
        assert run("bash", "-n", path).err == ""
        if script.startswith(("#!", "set -")):
            shebang = [] if script.startswith("#!") else ["--shell", "bash"]
            assert run("shellcheck", *shebang, path).out == ""


# ---- the other pages ---------------------------------------------------------------------------


def test_a_session_of_two_steps_and_of_one_are_the_same(field: Place, pair: Pair) -> None:
    trusts(field, pair)
    env = {"SCISTREAM_SERVER_CERT": str(field.folder / "facilities.pem")}
    app_host, app_port = field.stand_ins["10.0.0.9:7000"].split(":")
    field.stand_ins |= {"10.0.0.9": app_host, "ports 7000": f"ports {app_port}"}
    before, after = (
        block for block in of_language("migration", "") if "_request" in block or "--uid" in block
    )
    first, *rest = before.splitlines()
    inbound = field.run(first, **env)
    uid = inbound.out.splitlines()[1].split()[0]
    (listener,) = re.findall(r"Listeners: \['(.*)'\]", inbound.out)
    field.stand_ins |= {"UID": uid, "192.0.2.10:5100": listener}
    for block in ("\n".join(rest), after):
        done = field.run(block, **env)
        assert done.rc == 0, done.err
        assert done.out.endswith("Release completed\n")


def test_any_peer_that_has_the_key_can_be_the_other_end(tmp_path: Path) -> None:
    (text,) = of_language("protocol", "")
    relay, *peer = text.splitlines()
    place = Place(tmp_path, {"127.0.0.1:7443": f"{own_address()}:7443"})
    (place.folder / "shared.key").write_text(f"{os.urandom(32).hex()}\n")
    (place.folder / "shared.key").chmod(0o600)
    with application(sends(b"to whoever has the key\n")) as app:
        place.stand_ins["127.0.0.1:7000"] = app.endpoint
        with place.start(relay.removesuffix(" &")) as served:
            served.line("^s2ds ready on ")
            # Its standard input is a terminal that nobody types at.
            done = place.run("\n".join(["{ sleep 2; } | {", *peer, "}"]))
    assert "to whoever has the key" in done.out, done.err


def test_the_doctor_of_the_page_looks(tmp_path: Path) -> None:
    place = Place(tmp_path, {})
    (text,) = (each for each in of_language("performance", "sh") if each.startswith("s2ds"))
    done = place.run(text)
    assert done.rc == 0, done.err
    assert "cipher" in done.out


@pytest.fixture(scope="module")
def helps() -> str:
    lines: list[Sequence[str]] = [[name] for name in COMMANDS]
    lines += [[name, command] for name, commands in COMMANDS.items() for command in commands]
    return "\n".join(run(BIN / name, *rest, "--help").out for name, *rest in lines)


@pytest.mark.parametrize("name", GUIDES)
def test_every_option_and_variable_exists(name: str, helps: str) -> None:
    known = {option.replace("_", "-") for option in re.findall(r"--[a-z][\w-]*", helps)}
    named = {each.replace("_", "-") for each in re.findall(r"(?<!\S)`?(--[a-z][\w-]*)", page(name))}
    assert named - known - OPTIONS_OF_OTHERS == set()
    source = "\n".join(path.read_text() for path in (ROOT / "cpp").rglob("*.cpp"))
    variables = set(re.findall(r"SCISTREAM_[A-Z_]+", page(name)))
    assert {each for each in variables if each not in helps and f'"{each}"' not in source} == set()


@pytest.mark.parametrize("name", GUIDES)
def test_every_command_exists(name: str) -> None:
    words = re.findall(r"(?:^|`)(s2uc|s2ds|appctrl) ([a-z][\w-]*)", page(name), re.M)
    assert [pair for pair in words if pair[1].replace("_", "-") not in COMMANDS[pair[0]]] == []


def rows(text: str, head: str) -> list[list[str]]:
    """The cells of every table whose first heading is `head`."""
    tables = re.findall(rf"^\| {head} \|.*?(?=^\n|\Z)", text, re.M | re.S)
    lines = [line for table in tables for line in table.splitlines()[2:]]
    return [re.split(r" \| ", line.strip("| ")) for line in lines]


def test_every_message_is_one_of_the_programs() -> None:
    """By its parts: between are names and numbers, and what one message says of another."""
    said = said_by_the_programs(ROOT)
    said += "\n".join(path.read_text() for path in (ROOT / "python/scistream").glob("*.py"))
    of_the_system = "|".join(re.escape(text) for text in OF_THE_SYSTEM)
    codes = set(re.findall(r"^\| (\d+) \|", page("exit-codes"), re.M)) | {"125"}
    messages = [*rows(page("faq"), "message"), *rows(page("faq"), "reason of an end")]
    assert len(messages) > 50
    for first, *_ in messages:
        message, *_ = spans(first)
        parts = re.split(rf"…|: |\(|{of_the_system}", message)
        strange = [part for part in parts if part.strip(" ':,;.)") not in said]
        assert strange == [], message
        assert set(re.findall(r"\b\d+\b", re.sub(r"`[^`]*`", "", first))) <= codes


def test_messages_of_the_migration_page_are_those_of_the_programs() -> None:
    said = said_by_the_programs(ROOT)
    messages = [block for block in of_language("migration", "") if block.startswith("s2cs: ")]
    for message in messages:
        parts = message.strip().removeprefix("s2cs: ").split("192.0.2.10")
        assert [part for part in parts if part not in said] == []
    for first, *_ in rows(page("migration"), "line on standard output"):
        assert next(spans(first)).strip("… ") in said


def test_every_path_exists() -> None:
    named = {
        span
        for name in GUIDES
        for span in spans(page(name))
        if re.match(r"(cpp|python|proto|tests|bench|deploy)/", span)
    }
    assert len(named) > 60
    assert [path for path in named if not (ROOT / path).exists()] == []


def enumerators(file: str, name: str) -> list[str]:
    (body,) = re.findall(rf"enum class {name} \{{(.*?)\}}", (ROOT / file).read_text(), re.S)
    return re.findall(r"(\w+)\s*(?:,|$)", re.sub(r"///<?.*", "", body).strip())


@pytest.mark.parametrize(
    ("number", "folder", "file", "state", "put"),
    [
        (0, "session", "machine", "State", "Input"),
        (1, "session", "client_machine", "ClientState", "ClientInput"),
        (2, "dataserver", "machine", "State", "Input"),
    ],
)
def test_state_diagrams_are_those_of_the_machines(
    number: int, folder: str, file: str, state: str, put: str
) -> None:
    diagrams = [text for text in of_language("architecture", "mermaid") if "stateDiagram" in text]
    assert len(diagrams) == 3
    arrows = re.findall(r"^ +(\S+) --> ([^:\s]+)(?:: (.*))?$", diagrams[number], re.M)
    assert len(arrows) == len(diagrams[number].splitlines()) - 1
    drawn = {each for start, end, _ in arrows for each in (start, end)}
    header = f"cpp/{folder}/{file}.hpp"
    assert drawn - {"[*]"} == set(enumerators(header, state))
    inputs = {each.replace("_", " ") for each in enumerators(header, put)}
    assert {label for _, _, label in arrows if label} == inputs


def calls(file: str) -> set[str]:
    text = (ROOT / "proto/scistream" / file).read_text()
    return set(re.findall(r"^  rpc (\w+)\(", text, re.M))


def test_the_sequence_is_made_of_calls() -> None:
    """What a control server or a data server is asked is an rpc of its service."""
    (text,) = (each for each in of_language("architecture", "mermaid") if "sequence" in each)
    names = dict(re.findall(r"participant (\w+) as (.*)$", text, re.M))
    assert len(names) == 7
    for command in COMMANDS:
        assert any(command in name for name in names.values())
    arrows = re.findall(r"^ +(\w+)-(-?)>>(\w+): (\w+)", text, re.M)
    assert len(arrows) == len(re.findall(r"->>", text))
    assert {end for start, _, other, _ in arrows for end in (start, other)} <= names.keys()
    asked = [(names[other], word) for _, answers, other, word in arrows if not answers]
    control = {word for name, word in asked if "s2cs" in name}
    assert control == {"req", "hello", "update", "release"} <= calls("control.proto")
    data = {word for name, word in asked if "s2ds" in name}
    assert data - {"connects"} == {"reserve", "update", "release"} <= calls("dataserver.proto")


def test_the_overview_has_the_programs() -> None:
    (text,) = of_language("about", "mermaid")
    nodes = dict(re.findall(r'^ +(\w+)\["([^"]+)"\]$', text, re.M))
    assert {name.split(",")[0] for name in nodes.values()} == {
        *COMMANDS,
        "producer application",
        "consumer application",
    }
    arrows = re.findall(r"^ +(\w+) -->\|.*\| (\w+)$", text, re.M)
    assert len(arrows) == text.count("-->")
    assert {end for arrow in arrows for end in arrow} == nodes.keys()


def test_the_numbers_are_those_that_were_measured() -> None:
    measured = (ROOT / "bench/README.md").read_text()
    text = page("performance")
    numbers = re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", text)
    assert len(numbers) > 50
    assert [number for number in numbers if number not in measured] == []


def test_the_index_has_every_page() -> None:
    listed = re.findall(r"\]\(([\w-]+)\.md\)", page("index"))
    assert sorted(listed) == sorted({path.stem for path in DOCS.glob("*.md")} - {"index"})


def test_what_is_not_run_is_little() -> None:
    skipped = [
        block
        for name in ("tutorial", "howto-users", "howto-instruments", "howto-workflows")
        for block in of_language(name, "sh")
        if block.startswith(NOT_RUN_HERE)
    ]
    assert len(skipped) == 2
