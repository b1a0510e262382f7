"""Consoles of real guests, with readers, writers and terminals."""

import contextlib
import json
import os
import select
import signal

import pytest
from lab import DEADLINE, RpcError, qemus, wait_until
from streams import Terminal, raw


@pytest.fixture
def guest(lab, daemon):
    return lab.guest("web")


def test_a_console_types_and_shows(daemon, guest):
    with raw(daemon, "domain.console", domain_name="web", write=True) as writer:
        with raw(daemon, "domain.console", domain_name="web") as reader:
            writer.send(b"echo $((6 * 7))-answer\n")
            writer.until(b"42-answer")
            reader.until(b"42-answer")
            # A reader's keys go nowhere.
            reader.send(b"echo $((6 * 7))-unheard\n")
            with pytest.raises(RpcError) as error:
                with raw(daemon, "domain.console", domain_name="web", write=True):
                    pass
            assert error.value.code == "busy"
            assert "web" in str(error.value)
            writer.send(b"echo $((6 * 7))-last\n")
            assert b"42-unheard" not in reader.until(b"42-last")

    # The place of the writer is free again, and the recent past is shown.
    def write_again():
        with contextlib.suppress(RpcError):
            with raw(daemon, "domain.console", domain_name="web", write=True) as stream:
                return stream.until(b"42-last")
        return False

    wait_until(write_again, "the writer's place is given up")


def test_a_console_ends_with_its_domain(daemon, guest):
    with raw(daemon, "domain.console", domain_name="web") as stream:
        with raw(daemon, "domain.logs", domain_name="web", follow=True) as log:
            daemon.call("domain.destroy", domain_name="web")
            stream.until_end()
            log.until_end()


def test_what_a_guest_says_last_is_kept(daemon, guest):
    with raw(daemon, "domain.console", domain_name="web", write=True) as stream:
        stream.until(b"#")
        stream.send(b"echo $((6 * 7))-farewell; poweroff -f\n")
        assert b"42-farewell" in stream.until_end()
    wait_until(
        lambda: daemon.call("domain.list")["domains"][0]["state"] == "stopped", "the guest is off"
    )
    assert "42-farewell" in daemon.wsoctl("logs", "web").stdout
    for write in (True, False):
        with pytest.raises(RpcError) as error:
            with raw(daemon, "domain.console", domain_name="web", write=write):
                pass
        assert "stopped" in str(error.value)


@pytest.mark.parametrize("method", ["domain.console", "domain.logs"])
def test_raw_streams_are_refused_and_the_connection_goes_on(daemon, method):
    with daemon.connect() as connection:
        for params in ({"domain_name": "none"}, {}, {"domain_name": 5}, {"domain_name": "web", "x": 1}):
            with pytest.raises(RpcError):
                connection.call(method, **params)
        connection.call("events.subscribe")
        with pytest.raises(RpcError) as error:
            connection.call(method, domain_name="none")
        assert error.value.code == "busy"
        assert connection.call("domain.list") == {"domains": []}


def test_a_raw_stream_does_not_cut_into_another_answer(daemon):
    daemon.launch_paused("web")
    with daemon.connect() as connection:
        wait = {"domain_name": "web", "for": "ping", "timeout_ms": 300}
        lines = [
            {"jsonrpc": "2.0", "id": 1, "method": "domain.wait", "params": wait},
            {"jsonrpc": "2.0", "id": 2, "method": "domain.console", "params": {"domain_name": "web"}},
        ]
        connection.send_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        assert connection.receive()["error"]["data"]["code"] == "busy"
        assert connection.receive()["error"]["data"]["code"] == "timeout"


def test_a_writer_whose_guest_takes_nothing_gives_its_place_up(daemon):
    daemon.launch_paused("web")
    with raw(daemon, "domain.console", domain_name="web", write=True) as stream:
        # As much as all queues on the way take.
        os.set_blocking(stream.fd, False)
        while select.select([], [stream.fd], [], 0.5)[1]:
            os.write(stream.fd, b"x" * 65536)

    def write_again():
        with contextlib.suppress(RpcError):
            with raw(daemon, "domain.console", domain_name="web", write=True):
                return True
        return False

    wait_until(write_again, "the writer's place is given up")


def test_a_console_is_there_again_after_the_daemon_was_killed(lab, daemon, guest):
    daemon.stop(signal.SIGKILL)
    daemon = lab.start_daemon()
    with raw(daemon, "domain.console", domain_name="web", write=True) as stream:
        stream.send(b"echo $((6 * 7))-again\n")
        stream.until(b"42-again")


def test_the_daemon_ends_whatever_streams_are_open(daemon):
    daemon.launch_paused("web")
    with contextlib.ExitStack() as stack:
        subscriber = stack.enter_context(daemon.connect())
        subscriber.call("events.subscribe")
        reader = stack.enter_context(raw(daemon, "domain.console", domain_name="web"))
        log = stack.enter_context(raw(daemon, "domain.logs", domain_name="web", follow=True))
        writer = stack.enter_context(raw(daemon, "domain.console", domain_name="web", write=True))
        os.set_blocking(writer.fd, False)
        while select.select([], [writer.fd], [], 0.5)[1]:
            os.write(writer.fd, b"x" * 65536)
        assert daemon.stop() == 0
        for stream in (reader, log, writer):
            stream.until_end()
        assert subscriber.receive() is None
    assert len(qemus()) == 1


def test_wsoctl_console_is_a_terminal_that_ctrl_bracket_leaves(daemon, guest):
    with Terminal(daemon, "console", "web") as terminal:
        terminal.shown.until(b"Ctrl-] leaves")
        terminal.type(b"echo $((6 * 7))-typed\r")
        terminal.shown.until(b"42-typed")
        assert not terminal.is_as_before()
        # To the guest, not to wsoctl.
        terminal.type(b"echo $((6 * 7))-asleep; sleep 1000\r")
        terminal.shown.until(b"42-asleep")
        terminal.shown.text = b""

        def interrupt():
            # The shell may not have begun to sleep.
            terminal.type(b"\x03")
            with contextlib.suppress(AssertionError):
                return terminal.shown.until(b"/ # ", 1)
            return False

        wait_until(interrupt, "the shell is interrupted")
        terminal.type(b"echo $((6 * 7))-interrupted\r")
        terminal.shown.until(b"42-interrupted")
        refused = daemon.wsoctl("console", "web", check=False)
        assert refused.returncode == 1
        assert "--read-only" in refused.stderr
        terminal.type(b"\x1d")
        assert terminal.process.wait(DEADLINE) == 0
        assert terminal.is_as_before()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_wsoctl_console_restores_the_terminal_on_signals(daemon, how):
    daemon.launch_paused("web")
    with Terminal(daemon, "console", "web", "--read-only") as terminal:
        wait_until(lambda: not terminal.is_as_before(), "the terminal is raw")
        terminal.process.send_signal(how)
        assert terminal.process.wait(DEADLINE) == -how
        assert terminal.is_as_before()


def test_wsoctl_console_restores_the_terminal_when_the_domain_ends(daemon):
    daemon.launch_paused("web")
    with Terminal(daemon, "console", "web") as terminal:
        wait_until(lambda: not terminal.is_as_before(), "the terminal is raw")
        daemon.call("domain.destroy", domain_name="web")
        assert terminal.process.wait(DEADLINE) == 0
        assert terminal.is_as_before()
        terminal.shown.until(b"is closed")
