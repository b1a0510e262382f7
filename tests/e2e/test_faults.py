"""What surrounds a launch fails: files, disks, links, kernel, QEMU. Each with a clear error, and nothing
is left or lost."""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from lab import BUILD, SUPPORT, RpcError, everything, qemus, run


def refused(daemon, match, name="web", **params):
    """The launch fails with these words and leaves all as it was."""
    before = everything(daemon)
    with pytest.raises(RpcError, match=match) as error:
        daemon.launch_paused(name, **params)
    assert everything(daemon) == before
    assert daemon.call("domain.list") == {"domains": []}
    return error.value


@pytest.mark.parametrize("name", ["wso-web-disk.qcow2", "wso-web-netconfig.sh"])
@pytest.mark.parametrize("kind", ["file", "symlink", "dangling", "directory"])
def test_what_is_at_the_path_already_is_left_alone(daemon, name, kind):
    path = daemon.disks / name
    target = daemon.disks / "precious"
    target.write_text("precious")
    if kind == "file":
        path.write_text("precious")
    elif kind == "symlink":
        path.symlink_to(target)
    elif kind == "dangling":
        path.symlink_to(daemon.disks / "nowhere")
    else:
        path.mkdir()
    error = refused(daemon, re.escape(str(path)))
    assert error.code == "already_exists"
    assert target.read_text() == "precious"
    assert not (daemon.disks / "nowhere").exists()


def test_a_foreign_file_survives_the_destruction(daemon):
    state = daemon.launch_paused("web")
    os.unlink(state["disk_path"])
    pathlib.Path(state["disk_path"]).write_text("precious")
    daemon.call("domain.destroy", domain_name="web")
    assert pathlib.Path(state["disk_path"]).read_text() == "precious"


@pytest.mark.parametrize("link", ["virbrweb", "vnetweb"])
def test_a_link_that_is_not_ours_is_left_alone(daemon, link):
    run("ip", "link", "add", link, "type", "bridge")
    try:
        error = refused(daemon, link)
        assert error.code == "already_exists"
    finally:
        run("ip", "link", "delete", link)


@pytest.mark.parametrize(
    "command",
    [
        "ip address add 192.168.100.7/30 dev eth0",
        "ip route add 192.168.0.0/16 via 203.0.113.1",
        "ip route add 192.168.100.64/26 via 203.0.113.1 table 100",
    ],
)
def test_an_overlapping_subnet_is_refused(daemon, command):
    run(*command.split())
    try:
        error = refused(daemon, "192.168.100.0/24 overlaps .*eth0")
        assert error.code == "already_exists"
    finally:
        run(*command.replace(" add ", " delete ").split())
    daemon.launch_paused("web")


def test_an_overlapping_subnet_is_refused_at_the_start(lab):
    run("ip", "route", "add", "192.168.0.0/16", "via", "203.0.113.1")
    try:
        daemon = lab.start_daemon(ready=False)
        assert daemon.process.wait(20) == 1
        assert "overlaps" in daemon.log
    finally:
        run("ip", "route", "delete", "192.168.0.0/16")


def test_an_iso_that_root_may_not_read(daemon):
    iso = daemon.directory / "pipe.iso"
    os.mkfifo(iso)
    refused(daemon, "pipe.iso", iso_path=str(iso))
    link = daemon.directory / "link.iso"
    link.symlink_to("/dev/zero")
    refused(daemon, "/dev/zero is not a regular file", iso_path=str(link))


def test_no_qemu(lab):
    daemon = lab.start_daemon("--qemu", "/nonexistent/qemu")
    refused(daemon, "/nonexistent/qemu: No such file or directory: the option 'qemu' must name")


@pytest.mark.parametrize("kind", ["directory", "plain", "out-of-reach"])
def test_a_qemu_that_cannot_be_executed(lab, kind):
    program = pathlib.Path("/run/lab/qemu")
    if kind == "plain":
        program.write_text("#!/bin/sh\n")
    else:
        program.mkdir(mode=0o755 if kind == "directory" else 0o700)
    if kind == "out-of-reach":  # of the user that QEMU runs as
        program = pathlib.Path(shutil.copy("/bin/true", program))
    daemon = lab.start_daemon("--qemu", str(program))
    refused(daemon, f"start {program}: Permission denied: the option 'qemu' must name a program")


def with_fake_qemu(lab, mode):
    # A copy: QEMU's user may not be able to enter the directory of this checkout.
    fake = pathlib.Path("/run/lab") / mode
    shutil.copy(SUPPORT / "fake_qemu.py", fake)
    config = pathlib.Path("/run/lab/fake.toml")
    config.write_text(f'qemu = "{fake}"\nqemu_start_seconds = 2\n')
    return lab.start_daemon("--config", str(config))


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("exits", "exited with status 1: fake QEMU: I do not feel like it"),
        ("silent", "no answer within 2000 ms"),
        ("half", "no answer within 2000 ms"),
        ("garbage", "not JSON"),
        ("endless", "longer than"),
        ("hangs-up", "QMP of web"),
        ("wrong-uuid", "00000000-0000-0000-0000-000000000000"),
        ("not-paused", "'running' instead of 'prelaunch'"),
    ],
)
def test_a_qemu_that_misbehaves(lab, mode, says):
    daemon = with_fake_qemu(lab, mode)
    refused(daemon, says)
    assert not [pid for pid in qemus()]
    memory = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text())
    assert int(memory[1]) < 600 * 1024


def test_a_qemu_that_does_not_understand_its_arguments(lab):
    program = pathlib.Path("/run/lab/qemu")
    program.write_text('#!/bin/sh\nexec /usr/bin/qemu-system-x86_64 "$@" -device no-such-device\n')
    program.chmod(0o755)
    daemon = lab.start_daemon("--qemu", str(program))
    error = refused(daemon, "no-such-device")
    assert error.code == "process"


def fill(path):
    """Takes all that is left of a file system."""
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    with contextlib.suppress(OSError):
        while os.write(file, bytes(4096)):
            pass
    os.close(file)


@pytest.mark.parametrize("full", ["disks", "state"])
def test_a_full_disk(lab, full):
    directory = pathlib.Path("/run/lab/wso") / full
    directory.mkdir(parents=True)
    run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory)
    daemon = lab.start_daemon()
    try:
        fill(directory / "filler")
        refused(daemon, "No space left")
        (directory / "filler").unlink()
        daemon.launch_paused("web")
        fill(directory / "filler")
        # This is how room is made on it.
        daemon.call("domain.destroy", domain_name="web")
        assert [path.name for path in directory.rglob("*web*")] == []
    finally:
        daemon.stop()
        run("umount", directory)


def test_a_state_directory_that_has_become_read_only(lab):
    daemon = lab.start_daemon()
    directory = daemon.workdir
    web = daemon.launch_paused("web")
    run("mount", "--bind", directory, directory)
    try:
        run("mount", "-o", "remount,ro,bind", directory)
        for method, params in {
            "domain.stop": {"force": True, "timeout_ms": 0},
            "domain.resume": {},
            "domain.destroy": {},
        }.items():
            with pytest.raises(RpcError, match="Read-only file system"):
                daemon.call(method, domain_name="web", **params)
        with pytest.raises(RpcError, match="Read-only file system"):
            daemon.launch_paused("other")
        (domain,) = daemon.call("domain.list")["domains"]
        assert (domain["state"], domain["pid"]) == ("paused", web["pid"])
        assert qemus() == [web["pid"]]
        assert "virbrweb" in run("nft", "list", "ruleset")
    finally:
        run("umount", "--lazy", directory)
    daemon.call("domain.stop", domain_name="web", force=True, timeout_ms=0)
    daemon.call("domain.destroy", domain_name="web")


def test_a_kernel_without_nf_tables(lab):
    NETLINK_NETFILTER = "12"
    refuse = ["/usr/bin/python3", SUPPORT / "refuse_socket.py", NETLINK_NETFILTER]
    daemon = lab.start_daemon(wrapper=refuse, ready=False)
    assert daemon.process.wait(20) == 1
    assert "nf_tables" in daemon.log


def test_not_root(lab):
    # A copy, as for QEMU above.
    shutil.copy(BUILD / "src/wsod/wsod", "/run/lab/wsod")
    command = ["/run/lab/wsod", "run", "--socket", "/run/lab/s", "--workdir", "/run/lab/w"]
    done = subprocess.run(
        command, user=65534, group=65534, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 1
    assert "must run as root" in done.stderr


@pytest.mark.parametrize("option", ["--workdir", "--runtime-dir"])
def test_a_second_daemon_in_a_directory_is_refused(lab, daemon, option):
    directory = daemon.workdir if option == "--workdir" else daemon.runtime_dir
    other = lab.start_daemon(option, directory, name="other", wrapper=["unshare", "-n"], ready=False)
    assert other.process.wait(20) == 1
    assert f"another wso server uses {directory}" in other.log


def test_a_second_daemon_in_the_namespace_is_refused(lab, daemon):
    other = lab.start_daemon(name="other", ready=False)
    assert other.process.wait(20) == 1
    assert "another wso server" in other.log


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("subnet = 5\n", "subnet must be a string"),
        ('subnet = "192.168.100.1/24"\n', "192.168.100.1/24"),
        ('gateway = "10.0.0.1"\n', "10.0.0.1"),
        ("colour = 1\n", "'colour' is not known"),
        ("subnet = \n", "line 1"),
        ('guest_to_host = "maybe"\n', "maybe"),
        ('on_exit = "explode"\n', "explode"),
    ],
)
def test_a_bad_configuration(lab, text, says):
    config = pathlib.Path("/run/lab/bad.toml")
    config.write_text(text)
    daemon = lab.start_daemon("--config", str(config), ready=False)
    assert daemon.process.wait(20) == 2
    assert says in daemon.log
