"""A daemon with nothing to do does next to nothing, and still finds out who hangs."""

import os
import signal
import time

from lab import cpu_ms, slowness, wait_until


def test_fifty_paused_domains_cost_less_than_50_ms_a_minute(lab):
    daemon = lab.start_daemon("--log-level", "info")
    for number in range(50):
        last = daemon.launch_paused(f"idle{number}")
    before = cpu_ms(daemon)
    # Here time itself is what is waited for.
    time.sleep(60)
    used = cpu_ms(daemon) - before
    print(f"{used:.1f} ms")
    assert used < 50 * slowness()
    os.kill(last["pid"], signal.SIGSTOP)

    def states():
        return {domain["state"] for domain in daemon.call("domain.list")["domains"]}

    # Nobody asks for its status.
    wait_until(lambda: "unresponsive" in states(), "it is found out", 40)
    os.kill(last["pid"], signal.SIGCONT)
    wait_until(lambda: states() == {"paused"}, "it is well again")
