"""Find a Ray cluster: what `auto` stands for, and whether one responds there. Ray itself would wait for minutes."""

from __future__ import annotations

import os
import socket

from ...stores.errors import InvalidValueError

AUTO = "auto"
CONNECT_SECONDS = 10
# What a client of HTTP/2, which Ray's servers speak, begins with: a fixed text and empty settings (RFC 9113, 3.4).
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
# A server's first frame says its settings: the fourth byte is the kind of frame.
_SETTINGS, _FRAME_HEADER = 4, 9


def reachable(address: str) -> str:
    """Return the host:port of a cluster that responds now.

    address  host:port; or `auto`: the cluster that Ray remembers on this machine, else another one that runs here
    Raises InvalidValueError where none responds, with the addresses tried, and for any other form of address.
    """
    if address == AUTO:
        return _found()
    if address.startswith("ray://"):
        raise InvalidValueError(
            f"--address {address}: Ray Client is not supported; run the command on a node of the cluster, or hand it "
            "in with `ray job submit`"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidValueError(f"--address '{address}' is neither host:port nor auto")
    wrong = _wrong(address)
    if wrong:
        raise InvalidValueError(
            f"no Ray cluster responds at --address {address} ({wrong}); is it up, and is the port that of "
            "`ray start --head`?"
        )
    return address


def _found() -> str:
    candidates = _candidates()
    if not candidates:
        raise InvalidValueError(
            "--address auto: no Ray cluster was started on this machine; run the command on a node of the cluster, "
            "or give its host:port"
        )
    said = []
    for candidate in candidates:
        wrong = _wrong(candidate)
        if not wrong:
            return candidate
        said.append(f"{candidate}: {wrong}")
    raise InvalidValueError(
        f"--address auto: the cluster that Ray remembers here does not respond ({'; '.join(said)}): it ended without "
        "clearing up. Start one with `ray start --head`, give the host:port of one that runs, or leave --address out"
    )


def _candidates() -> list[str]:
    """What Ray takes for `auto` (RAY_ADDRESS, a process that runs, the file of the last `ray start`), then the rest."""
    from ray._private import services

    try:
        first = [services.get_ray_address_from_environment(AUTO, None)]
    except ConnectionError:
        first = []
    others = [*sorted(services.find_gcs_addresses()), services.find_bootstrap_address(None)]
    return list(dict.fromkeys(address for address in [*first, *others] if address))


def _wrong(address: str) -> str | None:
    """Return why nothing can be joined at host:port; None where a server responds as Ray's do."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):  # it responds to TLS only
                return None
            connection.settimeout(CONNECT_SECONDS)
            connection.sendall(_GREETING)
            response = connection.recv(_FRAME_HEADER)
    except (OSError, ValueError, OverflowError) as error:
        return str(error)
    return None if response[3:4] == bytes([_SETTINGS]) else "what responds is no Ray cluster"
