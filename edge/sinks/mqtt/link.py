"""The connection to a broker, over paho-mqtt, which runs it in a thread of its own.

In:  an BrokerAddress, a client id, and the last will: what the broker publishes once this device falls silent.
Out: a Link. MQTT 3.1.1, which every broker speaks. mqtts:// checks the broker's certificate against the system's
     authorities, or those in the file that the variable SSL_CERT_FILE names.

paho-mqtt is imported when a link is made, never before: it comes with the extra [mqtt] only.
"""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Callable
from typing import Any

from edge.base.packages import DISTRIBUTION
from edge.base.text import first_line
from edge.errors import DependencyError
from edge.sinks.mqtt.address import BrokerAddress
from edge.sinks.mqtt.message import Message

KEEP_ALIVE_S = 30  # a broker that is silent for so long is asked; after as long again the connection is given up
FIRST_RETRY_S, LONGEST_RETRY_S = 1, 30
MISSING = f"paho-mqtt 2.2 or newer is not installed; --mqtt needs it: pip install '{DISTRIBUTION}[mqtt]'"


class PahoLink:
    """See edge.sinks.mqtt.message.Link. Raises DependencyError, one line, where paho-mqtt is missing."""

    on_up: Callable[[], None]
    on_down: Callable[[str], None]
    on_sent: Callable[[int], None]
    on_message: Callable[[bytes], None]

    def __init__(self, address: BrokerAddress, client_id: str, will: Message) -> None:
        self._address = address
        self._is_down = threading.Event()
        self._is_closing = False
        self._client = client = _new_client(client_id)
        client.username_pw_set(address.user, address.password)
        client.will_set(will.topic, will.payload, will.qos, will.is_retained)
        client.reconnect_delay_set(FIRST_RETRY_S, LONGEST_RETRY_S)
        if address.is_tls:
            client.tls_set_context(ssl.create_default_context())
        client.on_connect = self._connected
        client.on_connect_fail = self._not_connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_message = self._received

    def open(self) -> None:
        self._client.connect_async(self._address.host, self._address.port, KEEP_ALIVE_S)
        self._client.loop_start()

    def publish(self, message: Message) -> int | None:
        sent = self._client.publish(message.topic, message.payload, message.qos, message.is_retained)
        # What is to be confirmed is kept without a connection too, and goes once there is one.
        is_taken = sent.rc == 0 or (message.qos > 0 and sent.rc == NO_CONNECTION)
        return sent.mid if is_taken else None

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, qos=1)

    def close(self, timeout_s: float) -> None:
        was_up = self._client.is_connected()
        self._is_closing = True
        self._client.disconnect()  # the thread ends by itself; to join it could wait for a connection attempt
        if was_up:
            self._is_down.wait(timeout_s)

    def _connected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if self._is_closing:
            client.disconnect()
        elif reason.is_failure:
            self.on_down(f"the broker refuses the connection ({reason}); check user and password")
        else:
            self._is_down.clear()
            self.on_up()

    def _not_connected(self, client: Any, data: Any) -> None:
        if self._is_closing:  # an attempt that had begun by then undoes `close`
            client.disconnect()
        # paho-mqtt calls this while it handles the error and says no more about it.
        self.on_down(_failure(sys.exc_info()[1]))

    def _disconnected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self.on_down(f"the connection was lost ({reason})")
        self._is_down.set()

    def _published(self, client: Any, data: Any, number: int, reason: Any, properties: Any) -> None:
        self.on_sent(number)

    def _received(self, client: Any, data: Any, message: Any) -> None:
        self.on_message(bytes(message.payload))


NO_CONNECTION = 4  # paho's MQTT_ERR_NO_CONN


def _new_client(client_id: str) -> Any:
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError as error:  # paho-mqtt 1 has no enums
        raise DependencyError(MISSING) from error
    return Client(CallbackAPIVersion.VERSION2, client_id=client_id)


def _failure(error: BaseException | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        problem = f"the broker's certificate is not trusted ({error.verify_message})"
        return f"{problem}; name the file of its authority in SSL_CERT_FILE"
    reason = getattr(error, "strerror", None) or (first_line(error) if error else "no reason given")
    return f"no broker answers ({reason}); check that it runs, its address and its port"
