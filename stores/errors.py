"""The errors a user can cause: each is an `AugliftError` and the builtin it resembles."""


class AugliftError(Exception):
    """What was found, where, and what to do, in one line."""


class MissingFileError(AugliftError, FileNotFoundError):
    """Something that should be on disk is not."""


class UnreadableFileError(AugliftError, OSError):
    """A file or a folder is there, but the system does not allow us to read it."""


class InvalidValueError(AugliftError, ValueError):
    """A value, a file's content or an option is not what it must be."""


class MissingFieldError(AugliftError, KeyError):
    """A store does not hold the field that is needed."""

    def __str__(self) -> str:  # KeyError would print the message quoted
        return str(self.args[0]) if self.args else ""


class StoreWriteError(AugliftError, OSError):
    """A store cannot be written: the disk is full, the target is not writable."""


class StoreReadError(AugliftError, OSError):
    """A store is there, but cannot be read: no rights, no connection, a disk that fails."""


class StoreLockedError(AugliftError, RuntimeError):
    """Another job is writing this store."""


class StoreIncompleteError(AugliftError, RuntimeError):
    """The store is half built, or a part of it is missing."""


class CorruptStoreError(AugliftError, ValueError):
    """The store's bytes are not what its ledger says."""


class MissingExtraError(AugliftError, ImportError):
    """A part that is installed by an extra is not here."""


def reason(error: BaseException, longest: int = 160) -> str:
    """Return the first line of an error's message, or the name of its class where there is none, as for EOFError."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:longest]
