"""One model file: read, proved, asked.

card          the contract between export and device, inside the file
classifier    a model file as a function from a frame to an answer
foreign       a file that Flora did not write: what it says of itself, what is assumed
golden        pictures by formula, with the exporter's answers to them
inspection    all that can be said of a file
interpreter   the TFLite runtime behind one small class
metadata      what the standard metadata of a file says
trial         a file from elsewhere tried in a child process first
verify        does this device give the exporter's answers, and if not, why?

To add a field to the card: `card.ModelCard`, with a default.
"""
