"""Where frames come from: one string in, a Source of frames out.

address       which addresses of streams are opened
asked         what a source is asked for besides its name
camera        /dev/videoN: opened, listed
files         photos in order, videos frame by frame or at their own rate
freeze        a camera that repeats its last picture
grabber       a thread for each capture: the newest frame wins
opening       the table SOURCES: which name is opened by what
pattern       a moving pattern, to try without a camera
picamera      the Raspberry Pi's own cameras
stream        http(s):// and rtsp://
v4l2          what Linux says of a video device
watchdog      what stalls or fails is opened again

To add a source: a file here, a row in `opening.SOURCES`.
"""
