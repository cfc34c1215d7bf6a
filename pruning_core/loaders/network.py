"""Trained weights from the network, with short patience: who is not there is not waited for."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies

CONNECT_SECONDS = 3.0
DOWNLOAD_SECONDS = 10.0  # without any byte
NOT_THERE = "random weights: the trained ones could not be downloaded, so accuracy means nothing here"


@contextmanager
def patience(seconds: float = DOWNLOAD_SECONDS) -> Iterator[None]:
    """Give up on a connection that is silent for so long."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def hugging_face() -> Iterator[None]:
    """Use the hub of Hugging Face where it answers, else only what was downloaded before."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not answers(constants.ENDPOINT)
    try:
        with patience():
            yield
    finally:
        constants.HF_HUB_OFFLINE = before


def answers(address: str) -> bool:
    """Whether the host of `address` takes connections; behind a proxy only trying can tell."""
    if getproxies():
        return True
    parts = urlsplit(address)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 443), CONNECT_SECONDS):
            return True
    except OSError:
        return False
