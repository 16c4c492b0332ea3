"""What tests of engines share."""

import gc
import threading

import pytest


@pytest.fixture
def engine_threads():
    """A function that returns the engines' threads which began during the test and go on."""
    gc.collect()
    before = set(threading.enumerate())
    return lambda: [
        thread
        for thread in threading.enumerate()
        if thread.name == "bagged_envs engine" and thread.is_alive() and thread not in before
    ]
