"""What guests and QEMU have printed, and a guest that prints without end."""

import contextlib
import os
import pathlib
import select
import signal
import time

import pytest
from lab import DEADLINE, wait_until
from streams import Bytes, raw, wsoctl

CAP = 1024 * 1024


@pytest.fixture
def guest(lab, daemon):
    return lab.guest("web")


def test_logs_show_the_tail_and_what_follows(daemon, guest):
    with raw(daemon, "domain.console", domain_name="web", write=True) as stream:
        stream.until(b"#")
        stream.send(b"for i in 1 2 3 4 5; do echo line-$i; done; echo $((6 * 7))-done\n")
        stream.until(b"42-done\r\n")
        stream.until(b"# ")
        everything = daemon.wsoctl("logs", "web").stdout
        assert everything.count("line-5") == 1
        wait_until(lambda: "42-done" in daemon.wsoctl("logs", "web").stdout, "the log has it")
        tail = daemon.wsoctl("logs", "--tail", "4", "web").stdout
        assert tail.split("\n")[0].strip() == "line-4", tail
        assert daemon.wsoctl("logs", "--tail", "0", "web").stdout == ""
        with wsoctl(daemon, "logs", "-f", "--tail", "0", "web") as process:
            follower = Bytes(process.stdout.fileno())
            wait_until(lambda: follows_a_file(daemon), "the daemon follows the log")
            stream.send(b"echo $((6 * 7))-followed\n")
            follower.until(b"42-followed")
            assert b"42-done" not in follower.text
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE) == 0


def follows_a_file(daemon):
    descriptors = pathlib.Path(f"/proc/{daemon.process.pid}/fd").iterdir()
    return any("inotify" in os.readlink(descriptor) for descriptor in descriptors)


def size_of(path):
    """0 also in the instant in which a log has been put aside, and the new one is not made yet."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def test_a_guest_that_prints_without_end_fills_nothing_and_slows_nobody(daemon, guest):
    daemon.launch_paused("other")
    log = daemon.workdir / "log/web.console"
    old = daemon.workdir / "log/web.console.old"
    with contextlib.ExitStack() as stack:
        follower = stack.enter_context(raw(daemon, "domain.logs", domain_name="web", follow=True, tail=0))
        for _ in range(10):  # who never read
            stack.enter_context(raw(daemon, "domain.console", domain_name="web"))
            stack.enter_context(raw(daemon, "domain.logs", domain_name="web", follow=True))
        writer = stack.enter_context(raw(daemon, "domain.console", domain_name="web", write=True))
        writer.until(b"/ # ")
        writer.send(b"yes 0123456789012345678901234567890123456789\n")
        follower.until(b"0123456789" * 4)
        slowest = 0.0
        rotated = 0
        seen = None
        end = time.monotonic() + DEADLINE
        while rotated < 3:
            assert time.monotonic() < end, f"rotated {rotated} times, {size_of(log)} bytes"
            start = time.monotonic()
            daemon.call("domain.list")
            slowest = max(slowest, time.monotonic() - start)
            assert size_of(log) <= CAP
            if 0 < size_of(log) < CAP // 2:
                # As if it had been at it for long: without KVM it prints some 25 KB a second.
                with contextlib.suppress(FileNotFoundError):
                    os.truncate(log, CAP - 100_000)
            if old.exists():
                assert size_of(old) <= CAP
                rotated += old.stat().st_ino != seen
                seen = old.stat().st_ino
            while select.select([follower.fd], [], [], 0)[0]:
                follower.read(0)
        assert slowest < 0.5, slowest
        # The guest itself is well, and can be stopped typing to.
        writer.text = b""
        writer.send(b"\x03")
        writer.until(b"/ # ")
        writer.send(b"echo $((6 * 7))-stopped\n")
        writer.until(b"42-stopped")
        follower.until(b"42-stopped")
    tail = daemon.wsoctl("logs", "--tail", "1000", "web").stdout
    assert tail.count("\n") in (999, 1000)
    daemon.call("domain.destroy", domain_name="web")
    assert not log.exists() and not old.exists()


def test_the_logs_of_qemu_are_shown(daemon):
    daemon.launch_paused("web")
    (daemon.workdir / "log/web.log").write_text("a message of QEMU\n")
    assert daemon.wsoctl("logs", "--qemu", "web").stdout == "a message of QEMU\n"
    assert daemon.wsoctl("logs", "web").stdout == ""
    daemon.call("domain.destroy", domain_name="web")

    # A new QEMU does not take away what the last one said; a destruction does.
    (daemon.workdir / "log/web.log").write_text("the last words of QEMU\n")
    daemon.launch_paused("web")
    assert daemon.wsoctl("logs", "--qemu", "web").stdout == "the last words of QEMU\n"
    daemon.call("domain.destroy", domain_name="web")
    assert list((daemon.workdir / "log").iterdir()) == []
    failed = daemon.wsoctl("logs", "none", check=False)
    assert failed.returncode == 1
    assert "there is no domain none" in failed.stderr


def print_as_qemu(daemon, text):
    """Into the standard error of its QEMU."""
    pipe = os.open(daemon.runtime_dir / "web.messages", os.O_WRONLY | os.O_NONBLOCK)
    try:
        return os.write(pipe, text)
    except BlockingIOError:
        return 0
    finally:
        os.close(pipe)


def test_what_qemu_prints_is_kept_while_no_daemon_runs_and_its_last_words_too(lab, daemon):
    pid = daemon.launch_paused("web")["pid"]
    daemon.stop(signal.SIGKILL)
    print_as_qemu(daemon, b"said to nobody\n")
    again = lab.start_daemon()
    wait_until(lambda: "said to nobody" in again.wsoctl("logs", "--qemu", "web").stdout, "it is kept")
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: again.call("domain.list")["domains"][0]["state"] == "stopped", "QEMU ends")
    assert "terminating on signal 15" in again.wsoctl("logs", "--qemu", "web").stdout


def test_a_qemu_that_prints_without_end_fills_nothing_and_is_not_held_up(daemon):
    pid = daemon.launch_paused("web")["pid"]
    flags = pathlib.Path(f"/proc/{pid}/fdinfo/2").read_text().split("flags:")[1].split()[0]
    assert int(flags, 8) & os.O_NONBLOCK
    log, old = daemon.workdir / "log/web.log", daemon.workdir / "log/web.log.old"
    written = 0
    end = time.monotonic() + DEADLINE
    while written < 4 * CAP:
        assert time.monotonic() < end, f"{written} bytes written"
        written += print_as_qemu(daemon, b"virtio: zero sized buffers are not allowed\n" * 100)
        assert size_of(log) <= CAP
    wait_until(lambda: size_of(old) > CAP // 2, "the log rotates")
    assert size_of(old) <= CAP
    assert daemon.call("domain.status")["domains"][0]["live"]["qemu_status"] == "prelaunch"
