"""Ports of this machine."""

import socket
from typing import Final

from hindcast.errors import ConfigurationError

LOOPBACK: Final = "127.0.0.1"


def find_free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def require_free_port(port: int) -> None:
    """Raise ConfigurationError when somebody listens on the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port}: cannot be used ({error.strerror}); stop what uses it or choose another with --port"
            ) from None
