"""The MQTT sink against Mosquitto: started, killed, frozen and restarted on a port of its own.

Needs Debian's package `mosquitto`; its service is neither used nor touched.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.contract.event import OUTPUT_BACK, OUTPUT_FAILED, SIGHTING, STARTED, Event
from edge.sinks.mqtt.sink import MqttSink
from tests.edge.fakes import decision, frame
from tests.edge.sinks.mqtt.fakes import health, join_links, read

pytestmark = pytest.mark.broker
paho = pytest.importorskip("paho.mqtt.client")

ROOT = Path(__file__).resolve().parents[3]
WAIT_S = 30.0  # at most; paho-mqtt tries again after 1, 2, 4 ... seconds
TICK_S = 0.02  # between two frames


class Broker:
    """One Mosquitto, which remembers sessions and retained messages even if it is killed."""

    def __init__(self, folder: Path, *options: str) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            pytest.skip("mosquitto is not installed; install it with: apt install mosquitto")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        own = [] if any("password_file" in option for option in options) else ["allow_anonymous true"]
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_on_changes true",
            "autosave_interval 1",
            "log_dest stderr",  # which, unlike stdout, is not buffered
            "log_type information",  # that it runs, and little else: nobody reads on
            *(["user root"] if os.geteuid() == 0 else []),  # another user could not read the folder
            *own,
            *options,
        ]
        self._config.write_text("\n".join(lines) + "\n")
        self._program = program
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [self._program, "-c", str(self._config)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if line.rstrip().endswith(" running"):
                return
        raise AssertionError("".join(said))

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


class Listener:
    """Subscribes to everything, with a session that outlives the broker."""

    def __init__(self, port: int, name: str = "listener") -> None:
        self._messages: queue.Queue[Any] = queue.Queue()
        is_subscribed: queue.Queue[bool] = queue.Queue()
        self.client: Any = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self.client.on_message = lambda client, data, message: self._messages.put(message)
        self.client.on_connect = lambda client, *rest: client.subscribe("#", qos=1)
        self.client.on_subscribe = lambda *rest: is_subscribed.put(True)
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        is_subscribed.get(timeout=WAIT_S)

    def next(self, topic: str, is_it: Callable[[Any], bool] = lambda payload: True) -> tuple[Any, bool]:
        """The payload of the next message of that kind, and whether it was retained; others are thrown away."""
        while True:
            message = self._messages.get(timeout=WAIT_S)
            if message.topic == topic and is_it(read(message.payload)):
                return read(message.payload), bool(message.retain)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    found = Broker(tmp_path)
    yield found
    found.kill()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    listeners: list[Listener] = []

    def start(port: int, name: str = "listener") -> Listener:
        listeners.append(Listener(port, name))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.close()


class Run:
    """A sink, and what it told."""

    def __init__(self, port: int, *, url: str = "mqtt://127.0.0.1:{port}/t", **options: Any) -> None:
        self._told: queue.Queue[Event] = queue.Queue()
        self.sink = MqttSink(
            url.format(port=port), health=health, tell_others=self._told.put, **{"environment": {}, **options}
        )

    def events(self, first: int, last: int) -> None:
        for number in range(first, last + 1):
            self.sink.tell(Event(SIGHTING, 0.0, f"sighting {number}", {"label": "roses"}))

    def next(self) -> Event:
        """What it tells next; a camera goes on meanwhile, as news is passed on when the sink is called."""
        for _ in range(int(WAIT_S / TICK_S)):
            self.sink.show(decision(), frame())
            with contextlib.suppress(queue.Empty):
                return self._told.get(timeout=TICK_S)
        raise AssertionError("nothing was told")


@pytest.fixture
def run() -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(port: int, **options: Any) -> Run:
        runs.append(Run(port, **options))
        return runs[-1]

    yield start
    for each in runs:
        each.sink.close()
    join_links("flora", WAIT_S)


Listen = Callable[..., Listener]
Start = Callable[..., Run]


def numbers(listener: Listener, last: int) -> list[int]:
    """The numbers of the events that arrive, up to the last one."""
    found: list[int] = []
    while not found or found[-1] != last:
        found.append(listener.next("t/event")[0]["number"])
    return found


def test_answers_events_and_health_arrive(broker: Broker, listen: Listen, run: Start) -> None:
    broker.start()
    listener = listen(broker.port)
    sink = run(broker.port).sink
    sink.tell(Event(STARTED, 0.0, "started"))
    assert listener.next("t/health")[0]["model"] == "flowers.tflite"
    assert listener.next("t/availability") == ("online", False)
    assert listener.next("t/event")[0]["event"] == "started"
    sink.show(decision(), frame())
    assert listener.next("t/state", lambda state: state["picture"])[0]["label"] == "roses"


def test_a_late_subscriber_gets_what_is_about_now_and_no_event(broker: Broker, listen: Listen, run: Start) -> None:
    broker.start()
    early = listen(broker.port)
    sink = run(broker.port).sink
    sink.tell(Event(STARTED, 0.0, "started"))
    early.next("t/event")
    sink.show(decision(), frame())
    early.next("t/state", lambda state: state["picture"])
    late = listen(broker.port, "late")
    sink.tell(Event(SIGHTING, 0.0, "the end"))
    found: dict[str, Any] = {}
    while "t/event" not in found:
        message = late._messages.get(timeout=WAIT_S)
        if message.topic not in found:
            found[message.topic] = read(message.payload)
            assert message.retain == (message.topic != "t/event")
    assert found["t/event"]["text"] == "the end"
    assert found["t/state"]["label"] == "roses"
    assert found["t/availability"] == "online"
    assert found["t/health"]["model"] == "flowers.tflite"
    configs = {topic: config for topic, config in found.items() if topic.startswith("homeassistant/")}
    assert len(configs) == 7
    for topic, config in configs.items():
        assert topic.split("/")[2] == config["unique_id"]
        assert config["device"]["identifiers"] == next(iter(configs.values()))["device"]["identifiers"]
        assert config["state_topic"] in found


def test_no_event_is_lost_when_the_broker_is_killed_and_restarted(broker: Broker, listen: Listen, run: Start) -> None:
    """At least once: what the broker had no time to note as delivered before it was killed comes twice."""
    broker.start()
    listener = listen(broker.port)
    found = run(broker.port)
    found.events(1, 50)
    arrived = numbers(listener, 50)
    assert arrived == list(range(1, 51))
    for first in (51, 101):
        broker.kill()
        assert found.next().kind == OUTPUT_FAILED
        found.events(first, first + 49)
        broker.start()
        back = found.next()
        assert (back.kind, back.data) == (OUTPUT_BACK, {"output": "mqtt", "lost": 0})
        arrived += numbers(listener, first + 49)
    assert list(dict.fromkeys(arrived)) == list(range(1, 151))


def test_a_broker_that_is_killed_while_events_are_on_their_way_gets_them_again(
    broker: Broker, listen: Listen, run: Start
) -> None:
    broker.start()
    listener = listen(broker.port)
    found = run(broker.port)
    found.events(1, 1)
    arrived = numbers(listener, 1)
    broker.send(signal.SIGSTOP)
    found.events(2, 300)
    broker.kill()
    assert found.next().kind == OUTPUT_FAILED
    broker.start()
    arrived += numbers(listener, 300)
    assert list(dict.fromkeys(arrived)) == list(range(1, 301))


def test_a_frozen_broker_holds_nobody_and_gets_everything_later(broker: Broker, listen: Listen, run: Start) -> None:
    broker.start()
    listener = listen(broker.port)
    found = run(broker.port)
    found.events(1, 1)
    numbers(listener, 1)
    broker.send(signal.SIGSTOP)
    for number in range(1000):
        found.sink.show(decision(number=number), frame())
    found.events(2, 500)
    broker.send(signal.SIGCONT)
    assert numbers(listener, 500) == list(range(2, 501))


def test_a_broker_that_is_not_there_at_the_start_is_told_once_and_found_later(
    broker: Broker, listen: Listen, run: Start
) -> None:
    found = run(broker.port)
    found.events(1, 3)
    failed = found.next()
    assert failed.kind == OUTPUT_FAILED
    assert failed.text.startswith(f"mqtt://127.0.0.1:{broker.port}/t: no broker answers (Connection refused)")
    broker.start()
    listener = listen(broker.port)
    back = found.next()
    assert back.kind == OUTPUT_BACK
    found.events(4, 4)
    # The listener may have come after the first three, which nobody was there to receive.
    assert numbers(listener, 4)[-1] == 4


CHILD = """
import sys
from edge.sinks.mqtt.sink import MqttSink
from tests.edge.fakes import decision, frame
from tests.edge.sinks.mqtt.fakes import health
sink = MqttSink(sys.argv[1], health=health, tell_others=print)
sink.show(decision(), frame())
sys.stdin.readline()
sink.close()
"""


@pytest.mark.parametrize("end", ["killed", "ended"])
def test_the_broker_says_offline_however_the_run_ends(end: str, broker: Broker, listen: Listen) -> None:
    broker.start()
    listener = listen(broker.port)
    command = [sys.executable, "-c", CHILD, f"mqtt://127.0.0.1:{broker.port}/t"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, text=True) as child:
        listener.next("t/availability", lambda payload: payload == "online")
        if end == "killed":
            child.kill()
        else:
            child.communicate("\n", timeout=WAIT_S)
            assert child.returncode == 0
            assert listener.next("t/state", lambda state: state["reason"] == "stopped")[0]["label"] is None
        assert listener.next("t/availability")[0] == "offline"
    assert listen(broker.port, "late").next("t/availability") == ("offline", True)


def test_home_assistants_start_brings_the_discovery_again(broker: Broker, listen: Listen, run: Start) -> None:
    broker.start()
    listener = listen(broker.port)
    sink = run(broker.port).sink
    sink.tell(Event(STARTED, 0.0, "started"))
    listener.next("t/event")
    for payload in (b"", b"\xff\x00", b"offline", os.urandom(100_000), b'{"a":', b"online"):
        listener.client.publish("homeassistant/status", payload, qos=1)
    assert listener.next(f"homeassistant/sensor/{sink._identity}_label/config")[0]["options"] == [
        "daisy",
        "roses",
        "tulips",
        "nothing known",
    ]
    assert listener.next("t/availability")[0] == "online"


def test_a_wrong_password_is_told_and_the_right_one_may_come_from_the_environment(
    tmp_path: Path, listen: Listen, run: Start
) -> None:
    passwords = tmp_path / "passwords"
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed; install it with: apt install mosquitto")
    subprocess.run([program, "-b", "-c", str(passwords), "pi", "right"], check=True, capture_output=True)
    broker = Broker(tmp_path, f"password_file {passwords}", "allow_anonymous false")
    broker.start()
    try:
        url = "mqtt://pi@127.0.0.1:{port}/t"
        wrong = run(broker.port, url=url, environment={"FLORA_MQTT_PASSWORD": "wrong"}, client_id="flora-a")
        wrong.sink.show(decision(), frame())
        assert wrong.next().text == (
            f"mqtt://127.0.0.1:{broker.port}/t: the broker refuses the connection (Not authorized); "
            "check user and password; trying again"
        )
        right = run(broker.port, url=url, environment={"FLORA_MQTT_PASSWORD": "right"}, client_id="flora-b")
        right.events(1, 1)
        right.sink.close()
        assert right.sink.trouble.waiting == 0
    finally:
        broker.kill()


# paho-mqtt leaves it to Python to close a socket whose handshake failed; Python does so at once, but warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_is_checked_against_the_authorities(tmp_path: Path, run: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    broker = Broker(tmp_path, f"certfile {certificate}", f"keyfile {key}")
    broker.start()
    try:
        url = "mqtts://127.0.0.1:{port}/t"
        stranger = run(broker.port, url=url, client_id="flora-a")
        stranger.sink.show(decision(), frame())
        assert "the broker's certificate is not trusted (self-signed certificate)" in stranger.next().text
        stranger.sink.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        friend = run(broker.port, url=url, client_id="flora-b")
        friend.events(1, 1)
        friend.sink.close()
        assert friend.sink.trouble.waiting == 0
    finally:
        broker.kill()
