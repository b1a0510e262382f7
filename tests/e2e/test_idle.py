"""A daemon with nothing to do does next to nothing."""

import time

from lab import cpu_ms, sanitized


def test_fifty_paused_domains_cost_less_than_50_ms_a_minute(lab):
    daemon = lab.start_daemon("--log-level", "info")
    for number in range(50):
        daemon.launch_paused(f"idle{number}")
    before = cpu_ms(daemon)
    # Here time itself is what is waited for.
    time.sleep(60)
    used = cpu_ms(daemon) - before
    print(f"{used:.1f} ms")
    assert used < 50 * (10 if sanitized() else 1)
