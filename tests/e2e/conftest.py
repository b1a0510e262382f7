import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))

from lab import Lab  # noqa: E402  (found through the line above)


@pytest.fixture
def lab():
    with Lab() as lab:
        yield lab


@pytest.fixture
def daemon(lab):
    return lab.start_daemon()
