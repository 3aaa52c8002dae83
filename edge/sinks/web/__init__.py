"""The page of a live run, and what else it tells over HTTP; `edge.sinks.web.sink` is the way in. Needs the extra [web].

address.py      "[HOST:]PORT" -> listening sockets
scene.py        what the run has told so far: newest picture, events, history; shared between threads
vitals.py       the health, asked once for all who want to know it
records.py      the scene and the health as JSON has them
pictures.py     pictures as JPEG, encoded once for all viewers, and only while somebody watches
prometheus.py   figures in Prometheus' text format
access.py       who may see it: token, host name, same origin
connections.py  limits on connections, viewers and idleness
streams.py      the two that never end: pictures (MJPEG) and server-sent events
uncertain.py    frames that wait for a person's label
routes.py       which path is what
server.py       the thread with its event loop
site.py         all of these, put together at an address
page/           the page itself, as it is sent
"""
