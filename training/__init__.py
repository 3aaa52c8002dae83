"""Photos in, a run folder out. TensorFlow.

config        what a training was asked for: options, and config.json
photos        before anything is trained
others        pictures of what is none of the classes
garden        rendered flowers
network       the Keras network
fitting       weights change
report        pages and plots
verbs         flora train

Begin reading at fitting/fit.py.
"""
