"""One file a verb: options, words for a person, exit code. The work is done in the other rooms.

benchmark     flora benchmark
doctor        flora doctor
evaluate      flora evaluate
inspect       flora inspect
opening       what a person names as a model, opened; with TensorFlow also runs and Keras files
predict       flora predict
run           flora run

To add a verb: first try an option; then a file here with `configure` and `run`, and its row in `edge.cli.VERBS`.
"""
