"""A web server that shows a subject to every browser that asks; on this machine alone unless it is told otherwise."""

import io
import logging
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from g3d.errors import G3dError, require_module
from g3d.viewing.session import Session
from g3d.viewing.subject import Subject

PORT = 8080


class Shown:
    """A running server: its address, and the sessions of its browsers."""

    def __init__(self, subject: Subject, host: str, port: int):
        require_module("viser", "the viewer", "pip install 'g3d[view]' or pip install viser")
        import viser

        logging.getLogger("websockets").setLevel(logging.CRITICAL)  # a browser that goes away is nothing to tell
        warnings.filterwarnings("ignore", "Queued a .* closed connection")  # nor what was on its way to it
        port = _free_port(host, port)
        with redirect_stdout(io.StringIO()):  # it draws a box around its address
            self._server: Any = viser.ViserServer(host, port, label=f"g3d {subject.title}", verbose=False)
        self._subject = subject
        self._lock = threading.Lock()
        self.sessions: dict[int, Session] = {}
        self._left: set[int] = set()  # browsers that went before their session was made
        self.seen = 0  # browsers so far
        self._server.scene.set_up_direction("+y")
        self._server.gui.configure_theme(show_logo=False, show_share_button=False, control_width="medium")
        self._server.on_client_connect(self._connected)
        self._server.on_client_disconnect(self._gone)
        name = "127.0.0.1" if host in ("0.0.0.0", "localhost") else host
        self.url = f"http://{name}:{self._server.get_port()}"

    def _connected(self, client: Any) -> None:
        session = Session(client, self._subject)
        with self._lock:
            self.seen += 1
            left = client.client_id in self._left
            if not left:
                self.sessions[client.client_id] = session
        if left:
            session.close()

    def _gone(self, client: Any) -> None:
        with self._lock:
            session = self.sessions.pop(client.client_id, None)
            if session is None:  # its session is still being made
                self._left.add(client.client_id)
        if session is not None:
            session.close()

    def stop(self) -> None:
        """End the server and all sessions."""
        with redirect_stdout(io.StringIO()):
            self._server.stop()
        for session in list(self.sessions.values()):
            session.close()


def _free_port(host: str, port: int) -> int:
    """The first free port from `port` on. Refuses an address that is not this machine's, and none at all, which would mean
    every one of them; viser itself would try port after port, and wait for ever where none is left."""
    if not host:
        raise G3dError("--host is empty; give 127.0.0.1 for this machine alone, 0.0.0.0 to let other machines look")
    try:
        socket.create_server((host, 0)).close()
    except OSError as error:
        raise G3dError(f"the viewer cannot listen on '{host}' ({error.strerror or error}); give an address of this machine "
                       "to --host, 0.0.0.0 for all of them") from error  # fmt: skip
    for number in range(port, 65536):
        try:
            socket.create_server((host, number)).close()
        except OSError:
            continue
        return number
    raise G3dError(f"no port from --port {port} on is free; give a smaller one, or 0 for any that is")


@contextmanager
def shown(subject: Subject, host: str, port: int) -> Iterator[Shown]:
    """A server while the block runs."""
    server = Shown(subject, host, port)
    try:
        yield server
    finally:
        server.stop()
