"""Events, with subscribers that are slow, many, or gone."""

import contextlib
import json
import os
import signal
import time

import pytest
from lab import DEADLINE, RpcError, wait_until
from streams import wsoctl


def events(connection, n):
    messages = [connection.receive() for _ in range(n)]
    assert all(message["method"] == "event" for message in messages), messages
    return [message["params"] for message in messages]


def test_events_are_numbered_and_come_to_all(daemon):
    before = time.time()
    with daemon.connect() as one, daemon.connect() as other:
        first = one.call("events.subscribe")["next"]
        assert other.call("events.subscribe")["next"] == first
        daemon.launch_paused("web")
        daemon.call("domain.destroy", domain_name="web")
        got = events(one, 2)
        assert events(other, 2) == got
    assert [event["event"] for event in got] == ["domain.launched", "domain.destroyed"]
    assert [event["number"] for event in got] == [first, first + 1]
    for event in got:
        assert event["domain_name"] == "web"
        assert isinstance(event["details"], dict)
        assert before - 1 <= event["time_ms"] / 1000 <= time.time() + 1


def test_a_subscription_begins_where_it_is_asked_to(daemon):
    daemon.launch_paused("web")
    daemon.call("domain.destroy", domain_name="web")
    with daemon.connect() as connection:
        upcoming = connection.call("events.subscribe", since=0)["next"]
        all_of_them = events(connection, 2)
        assert all_of_them[1]["number"] == upcoming - 1
    with daemon.connect() as connection:
        connection.call("events.subscribe", since=all_of_them[0]["number"])
        assert events(connection, 1) == all_of_them[1:]


def test_requests_go_on_beside_a_subscription(daemon):
    with daemon.connect() as connection:
        connection.call("events.subscribe")
        assert connection.call("domain.list") == {"domains": []}
        with pytest.raises(RpcError) as error:
            connection.call("events.subscribe")
        assert error.value.code == "already_exists"
        launch = connection.send("domain.launch", domain_name="web", paused=True, memory_kib=32768)
        kinds = {message.get("id", message.get("method")) for message in
                 (connection.receive(), connection.receive())}
        assert kinds == {launch, "event"}


@pytest.mark.parametrize("params", [{"since": -1}, {"since": "1"}, {"since": 2**62}, {"from": 1}])
def test_a_bad_subscription_is_refused(daemon, params):
    with daemon.connect() as connection:
        with pytest.raises(RpcError) as error:
            connection.call("events.subscribe", **params)
        assert error.value.code in ("invalid_argument", "protocol")
        assert connection.call("domain.list") == {"domains": []}


def test_numbers_go_on_after_a_restart_and_the_gap_is_told(lab, daemon):
    daemon.launch_paused("web")
    with daemon.connect() as connection:
        connection.call("events.subscribe", since=0)
        last = events(connection, 1)[0]["number"]
    daemon.stop(signal.SIGKILL)
    daemon = lab.start_daemon()
    with daemon.connect() as connection:
        upcoming = connection.call("events.subscribe", since=last)["next"]
        assert upcoming > last
        missed = connection.receive()
        assert missed["method"] == "missed"
        assert missed["params"]["from"] == last + 1
        assert missed["params"]["to"] < upcoming
        daemon.call("domain.destroy", domain_name="web")
        number = missed["params"]["to"] + 1
        event = events(connection, 1)[0]
        while event["event"] != "domain.destroyed":
            assert event["number"] == number
            number += 1
            event = events(connection, 1)[0]


def test_subscribers_that_never_read_or_are_gone_delay_nobody(daemon):
    with contextlib.ExitStack() as stack:
        deaf = [stack.enter_context(daemon.connect()) for _ in range(20)]
        for connection in deaf:
            connection.call("events.subscribe")
        for _ in range(20):
            with daemon.connect() as gone:
                gone.call("events.subscribe")
        with daemon.connect() as reader:
            reader.call("events.subscribe")
            for i in range(10):
                daemon.launch_paused(f"d{i}")
                daemon.call("domain.destroy", domain_name=f"d{i}")
            assert len(events(reader, 20)) == 20
            start = time.monotonic()
            daemon.call("domain.list")
            assert time.monotonic() - start < 0.5
        # Who reads late has missed nothing yet.
        assert len(events(deaf[0], 20)) == 20


def test_a_subscriber_that_reads_too_late_is_told_what_it_missed(daemon):
    n_pairs = 700
    daemon.launch_paused("web")
    with daemon.connect() as late, daemon.connect() as busy:
        number = late.call("events.subscribe")["next"]
        last = number + 2 * n_pairs - 1
        for _ in range(n_pairs):
            busy.call("domain.resume", domain_name="web")
            busy.call("domain.pause", domain_name="web")
        n_missed = 0
        while number <= last:
            message = late.receive()
            if message["method"] == "missed":
                assert message["params"]["from"] == number
                n_missed += message["params"]["to"] - number + 1
                number = message["params"]["to"] + 1
            else:
                assert message["params"]["number"] == number
                number += 1
        # What the socket and the daemon remember together has come.
        assert 0 < n_missed < 400


def test_subscriptions_end_with_their_connections(daemon):
    def open_files():
        return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))

    with daemon.connect() as connection:
        connection.call("events.subscribe")
    before = open_files()
    for _ in range(30):
        with daemon.connect() as connection:
            connection.call("events.subscribe")
    wait_until(lambda: open_files() <= before, "the daemon closes what its clients have closed")


def test_a_client_that_only_listens_is_served(daemon):
    with daemon.connect() as connection:
        connection.call("events.subscribe")
        connection.socket.shutdown(1)
        daemon.launch_paused("web")
        assert events(connection, 1)[0]["event"] == "domain.launched"


def test_wsoctl_prints_events_and_ends_on_interrupt(daemon):
    daemon.launch_paused("web")
    with wsoctl(daemon, "events", "--since", "0") as process:
        line = json.loads(process.stdout.readline())
        assert (line["event"], line["domain_name"]) == ("domain.launched", "web")
        daemon.call("domain.destroy", domain_name="web")
        line = json.loads(process.stdout.readline())
        assert line["event"] == "domain.destroyed"
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
        assert process.stderr.read() == b""
