"""The printed unit, read back by the rules of systemd.service(5) and systemd.syntax(7)."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import pytest

from edge.errors import UsageError
from edge.live.service import install_commands, unit_text

NASTY = "abc %$\"'\\;#{}=\t\n\r\x01\x7fäバ/-"
ESCAPED = {"\\": "\\", '"': '"', "n": "\n", "t": "\t", "r": "\r"}


def unit(*arguments: str, **changes: str) -> str:
    places = {"user": "pi", "working_directory": "/home/pi", "executable": "/home/pi/flora/bin/flora"}
    return unit_text(["run", *arguments], **(places | changes))


def setting(text: str, name: str) -> str:
    """The value of a setting that must be there once."""
    (value,) = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return str(value)


def words_of(line: str) -> list[str]:
    """The words of a command line as systemd splits it: quotes, C escapes, %% and, after the program, $$."""
    words: list[str] = []
    place = 0
    while place < len(line):
        if line[place] == " ":
            place += 1
            continue
        end = place
        if line[place] == '"':
            end = place + 1
            while line[end] != '"':
                end += 2 if line[end] == "\\" else 1
            words.append(unescaped(line[place + 1 : end]))
            end += 1
        else:
            end = line.find(" ", place) if " " in line[place:] else len(line)
            words.append(line[place:end])
            assert not set(words[-1]) & set("\"'\\;")
        assert end == len(line) or line[end] == " "
        place = end
    assert all(re.fullmatch(r"(%%|[^%])*", word) for word in words)
    program, *rest = (word.replace("%%", "%") for word in words)
    return [program, *(word.replace("$$", "$") for word in rest)]


def unescaped(text: str) -> str:
    found, place = "", 0
    while place < len(text):
        if text[place] != "\\":
            found, place = found + text[place], place + 1
        elif text[place + 1] == "x":
            found, place = found + chr(int(text[place + 2 : place + 4], 16)), place + 4
        else:
            found, place = found + ESCAPED[text[place + 1]], place + 2
    return found


def command(*arguments: str, **changes: str) -> list[str]:
    return words_of(setting(unit(*arguments, **changes), "ExecStart"))


def test_the_unit_runs_the_program_with_its_arguments() -> None:
    text = unit("flowers.tflite", "--source", "0", "--web", "8080", "--print-service")
    assert setting(text, "ExecStart") == "/home/pi/flora/bin/flora run flowers.tflite --source 0 --web 8080"
    assert setting(text, "WorkingDirectory") == "/home/pi"
    assert setting(text, "User") == "pi"


@pytest.mark.parametrize(
    "argument",
    [
        "my model.tflite",
        "100%",
        "a$b",
        "${HOME}",
        ";",
        "",
        "'",
        '"',
        "\\",
        "back\\",
        "tab\t",
        "line\nline",
        "\x01",
        "ä",
    ],
    ids=ascii,
)
def test_every_argument_arrives_as_it_was_typed(argument: str) -> None:
    assert command(argument, "--source", "0") == ["/home/pi/flora/bin/flora", "run", argument, "--source", "0"]


def test_so_do_arguments_of_any_characters() -> None:
    drawn = random.Random(1)
    for _ in range(300):
        arguments = ["".join(drawn.choices(NASTY, k=drawn.randrange(8))) for _ in range(3)]
        assert command(*arguments)[2:] == arguments


def test_the_unit_stays_one_line_for_each_setting() -> None:
    lines = unit("a\nExecStartPre=/bin/false", "\r", "\x0b").splitlines()
    assert not any(line.startswith("ExecStartPre") for line in lines)
    assert all(re.match(r"#|\[\w+\]$|[A-Z]\w+=|$", line) for line in lines)


@pytest.mark.parametrize("path", ["/srv/my flora/bin/flora", "/srv/100%/flora", "/srv/$x/flora"], ids=str)
def test_a_program_at_any_path_is_found(path: str) -> None:
    assert command(executable=path)[0] == path


def test_a_folder_is_literal() -> None:
    assert setting(unit(working_directory="/srv/my %n"), "WorkingDirectory") == "/srv/my %%n"


def test_systemd_is_to_watch_it_and_to_start_it_again() -> None:
    text = unit("--source", "0")
    assert [setting(text, name) for name in ("Type", "Restart", "RestartSec", "WatchdogSec")] == [
        "notify",
        "on-failure",
        "10",
        "30",
    ]
    assert setting(text, "StartLimitIntervalSec") == "0"
    assert setting(text, "RestartPreventExitStatus") == str(UsageError.exit_code)


def test_cameras_stay_within_reach() -> None:
    text = unit("--source", "0")
    assert setting(text, "SupplementaryGroups") == "video"
    assert "PrivateDevices" not in text


@pytest.mark.parametrize("arguments", [("--max-fps", "0.05"), ("--max-fps=0.05",)], ids=["two words", "one word"])
def test_a_slow_run_has_a_patient_watchdog(arguments: Sequence[str]) -> None:
    assert setting(unit(*arguments), "WatchdogSec") == "80"
    assert setting(unit("--max-fps", "5"), "WatchdogSec") == "30"


@pytest.mark.parametrize(
    ("argument", "is_private"),
    [("model.tflite", True), ("/tmp/model.tflite", False), ("--jsonl=/var/tmp/x.jsonl", False), ("/tmpfs/x", True)],
    ids=str,
)
def test_what_lies_in_a_temporary_folder_stays_visible(argument: str, is_private: bool) -> None:
    assert ("PrivateTmp=yes" in unit(argument)) == is_private


# Secrets


@pytest.mark.parametrize(
    ("arguments", "kept", "variable"),
    [
        (("--web-token", "geheim"), [], "FLORA_WEB_TOKEN"),
        (("--web-token=geheim",), [], "FLORA_WEB_TOKEN"),
        (("--source", "rtsp://me:geheim@cam/1"), ["--source", "${FLORA_ADDRESS_1}"], "FLORA_ADDRESS_1"),
        (("--mqtt=mqtt://me:geheim@host/t",), ["--mqtt=${FLORA_ADDRESS_1}"], "FLORA_ADDRESS_1"),
        (("--source", "http://cam/?user=a&Pwd=geheim"), ["--source", "${FLORA_ADDRESS_1}"], "FLORA_ADDRESS_1"),
    ],
    ids=["token", "token=", "stream", "broker", "query"],
)
def test_a_secret_goes_to_a_file_that_only_root_reads(arguments: Sequence[str], kept: list[str], variable: str) -> None:
    text = unit(*arguments, "--web", "8080")
    assert "geheim" not in text
    assert setting(text, "ExecStart").split(" ")[2:] == [*kept, "--web", "8080"]
    assert setting(text, "EnvironmentFile") == "/etc/flora.env"
    assert re.search(rf"^#   {variable}=<", text, re.MULTILINE)
    assert "install -m 600" in text


@pytest.mark.parametrize("page", [("--web", "0.0.0.0:8080"), ("--web=[::]:8080",), ("--web", "pi.local:80", "--log")])
def test_a_page_for_other_machines_has_the_same_token_after_a_restart(page: Sequence[str]) -> None:
    text = unit(*page)
    assert setting(text, "EnvironmentFile") == "/etc/flora.env"
    assert text.count("FLORA_WEB_TOKEN=<") == 1
    assert unit(*page, "--web-token", "geheim").count("FLORA_WEB_TOKEN=<") == 1


@pytest.mark.parametrize("page", [(), ("--web", "8080"), ("--web=127.0.0.1:80",), ("--web", "[::1]:0"), ("--web",)])
def test_a_page_for_this_machine_needs_no_token(page: Sequence[str]) -> None:
    assert "EnvironmentFile" not in unit(*page)


def test_two_secrets_have_two_names() -> None:
    text = unit("--source", "rtsp://a:b@c/1", "--mqtt", "mqtt://a:b@c/1")
    assert setting(text, "ExecStart").endswith("--source ${FLORA_ADDRESS_1} --mqtt ${FLORA_ADDRESS_2}")
    assert "after --source>" in text
    assert "after --mqtt>" in text


@pytest.mark.parametrize(
    "address", ["rtsp://cam:554/1", "http://cam/stream?fps=5", "mqtt://me@host:1883/t", "0.0.0.0:80"]
)
def test_an_address_without_a_secret_stays_where_it_is(address: str) -> None:
    assert command("--source", address)[-1] == address
    assert "EnvironmentFile" not in unit("--source", address)


# Refusals and the commands


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (("--learn-scene", "60s"), {}, r"--print-service with --learn-scene: .*; learn the scene first"),
        (("--learn-scene=60s",), {}, r"--print-service with --learn-scene: .*; learn the scene first"),
        (("--show",), {}, r"--print-service with --show: a service has no screen; use --web, or leave --show out"),
        ((), {"name": "../x"}, r"a service named '\.\./x'; expected letters"),
        ((), {"user": "a b"}, r"a service of the user 'a b'; expected the name of an account"),
        ((), {"executable": "flora"}, r"a service with the path 'flora'; expected an absolute path"),
        ((), {"working_directory": "/srv\nUser=root"}, r"a service with the path '/srv\\nUser=root'"),
        ((), {"working_directory": "/srv\\"}, r"a service with the path"),
        ((), {"working_directory": ""}, r"a service with the path ''"),
    ],
    ids=["a scene", "a scene, with =", "window", "name", "user", "relative", "new line", "continuation", "empty"],
)
def test_what_can_be_no_service_is_refused(arguments: Sequence[str], changes: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        unit(*arguments, **changes)
    assert "\n" not in str(caught.value)


def test_the_unit_says_how_to_install_itself_in_two_commands() -> None:
    commands = install_commands("door")
    assert commands == ("sudo cp door.service /etc/systemd/system/", "sudo systemctl enable --now door")
    text = unit("--web-token", "x", name="door")
    assert all(f"#   {each}\n" in text for each in commands)
    assert setting(text, "EnvironmentFile") == "/etc/door.env"
