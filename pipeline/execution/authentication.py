"""Ray's tokens: whether a cluster needs one, and the settings with which this process joins it or starts its own.

Ray 2.60 keeps a token in ~/.ray as soon as it has started once without an address, but a cluster may run without
tokens. A process that shows one to such a cluster joins it, and then each of its workers dies without a reason. So the
cluster is queried first.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any

from ...stores.errors import InvalidValueError
from ..homes import can_be_written
from .address import CONNECT_SECONDS

MODE, _TOKEN, _TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
# A method of Ray's head node that takes an empty message and changes nothing.
_HARMLESS = "/ray.rpc.NodeInfoGcsService/CheckAlive"


def needs_token(address: str) -> bool | None:
    """Query the head node at host:port without a token; None where it cannot be known (TLS, another protocol)."""
    try:
        import grpc
    except ImportError:  # it comes with ray[default]
        return None
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return None
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(_HARMLESS)(b"", timeout=CONNECT_SECONDS)
        except grpc.RpcError as error:
            code = error.code() if isinstance(error, grpc.Call) else None
            return True if code is grpc.StatusCode.UNAUTHENTICATED else None
        return False


def prepare_to_join(address: str) -> None:
    """Set RAY_AUTH_MODE to what the cluster at host:port needs.

    Raises InvalidValueError where RAY_AUTH_MODE is set to something else, or where a token is needed and none is here.
    """
    needed = needs_token(address)
    chosen = os.environ.get(MODE)
    if needed is None:
        needed = _has_token() if chosen is None else chosen.lower() == "token"
    elif chosen is not None and needed != (chosen.lower() == "token"):
        raise InvalidValueError(
            f"the Ray cluster at {address} {'needs a token' if needed else 'uses no tokens'}, but {MODE} is "
            f"'{chosen}' here; unset it"
        )
    if needed and not _has_token():
        raise InvalidValueError(
            f"the Ray cluster at {address} needs a token; set {_TOKEN} to its token, or copy ~/.ray/auth_token from "
            "the machine that started it"
        )
    os.environ[MODE] = "token" if needed else "disabled"
    refresh()


def prepare_to_start() -> None:
    """Give Ray a token for its lifetime where it could not keep the one that it makes itself."""
    if not _has_token() and not can_be_written(_token_file().parent):
        os.environ[_TOKEN] = secrets.token_hex(32)
    refresh()


def environment() -> dict[str, str | None]:
    """Return the variables that these functions, and Ray itself, may set."""
    return {name: os.environ.get(name) for name in (MODE, _TOKEN)}


def restore(before: dict[str, str | None]) -> None:
    """Set the variables back to what `environment` returned. A mode that stays would be wrong for the next cluster."""
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    refresh()


def refresh() -> None:
    """Let Ray read the environment again, which it does only once. Versions without tokens have nothing to read."""
    with contextlib.suppress(ImportError, AttributeError):
        raylet: Any = __import__("ray._raylet", fromlist=["Config"])
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()


def _has_token() -> bool:
    given = any(os.environ.get(name) for name in (_TOKEN, _TOKEN_PATH))
    try:
        return given or _token_file().is_file()
    except OSError:
        return False


def _token_file() -> Path:
    return Path.home() / ".ray" / "auth_token"
