"""`flora run` as a service of systemd: the text of the unit, and how to install it.

In:  the arguments of the run, the program, the user, the folder that relative paths are in.
Out: a unit file. Everything in it is literal: no word is split, no % or $ means anything to systemd. Secrets are not in
     it, since every user of the machine can read it: they belong into a file that only root reads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from edge.errors import UsageError

PRINT_SERVICE = "--print-service"
SHORTEST_WATCHDOG_S = 30.0
WATCHDOG_FRAMES = 4  # a run with --max-fps must be able to miss a few and live
SECRET_OPTIONS = {"--web-token": "FLORA_WEB_TOKEN"}  # and the variable from which `flora run` takes it otherwise
SECRET_IN_ADDRESS = re.compile(r"://[^/?#]*:[^/?#]*@|[?&][^=&]*(pass|pwd|token|secret|key|auth)[^=&]*=", re.IGNORECASE)
THIS_MACHINE = re.compile(r"\d*|(localhost|127(\.\d+){3}|\[::1\]):\d*")  # values of --web that need no token
KEPT_TOKEN = "16 characters or more that nobody guesses, such as: openssl rand -hex 16 prints"
PLAIN_WORD = re.compile(r"[A-Za-z0-9_@+=:,./-]+")
ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t", "\r": r"\r"}
TEMPORARY = ("/tmp", "/var/tmp")

TEMPLATE = """\
# Flora as a service. Save this as {name}.service; then
#   {copy}
#   {enable}
# How it is doing: systemctl status {name}; what it has seen: journalctl -u {name}
{secrets}[Unit]
Description=Flora, live classification
Wants=network-online.target
After=network-online.target time-sync.target
# However often it has failed, the camera may be back tomorrow.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
WorkingDirectory={folder}
{environment}User={user}
# Cameras belong to this group.
SupplementaryGroups=video
Restart=on-failure
RestartSec=10
# Options that are wrong stay wrong.
RestartPreventExitStatus=2
WatchdogSec={watchdog}
TimeoutStartSec=180
TimeoutStopSec=30
# It needs cameras, the network and its own files, and nothing else.
NoNewPrivileges=yes
ProtectSystem=full
{private}ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectKernelLogs=yes
ProtectClock=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
LockPersonality=yes

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class _Command:
    """The words after the program, as ExecStart has them, and what was taken out of them."""

    words: tuple[str, ...]
    secrets: tuple[tuple[str, str], ...]  # the variable, and what it holds, in words


def install_commands(name: str = "flora") -> tuple[str, str]:
    """The two commands that install NAME.service, in order."""
    return f"sudo cp {name}.service /etc/systemd/system/", f"sudo systemctl enable --now {name}"


def unit_text(
    arguments: Sequence[str], *, name: str = "flora", user: str, working_directory: str, executable: str
) -> str:
    """The unit that runs `executable` with `arguments`; --print-service is left out.

    Raises UsageError for what cannot be a service: a window, a name or a user that is none, a relative path.
    """
    _check(arguments, name, user, working_directory, executable)
    command = _command([each for each in arguments if each != PRINT_SERVICE])
    copy, enable = install_commands(name)
    is_temporary = any(_is_temporary(each) for each in (executable, working_directory, *arguments))
    return TEMPLATE.format(
        name=name,
        copy=copy,
        enable=enable,
        secrets=_about_secrets(name, command),
        # In the program's own name a $ stands for itself.
        command=" ".join((_word(executable).replace("$$", "$"), *command.words)),
        folder=working_directory.replace("%", "%%"),
        environment=f"EnvironmentFile=/etc/{name}.env\n" if command.secrets else "",
        user=user,
        watchdog=f"{_watchdog_s(arguments):.0f}",
        private="" if is_temporary else "PrivateTmp=yes\n",
    )


def _check(arguments: Sequence[str], name: str, user: str, folder: str, executable: str) -> None:
    if "--show" in arguments:
        raise UsageError("--print-service with --show: a service has no screen; use --web, or leave --show out")
    if any(word.partition("=")[0] == "--learn-scene" for word in arguments):
        raise UsageError(
            "--print-service with --learn-scene: a service would take for background whatever stands there each time "
            "it starts; learn the scene first, without --print-service"
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,100}", name):
        raise UsageError(f"a service named {name!r}; expected letters, digits, dots, _ and -")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,30}", user):
        raise UsageError(f"a service of the user {user!r}; expected the name of an account")
    for path in (executable, folder):
        if not PurePosixPath(path).is_absolute() or not path.isprintable() or path != path.strip() or path[-1] == "\\":
            raise UsageError(f"a service with the path {path!r}; expected an absolute path of printable characters")


def _command(arguments: Sequence[str]) -> _Command:
    words: list[str] = []
    secrets: list[tuple[str, str]] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        option, equals, _ = word.partition("=")
        if option in SECRET_OPTIONS and (equals or waiting):
            secrets.append((SECRET_OPTIONS[option], f"the value of {option}"))
            if not equals:
                waiting.pop(0)
        elif SECRET_IN_ADDRESS.search(word):
            variable = f"FLORA_ADDRESS_{len(secrets) + 1}"
            begin = f"{option}=" if option.startswith("--") else ""
            words.append(f"{begin}${{{variable}}}")
            secrets.append((variable, f"the address, with its password, after {begin or words[-2:][0]}"))
        else:
            words.append(_word(word))
    token = SECRET_OPTIONS["--web-token"]
    if _is_open_to_others(arguments) and token not in dict(secrets):
        secrets.append((token, KEPT_TOKEN))  # one that is made at each start locks everybody out at the next
    return _Command(tuple(words), tuple(secrets))


def _is_open_to_others(arguments: Sequence[str]) -> bool:
    """Whether the page has an address beyond this machine."""
    pages = [value for option, value in pairwise([*arguments, ""]) if option == "--web"]
    pages += [argument.removeprefix("--web=") for argument in arguments if argument.startswith("--web=")]
    return not all(map(THIS_MACHINE.fullmatch, pages))


def _about_secrets(name: str, command: _Command) -> str:
    """Comment lines that say which file has to hold what."""
    if not command.secrets:
        return ""
    file = f"/etc/{name}.env"
    lines = [f"# First write {file}, for root alone (sudo install -m 600 /dev/null {file}), with these lines:"]
    lines += [f"#   {variable}=<{what}>" for variable, what in command.secrets]
    return "\n".join(lines) + "\n"


def _word(text: str) -> str:
    """One word of a command line, so that systemd hands on exactly `text`."""
    literal = text.replace("%", "%%").replace("$", "$$")
    if PLAIN_WORD.fullmatch(text):
        return literal
    return '"' + "".join(_escaped(character) for character in literal) + '"'


def _escaped(character: str) -> str:
    if character in ESCAPES:
        return ESCAPES[character]
    return character if ord(character) >= 0x20 and ord(character) != 0x7F else f"\\x{ord(character):02x}"


def _watchdog_s(arguments: Sequence[str]) -> float:
    """Long enough for the slowest run that the options ask for."""
    for place, argument in enumerate(arguments):
        option, _, value = argument.partition("=")
        if option == "--max-fps":
            value = value or (arguments[place + 1] if place + 1 < len(arguments) else "")
            return max(SHORTEST_WATCHDOG_S, WATCHDOG_FRAMES / float(value))
    return SHORTEST_WATCHDOG_S


def _is_temporary(text: str) -> bool:
    """True for a path in a folder that PrivateTmp would hide."""
    return any(f"{path}/".startswith(f"{root}/") for path in (text, text.partition("=")[2]) for root in TEMPORARY)
