"""A run folder in, one `.tflite` file out. TensorFlow and the model optimization toolkit.

exporter      the whole story on one page: begin here
outcome       what an export wrote, as JSON
config        what an export was asked for
forecast      how long the demo will take here
presets       what it aims at, and how much work it puts into it
demo          the whole road on rendered flowers
opening       a trained network, wherever from
network       what a Keras network is made of
graph         a finished flatbuffer, edited
quantising    Keras to int8
teaching      a network learns from another
slimming      fewer channels
variants      made, measured, chosen
finishing     made ready and written
report        the page
verbs         flora export, flora demo

STUDIES.md holds what was tried, FIGURES.md what was measured.
"""
