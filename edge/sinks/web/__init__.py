"""The page of a live run, and what else it tells over HTTP. Needs the extra [web].

access        who may see it: token, host name, same origin
address       "[HOST:]PORT" to listening sockets
connections   limits on connections, viewers and idleness
health        the health, asked once for all who want to know it
labelling     frames that wait for a person's label
options       what it is asked for with
pictures      pictures as JPEG, encoded once for all viewers, and only while somebody watches
prometheus    figures in Prometheus' text format
records       the scene and the health as JSON has them
routes        which path is what
scene         what the run has told so far; shared between threads
server        the thread with its event loop
sink          the sink: the way in
site          all of these, put together at an address
streams       the two that never end: pictures (MJPEG) and server-sent events
page/         the page itself, as it is sent

To add a path: a handler, and its row in `routes`; what the page shows comes from `records`.
"""
