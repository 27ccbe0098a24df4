"""Pages of the documentation, run: their ```sh and ```python blocks, one after another, as a reader would."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from auglift.cli import evaluate, store, sweep, train
from auglift.cli.prep import main as prep

COMMANDS: Mapping[str, click.Command] = {
    "auglift-prep": prep.main,
    "auglift-store": store.main,
    "auglift-train": train.main,
    "auglift-eval": evaluate.main,
    "auglift-sweep": sweep.main,
}
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.S | re.M)
_EXIT = re.compile(r"#.*\bexit (\d+)\s*$")

# Of `auglift-prep synth` and `extend` in a test: seconds instead of minutes, and one thread.
QUICK: Mapping[str, Sequence[str]] = {
    "auglift-prep synth": ("--frames", "6", "--size", "64", "--renderers", "1", "--threads", "1", "--device", "cpu"),
    "auglift-prep extend": ("--threads", "1", "--device", "cpu"),
    "auglift-train": ("--threads", "1", "--device", "cpu"),
}


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, code) of every fenced block, in order."""
    return _BLOCK.findall(text)


@dataclass
class Reader:
    """Runs commands in this process, since each new one takes seconds to import torch, and Python in one namespace.

    more   beginning of a command -> options that are added to it; an option that is there already is overruled
    """

    more: Mapping[str, Sequence[str]] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=dict)

    def run(self, language: str, code: str) -> list[str]:
        """What each command of a block printed. AssertionError where one exits otherwise than its line says."""
        if language == "python":
            exec(compile(code, "a block of the page", "exec"), self.names)
            return []
        assert language == "sh", f"no test runs {language}"
        return [self.command(line) for line in code.replace("\\\n", " ").splitlines() if line.strip()]

    def command(self, line: str) -> str:
        """What a command prints; `# exit 1` at its end says that it exits with 1."""
        said = _EXIT.search(line)
        name, *words = shlex.split(line, comments=True)
        arguments = [found for word in words for found in _matches(word)]
        more = [option for start, options in self.more.items() if line.startswith(start) for option in options]
        done = CliRunner().invoke(COMMANDS[name], [*arguments, *more])
        assert done.exit_code == int(said[1] if said else 0), f"{line}\n{done.output}"
        return done.output


def _matches(word: str) -> list[str]:
    """What a shell makes of a word: the files it stands for where it has a `*`, else the word."""
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]
