import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))

from failing_disk import Bench  # noqa: E402  (found through the line above)
from lab import Lab  # noqa: E402


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab


@pytest.fixture
def daemon(lab):
    return lab.start_daemon()


@pytest.fixture
def bench(lab):
    bench = Bench(lab)
    yield bench
    bench.faults.disarm()
