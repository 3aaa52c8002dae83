"""Tools that every room may use: they know nothing of pictures or models, and import neither OpenCV nor a runtime.

board         what the machine tells of itself and of this process: the only reader of /proc and /sys
child         a question asked in a child process, because it may crash, hang or take too much
files         files written whole or not at all, the cache folder, a lock between processes
formats       forgiving readers: a field more or less, a format that is newer
intervals     estimates with their 95 % intervals, percentiles and ratios of times
options       a dataclass field that is a command-line option, too
packages      what is installed, and the one line for what is missing
progress      bars for long work, one after another, on stderr
streams       what C++ libraries print held back, streams that can no longer be written to
text          text from outside made fit for one line, addresses without their secrets, times as they are typed

To add a tool: a file here, once two rooms need it; what one room needs stays in that room.
"""
