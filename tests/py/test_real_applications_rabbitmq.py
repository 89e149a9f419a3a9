"""A RabbitMQ broker at one facility serves clients at another."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pika  # type: ignore[import-untyped]
import pytest

from applications import digest, payload
from conftest import Pair
from facility import Command, clean_environment, free_port, own_address, split
from needs import skip_or_fail
from real_applications import through

START = 50  # seconds that the broker may take to start or to end
PATIENCE = 20  # and for anything else
MESSAGES = 400

ERL = """#!/bin/sh
export EMU=beam PROGNAME=erl ROOTDIR={erlang} BINDIR={binaries}
exec {binaries}/erlexec "$@"
"""  # the packaged one runs from /usr only


def installed(root: Path) -> Path:
    """Where the broker's packages are: unpacked, or installed in the system."""
    places = [root / "build/broker", Path("/")]
    found = [place for place in places if (place / "usr/lib/rabbitmq").exists()]
    return found[0] if found else skip_or_fail("there is no rabbitmq-server here")


@contextlib.contextmanager
def broker_at(address: str, place: Path, folder: Path) -> Iterator[None]:
    """A node with its own name, folder and port mapper; all of it listens on loopback alone."""
    (server,) = place.glob("usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server")
    erlang = place / "usr/lib/erlang"
    (binaries,) = erlang.glob("erts-*/bin")
    (folder / "erl").write_text(ERL.format(erlang=erlang, binaries=binaries))
    (folder / "erl").chmod(0o755)
    (folder / "enabled_plugins").write_text("[].")
    (folder / "rabbitmq.conf").write_text("disk_free_limit.absolute = 50MB\n")
    host, port = split(address)
    settings = {
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(free_port()),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ALLOW_INPUT": "1",  # the node itself is what is started and ended
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_NODENAME": f"test-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": host,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    environment = clean_environment(folder, settings)
    environment["PATH"] = f"{folder}:{binaries}:{environment['PATH']}"
    with Command(binaries / "epmd", "-d", env=environment) as mapper:
        mapper.line("epmd running", "err")  # a node that finds none starts one, for good
        with Command(server, "-noinput", cwd=folder, env=environment) as node:
            node.line("Server startup complete", limit=START)
            yield
            node.signal(signal.SIGTERM)
            assert node.wait(START) == 0, node.out


@pytest.fixture(scope="module")
def broker(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a broker listens; nobody is told but the session."""
    host = own_address()
    address = f"{host}:{free_port(host)}"
    with broker_at(address, installed(root), tmp_path_factory.mktemp("broker")):
        yield address


def connection_to(address: str) -> pika.BlockingConnection:
    host, port = split(address)
    parameters = pika.ConnectionParameters(
        host, port, socket_timeout=PATIENCE, blocked_connection_timeout=PATIENCE, heartbeat=PATIENCE
    )
    return pika.BlockingConnection(parameters)


@contextlib.contextmanager
def channel_at(address: str) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    with contextlib.closing(connection_to(address)) as connection:
        yield connection.channel()


def message(number: int) -> bytes:
    """From nothing to more than the broker puts in one frame of the protocol."""
    return payload((number % 20) ** 3 * 40, seed=number)


def test_messages_come_in_order_and_unchanged(pair: Pair, broker: str) -> None:
    with through(pair, broker) as way:
        with channel_at(way.address) as producer, channel_at(way.address) as consumer:
            producer.queue_declare("scan", exclusive=False)
            producer.confirm_delivery()
            for number in range(MESSAGES):
                said = pika.BasicProperties(message_id=str(number), content_type="image/raw")
                producer.basic_publish("", "scan", message(number), said, mandatory=True)
            consumer.basic_qos(prefetch_count=16)
            got: list[tuple[str, str]] = []
            for method, properties, body in consumer.consume("scan", inactivity_timeout=PATIENCE):
                assert method is not None, f"nothing more after {len(got)}"
                assert properties.content_type == "image/raw"
                got.append((properties.message_id, digest(body)))
                consumer.basic_ack(method.delivery_tag)
                if len(got) == MESSAGES:
                    break
            consumer.cancel()
            assert got == [(str(n), digest(message(n))) for n in range(MESSAGES)]
            assert consumer.queue_delete("scan").method.message_count == 0
        size = sum(len(message(number)) for number in range(MESSAGES))
        way.carried(to_consumer=size, to_producer=size)
        assert way.connections() == [2] * 2


def test_what_was_not_acknowledged_comes_again_in_a_new_session(pair: Pair, broker: str) -> None:
    with channel_at(broker) as instrument:
        instrument.queue_declare("frames")
        instrument.basic_publish("", "frames", message(11))
        with through(pair, broker) as way:
            first = connection_to(way.address)
            method, _, body = first.channel().basic_get("frames")
            assert (method.redelivered, body) == (False, message(11))
        with pytest.raises(pika.exceptions.StreamLostError, match="reset by peer"):
            first.process_data_events(time_limit=PATIENCE)
        with through(pair, broker) as way, channel_at(way.address) as second:
            method, _, body = next(second.consume("frames", inactivity_timeout=PATIENCE))
            assert (method.redelivered, body) == (True, message(11))
            second.basic_ack(method.delivery_tag)
            second.cancel()
        assert instrument.queue_delete("frames").method.message_count == 0
