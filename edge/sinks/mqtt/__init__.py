"""Decisions, events and health to an MQTT broker. Needs the extra [mqtt].

address       one address in; host, port and topic prefix out
discovery     what tells Home Assistant which entities there are
link          the connection, over paho-mqtt
message       what is published, and what a link must do
options       what it is asked for with
outbox        messages that must arrive, while the link comes and goes
sink          the sink: the way in

To add an entity of Home Assistant: a row in `discovery`; its value is published in `sink`.
"""
